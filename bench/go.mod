module github.com/luastore/store/bench

go 1.26

require (
	github.com/luastore/store v0.0.0
	github.com/redis/rueidis v1.0.79
	github.com/yuin/gopher-lua v1.1.2
)

require (
	github.com/philhofer/fwd v1.2.0 // indirect
	github.com/tidwall/btree v1.8.2 // indirect
	github.com/tinylib/msgp v1.6.5 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace github.com/luastore/store => ../
