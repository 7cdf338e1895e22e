# Quartet. Needs Go, git and make; everything else is built from pinned modules.
#
#   make demo        watch a queue scale its workers; ARGS="--headless --duration 4m --json out.json"
#   make test        every test, on a real control plane; prints the time each package took
#   make conformance play 10,000 scenarios a suite beside upstream's code; ARGS="hpa", ARGS="vpa", ARGS="-seed N vpa"
#   make soak        kill each binary 100 times (ROUNDS=n, SEED=n) and compare with a run without; hours
#   make lint        linters, and whether generated files are current
#   make bench       writes bench/results.json and docs/benchmarks.md; ARGS="--only NAME"
#   make generate    CRDs, deep copies, flag reference
#   make lab         a control plane to play in: prints its kubeconfig and waits

export CGO_ENABLED = 0

GO ?= go
ARGS ?=
# Where the programs below are built; the lab keeps its own there too.
CACHE := $(or $(QUARTET_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/quartet)
# A folder for each checkout, so that two never run one another's programs.
BIN := $(CACHE)/checkouts/$(shell printf %s '$(CURDIR)' | cksum | cut -d ' ' -f 1)
export GOLANGCI_LINT_CACHE ?= $(CACHE)/golangci-lint
# Where go builds: a build that is killed leaves its folder in the cache, not in
# the system's folder for temporary files.
export GOTMPDIR ?= $(shell mkdir -p $(CACHE)/go-tmp && echo $(CACHE)/go-tmp)

# Packages with goroutines of their own and without a cluster, whose tests also
# run under the race detector where there is a C compiler. Those of RACE_ALL build
# half of Kubernetes for it, which takes minutes: make race runs them too.
RACE := ./internal/loop/... ./internal/ledger/... ./adapter/table/...
RACE_ALL := ./adapter/server/inventory/... ./adapter/server/peer/...
# Those under a synctest clock run on one processor: with two, the timers of one
# bubble share a race context and the detector itself falls over (golang/go#78156).
# What happened before what is seen there all the same.
RACE_CLOCK := ./internal/health/... ./adapter/collector/... ./adapter/sharing/...
RACE_CLOCK_ALL := ./internal/metricchanges/...
# Packages that wait for a cluster most of the time: they begin first, so that the
# others are built and run meanwhile.
SLOW := ./test/e2e ./test/demo ./test/lab/lab ./bench

# Packages whose tests run at the same time: more than a small machine has
# processors, since the long ones wait.
AT_ONCE ?= 3
# How tests are built: lint vets, and for that half of Kubernetes would be gone
# through again; nobody debugs a test's program, whose symbols take long to link.
TESTS := -vet=off -ldflags=-w

.PHONY: help
help:
	@sed -n 's/^# \{0,3\}//p' Makefile | sed -n '1,10p'

# Build a program by its folder, then run it with arguments: as make's own child,
# so that a signal reaches it.
define run
	@mkdir -p $(BIN) && echo "building $(1)" && $(GO) build -o $(BIN)/$(notdir $(1)) ./$(1)
	@exec $(BIN)/$(notdir $(1)) $(2)
endef

.PHONY: demo
demo:
	$(call run,test/demo,$(ARGS))

.PHONY: lab
lab:
	$(call run,test/lab,$(ARGS))

.PHONY: bench
bench:
	$(call run,bench,$(ARGS))

.PHONY: prepare
prepare:
	$(call run,hack/prepare)

.PHONY: test
test:
	@$(MAKE) --no-print-directory -j 2 prepare test-race
	$(GO) test $(TESTS) -p $(AT_ONCE) -timeout 20m $(SLOW) ./...

.PHONY: race
race: RACE += $(RACE_ALL)
race: RACE_CLOCK += $(RACE_CLOCK_ALL)
race: test-race

.PHONY: test-race
test-race:
	@if command -v "$$($(GO) env CC)" >/dev/null 2>&1; then \
		echo "$(GO) test -race (packages without a cluster)"; CGO_ENABLED=1; export CGO_ENABLED; \
		$(GO) test $(TESTS) -race -timeout 10m $(RACE) && $(GO) test $(TESTS) -race -cpu 1 -timeout 10m $(RACE_CLOCK); \
	else echo "no C compiler: the race detector is left out"; fi

.PHONY: conformance
conformance:
	$(call run,test/conformance/compare,$(ARGS))

ROUNDS ?= 100
# Of the moments of the kills; printed, and so to be given again.
SEED ?= $(shell date +%s)

.PHONY: soak
soak: prepare
	$(GO) test ./test/e2e -run '^TestSoak$$' -count=1 -v -timeout 6h -args -soak-rounds=$(ROUNDS) -soak-seed=$(SEED)

.PHONY: lint
lint: check-generate
	$(GO) tool -modfile=hack/tools/golangci-lint/go.mod golangci-lint run --allow-serial-runners ./...

.PHONY: generate
generate:
	$(GO) run ./hack/generate

.PHONY: check-generate
check-generate:
	$(GO) run ./hack/generate --check
