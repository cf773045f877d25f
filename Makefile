# Tools and servers that checks use are pinned in scripts/versions.env, once.
include scripts/versions.env

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X github.com/stackjoin/stackjoin/internal/version.Version=$(VERSION)
LINTER   := .bin/golangci-lint-$(GOLANGCI_LINT_VERSION)
FUZZTIME ?= 20s
export CGO_ENABLED ?= 0
# One set of flags for what is built, tested and vetted, so that each package is
# compiled once; and no path of a builder in a binary.
export GOFLAGS += -trimpath

.PHONY: build test race lint fuzz bench chaos demo e2e e2e-osqueryd kafka kinesis docs tidy clean

build: ## bin/logger-ext.ext (the name osqueryd wants) and bin/enricher
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/logger-ext.ext ./cmd/logger-ext
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/enricher ./cmd/enricher

test: ## every test that needs no service
	@$(GO) test $(TESTFLAGS) ./...

race: ## the same under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race ./...

lint: $(LINTER) ## go vet and golangci-lint, each ban with its reason in .golangci.yml
	$(GO) vet -tags e2e,osqueryd ./...
	$(LINTER) run ./...

$(LINTER):
	scripts/tools.sh golangci-lint $(GOLANGCI_LINT_VERSION) $@

fuzz: ## every fuzz target for FUZZTIME each, then 10 million look-ups beside the reference
	scripts/fuzz.sh $(FUZZTIME)
	REPUTATION_LOOKUPS=10000000 $(GO) test -count 1 -timeout 60m -run Reference -v ./pkg/enrich/reputation

bench: ## benchmarks, compared as ratios within one run; then logger-ext and the index of indicators beside peers and bars (BENCH_LONG=1: all of it)
	$(GO) test -run '^$$' -bench . -benchmem ./...
	cd test/bench && $(GO) run .

chaos: ## kill -9, power cuts, brokers that go away, small quotas; SEED=n repeats one random run. The enrichers' take hours (300 on Kafka, 100 of each kind on Kinesis; CHAOS_SEEDS=n does n), and the servers that make e2e does
	@scripts/kinesis.sh fetch >&2
	@scripts/moto.sh fetch >&2
	$(GO) test -tags chaos -count 1 -parallel 2 -timeout 60m -skip 'Enrichers|RowsComeThrough' -v ./test/chaos
	SPOOL_SEEDS=1000 $(GO) test -count 1 -timeout 60m -run PowerCut -v ./pkg/sink/spool
	@scripts/kafka.sh fetch >&2
	$(GO) test -tags chaos -count 1 -timeout 48h -parallel 2 -run 'Enrichers|RowsComeThrough' -v ./test/chaos

demo: build ## one attack, from osqueryd's socket to the enriched topic; needs no service
	$(GO) run ./examples/demo

e2e: ## under the race detector what needs real servers: Apache Kafka (wants Java, Maven, kcat), kinesis-local and dynalite (Node.js), medallion and moto (Python)
	@scripts/kafka.sh fetch >&2
	@scripts/kinesis.sh fetch >&2
	@scripts/medallion.sh fetch >&2
	@scripts/moto.sh fetch >&2
	@CGO_ENABLED=1 $(GO) test $(TESTFLAGS) -race -tags e2e -timeout 28m -run "$$(scripts/e2e-tests.sh names)" $$(scripts/e2e-tests.sh packages)

e2e-osqueryd: ## logger-ext under a real osqueryd, where one is on the PATH
	@$(GO) test $(TESTFLAGS) -count=1 -tags osqueryd -timeout 25m ./test/osqueryd

kafka: ## a real Apache Kafka on 127.0.0.1:9092 until Ctrl-C
	scripts/kafka.sh run

kinesis: ## kinesis-local and dynalite, which speak Kinesis's and DynamoDB's protocols, on http://127.0.0.1:4568 and :4570 until Ctrl-C
	scripts/kinesis.sh run

docs: ## docs/config.md from the code
	$(GO) run ./internal/docgen

tidy:
	$(GO) mod tidy

clean:
	rm -rf bin .bin
