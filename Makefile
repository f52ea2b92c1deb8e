# What a developer and CI run. Each target works alone in a fresh clone; CI runs check and test (.ci/run).

# Tools of `make check`, by version: a new release never breaks a build that nobody touched.
export STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
export ERRORLINT   := github.com/polyfloyd/go-errorlint@v1.8.0
export GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

# The server that Go builds for the tests of its driver.
export NATS_SERVER := github.com/nats-io/nats-server/v2@v2.15.2

export FUZZTIME ?= 10s
BENCH ?= .
ENTRIES ?= 10000000
SOAK ?= 10m

.PHONY: help deps build test check bench bench-peers bench-scale bench-upstream microbench fuzz soak test-long
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

bench-scale: ## print the tables of ENTRIES (10000000) entries in memory, beside a plain map, and of 10,000 stores on one connection
	@bash .ci/install redis-server
	@LUASTORE_TEST_REQUIRE=1 ENTRIES="$(ENTRIES)" go -C bench test -run '^$$' -bench '^BenchmarkScale' -benchtime 1x -timeout 2h .
	@go test -run '^$$' -bench '^BenchmarkExpiryHolds$$' -benchtime 1x ./driver/memstore

bench-upstream: ## print what a patch to gopher-lua would give; PATCH=3-entries.patch, ROUNDS=8
	@ROUNDS='$(or $(ROUNDS),8)' bash bench/upstream/run $(PATCH)

microbench: ## run the benchmarks of each package; BENCH=pattern picks some
	go test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 2h ./...

fuzz: ## run each fuzz target for FUZZTIME (10s)
	@bash .ci/fuzz

soak: ## put one process under load for SOAK (10m) and fail if it holds more at the end than in the middle
	@bash .ci/install redis-server
	@SOAK="$(SOAK)" LUASTORE_TEST_REQUIRE=1 go -C bench test -count=1 -v -run '^TestSoak_OfUnitsOver' -timeout 24h .

test-long: ## run all tests, those about concurrency, crashes and faults twenty times as long; takes some hours
	@STORETEST_SCALE=20 LUASTORE_TEST_LONG=1 bash .ci/test
