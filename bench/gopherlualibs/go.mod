module github.com/luastore/store/bench/gopherlualibs

go 1.26.0

require (
	github.com/vadv/gopher-lua-libs v0.8.0
	github.com/yuin/gopher-lua v1.1.2
)
