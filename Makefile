# ringbin: `make dev` is a running cluster, `make test` is what a change must pass.

GO       ?= go
TAGS     := hashicorpmetrics
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -X main.version=$(VERSION)
LINT     := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 60s
SEED     ?= $(shell date +%s)

.PHONY: dev build test race lint chaos sim bench fuzz clean

dev: build ## three nodes on loopback, with an account, a key and curl lines
	./bin/ringbin dev --data-dir ./dev

build:
	$(GO) build -trimpath -tags $(TAGS) -ldflags "$(LDFLAGS)" -o bin/ringbin ./cmd/ringbin

test: ## all that a change must pass
	$(GO) test -tags $(TAGS) -timeout 9m ./...

race:
	$(GO) test -tags $(TAGS) -race -timeout 25m ./...

lint:
	$(GO) run $(LINT) run ./...

chaos: ## longer fault runs; the seed is printed and may be given
	@echo "seed $(SEED)"
	RINGBIN_CHAOS_SEED=$(SEED) RINGBIN_CHAOS=1 $(GO) test -tags $(TAGS) -count=1 -v -timeout 60m -run Chaos ./testcluster

sim: ## whole nodes in virtual time, with power losses, for CHAOS_TIME
	RINGBIN_CHAOS_TIME=$(or $(CHAOS_TIME),60s) $(GO) test -tags $(TAGS) -count=1 -v -timeout 60m -run '^TestSim' ./testcluster

bench: build ## a cluster of its own on spare ports, measured and stopped
	./bin/ringbin bench --self

fuzz: ## each fuzzer for FUZZTIME
	@set -e; for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -tags $(TAGS) -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "$$p $$f"; $(GO) test -tags $(TAGS) -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; \
		done; done

clean:
	rm -rf bin
