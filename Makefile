# Every target installs what it needs: npm packages from the lockfile, a redis-server when none is
# on PATH (apt as root; otherwise a message that says what to install), servers of other versions
# under .cache/servers.
SHELL := /bin/bash
.DEFAULT_GOAL := build
NODE_PREFIX := $(shell dirname "$$(dirname "$$(readlink -f "$$(command -v node)")")")
# Native modules fall back to node-gyp where no prebuilt binary can be fetched; it takes Node's
# headers from beside the node binary when they are there.
ifneq ($(wildcard $(NODE_PREFIX)/include/node/node_api.h),)
export npm_config_nodedir := $(NODE_PREFIX)
endif
BIN := node_modules/.bin
STAMP := node_modules/.tidemark-installed
PART := scripts/part.sh
# Where make can, what runs at the same time does not mix its output.
TOGETHER := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

.PHONY: build runnable prepare test test-matrix check bench soak demo demo-s3 clean install redis servers s3 strace kafka prometheus

install: $(STAMP)
$(STAMP): package-lock.json package.json
	@command -v node >/dev/null || { echo "node >= 20.20 is needed: https://nodejs.org" >&2; exit 1; }
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

redis:
	@scripts/install-redis.sh

# Servers of other versions, under .cache/servers; what cannot be had is said, and its tests skipped.
servers: redis
	@scripts/install-servers.sh

# S3 and KMS servers, under .cache/s3; what cannot be had is said, and its tests skipped.
s3:
	@scripts/install-s3.sh

# A Kafka broker, under .cache/kafka; when it cannot be had that is said, and its tests are skipped.
kafka:
	@scripts/install-kafka.sh

# Shows which files a restore writes; where it cannot be had, those tests are skipped.
strace: redis
	@scripts/install-strace.sh

# The parser of Prometheus, under .cache/prometheus; where it cannot be had, its tests are skipped.
prometheus:
	@scripts/install-prometheus.sh

# The product alone; tests, demo and bench are compiled by the targets that need them.
build: install
	@$(BIN)/tsc -b services/cli
	@node scripts/bundle.mjs

runnable: build
	@$(BIN)/tsc -p test/tsconfig.run.json

# Two parts at a time: each of them uses one core.
CHECKS := lint types format imports dead-code tidy
.PHONY: $(CHECKS:%=check-%)
check: install
	@$(MAKE) --no-print-directory $(TOGETHER) -j2 $(CHECKS:%=check-%)
check-format:
	@$(PART) format $(BIN)/prettier --check --log-level warn .
check-types:
	@$(PART) types $(BIN)/tsc -b
check-lint:
	@$(PART) lint $(BIN)/eslint --cache --cache-location build/eslint --max-warnings 0 .
check-imports:
	@$(PART) imports $(BIN)/depcruise --config .dependency-cruiser.cjs --output-type err libs services test
check-dead-code:
	@$(PART) dead-code $(BIN)/knip
check-tidy:
	@$(PART) tidy node scripts/tidy.mjs

# The servers of the tests, at the same time: most of it is waiting for a network, or uses one core.
prepare:
	@$(MAKE) --no-print-directory $(TOGETHER) -j4 servers s3 strace kafka prometheus

.PHONY: test-sources
test-sources:
	@$(MAKE) --no-print-directory check
	@$(PART) unit $(BIN)/vitest run --project unit
	@$(PART) property $(BIN)/vitest run --project property

# What needs no server is run while the servers are fetched and built, and so is the installation,
# which waits for a network too.
test:
	@mkdir -p build && rm -f build/parts.txt
	@$(PART) servers $(MAKE) --no-print-directory prepare >build/prepare.log 2>&1 & servers=$$!; \
	  $(PART) install $(MAKE) --no-print-directory install && \
	  $(MAKE) --no-print-directory test-sources; status=$$?; \
	  wait $$servers || status=$$?; cat build/prepare.log; exit $$status
	@node scripts/bundle.mjs
	@$(PART) integration node scripts/run-again.mjs integration
	@$(PART) end-to-end node scripts/run-again.mjs e2e
	@echo; echo "what each part took:"; cat build/parts.txt

# Every server as source, every possible pair as target; prints the table.
test-matrix: build redis servers
	@rm -rf build/matrix
	@$(PART) matrix node scripts/run-again.mjs matrix; status=$$?; \
	  echo; node scripts/matrix-table.mjs; echo; tail -2 build/parts.txt; exit $$status

soak: build redis kafka
	@$(BIN)/vitest run --project soak

demo: runnable redis
	@node build/test/demo/demo.js

# The same on a store that speaks S3 and a key service that speaks KMS, with TDE.
demo-s3: runnable redis s3
	@node --conditions=source --import ./test/support/ts-hooks.js test/demo/demo-s3.ts

bench: runnable redis
	@node --expose-gc build/test/bench/main.js

clean:
	rm -rf build node_modules libs/*/dist services/*/dist .cache
