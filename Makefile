# ringbin: `make dev` is a running cluster, `make test` is what a change must pass.

GO       ?= go
TAGS     := hashicorpmetrics
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -X main.version=$(VERSION)
LINT     := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 60s
SEED     ?= $(shell date +%s)

.PHONY: dev build test race lint chaos matrix chaos-teeth sim screens bench fuzz clean

dev: build ## three nodes on loopback, with an account, a key and curl lines
	./bin/ringbin dev --data-dir ./dev

build:
	$(GO) build -trimpath -tags $(TAGS) -ldflags "$(LDFLAGS)" -o bin/ringbin ./cmd/ringbin

# Tests of clusters wait most of the time: more of them run at once than there are cores.
test: ## all that a change must pass
	$(GO) test -tags $(TAGS) -parallel 4 -timeout 20m ./...

race:
	$(GO) test -tags $(TAGS) -race -timeout 40m ./...

lint:
	$(GO) run $(LINT) run ./...

CHAOS_TIME ?= 60s
CHAOS_TESTS := TestChaos$$|TestStrongReads|TestRetries|TestExpiry|TestGossip|TestBridge|TestBurnRaces|TestLeaderAmong|TestRemovedNodeComes|TestStranger

chaos: ## faults under load for CHAOS_TIME, all checks, and a summary; the seed is printed and may be given
	@echo "seed $(SEED)"
	RINGBIN_CHAOS_SEED=$(SEED) RINGBIN_CHAOS_TIME=$(CHAOS_TIME) $(GO) test -tags $(TAGS) -count=1 -v -timeout 120m -run '$(CHAOS_TESTS)' ./testcluster

matrix: ## each fault alone on leader, follower and owner, then random pairs
	@echo "seed $(SEED)"
	RINGBIN_CHAOS_SEED=$(SEED) RINGBIN_MATRIX=1 $(GO) test -tags $(TAGS) -parallel 4 -count=1 -v -timeout 180m -run TestFaultMatrix ./testcluster

chaos-teeth: ## mistakes planted one by one: each must be caught
	$(GO) test -tags "$(TAGS) teeth" -count=1 -v -timeout 180m -run TestTeeth ./testcluster

sim: ## whole nodes in virtual time, with power losses, for CHAOS_TIME
	RINGBIN_CHAOS_TIME=$(or $(CHAOS_TIME),60s) $(GO) test -tags $(TAGS) -count=1 -v -timeout 60m -run '^TestSim' ./testcluster

screens: ## every page in a real browser, in all sizes and schemes; pictures in api/paste69/testdata/screens
	RINGBIN_SCREENS=1 $(GO) test -tags $(TAGS) -count=1 -v -timeout 60m -run InBrowser ./api/paste69

bench: build ## a cluster of its own on spare ports, measured and stopped
	./bin/ringbin bench --self

fuzz: ## each fuzzer for FUZZTIME
	@set -e; for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -tags $(TAGS) -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "$$p $$f"; $(GO) test -tags $(TAGS) -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; \
		done; done

clean:
	rm -rf bin
