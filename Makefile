# What a developer and CI run. Each target works alone in a fresh clone; CI runs check and test (.ci/run).

# Tools of `make check`, by version: a new release never breaks a build that nobody touched.
export STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
export ERRORLINT   := github.com/polyfloyd/go-errorlint@v1.8.0
export GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

# The server that Go builds for the tests of its driver.
export NATS_SERVER := github.com/nats-io/nats-server/v2@v2.15.2

export FUZZTIME ?= 10s
BENCH ?= .

.PHONY: help deps build test check bench bench-peers microbench fuzz soak
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## download modules, the tools of check and nats-server
	@for module in $$(bash .ci/modules); do go -C $$module mod download || exit 1; done
	@go run $(STATICCHECK) -version
	@go run $(ERRORLINT) -V=full >/dev/null
	@go run $(GOVULNCHECK) -version
	@CGO_ENABLED=0 go run $(NATS_SERVER) -version

build: ## build the command: bin/luastore
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/luastore

test: ## run all tests, most of them with and without the race detector; install what they need (root, apt-get)
	@bash .ci/test

check: ## formatting, linters, import rules, tidy modules, builds for every platform
	@bash .ci/check

bench: ## print the tables of bench/: medians of interleaved runs, allocations, ratios; BENCH=pattern picks some
	@bash .ci/install redis-server postgresql mariadb-server
	@CGO_ENABLED=0 GOBIN="$(CURDIR)/bin" go install $(NATS_SERVER)
	@PATH="$(CURDIR)/bin:$$PATH" LUASTORE_TEST_REQUIRE=1 go -C bench test -run '^$$' -bench '$(BENCH)' -benchtime 1x -timeout 1h .

bench-peers: ## print the table of luastore beside its peers; PEERS_ROUNDS=5 rounds, PEERS_OUT=file for a copy, more in docs/performance.md
	@for package in nginx libnginx-mod-http-lua lua-cjson redis-server tarantool; do bash .ci/install $$package || true; done
	@PEERS_OUT="$(if $(PEERS_OUT),$(abspath $(PEERS_OUT)))" \
		go -C bench test -run '^$$' -bench '^BenchmarkPeers$$' -benchtime 1x -timeout 1h .

microbench: ## run the benchmarks of each package; BENCH=pattern picks some
	go test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 2h ./...

fuzz: ## run each fuzz target for FUZZTIME (10s)
	@bash .ci/fuzz

soak: ## run all tests, those about concurrency, crashes and faults twenty times as long; takes some hours
	@STORETEST_SCALE=20 LUASTORE_SOAK=1 bash .ci/test
