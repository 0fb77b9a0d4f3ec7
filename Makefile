# Everything a contributor or CI calls. Each target installs what it needs itself (Debian packages, by apt-get).

CARGO ?= cargo
# Most tests wait for servers and processes: more of them at a time than there are cores.
export RUST_TEST_THREADS ?= $(shell echo $$(( $$(nproc) * 2 )))

.PHONY: help build test lint sim fuzz packages tidb mysql demo demo-back demo-classic bench bench-move bench-peers crash crash-move \
	chaos-move clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

build: ## the piton binary, release build
	$(CARGO) build --release --locked

packages: # what the tests and the demo run against
	@scripts/packages

tidb: ## a TiDB server to test against: finds or builds one (once, long; needs Go), and says where it is
	@scripts/tidb

mysql: ## a MySQL server to test against: finds or fetches one (once), and says where it is
	@scripts/mysql

lint: ## formatting and lints, where rustfmt and clippy are installed
	@if $(CARGO) fmt --version >/dev/null 2>&1; then $(CARGO) fmt --all --check; else echo "rustfmt is not installed: formatting is not checked"; fi
	@if $(CARGO) clippy --version >/dev/null 2>&1; then $(CARGO) clippy --workspace --all-targets --locked -- -D warnings; else echo "clippy is not installed: lints are not checked"; fi

# The classic move, whose engines die hundreds of times, mostly waits: it runs beside the tests, with binaries of its own.
test: packages ## every test, against real servers and processes
	$(CARGO) build --workspace --bins --locked
	@mkdir -p target/deaths && cp target/debug/piton target/debug/piton-ledger target/debug/xtask target/deaths/
	@PITON_DEMO_BINARIES=target/deaths target/deaths/xtask crash-move few > target/deaths/log 2>&1 & deaths=$$!; \
		PITON_REQUIRE_SERVERS=1 $(CARGO) test --workspace --locked --no-fail-fast; tested=$$?; \
		wait $$deaths; died=$$?; tail -n 15 target/deaths/log; [ $$tested = 0 ] && [ $$died = 0 ]
	PITON_DEMO_BINARIES=target/debug target/debug/xtask chaos-move few

SEEDS ?= 1..1001
TIMES ?= 1

sim: ## random runbooks whose engines die, by seed: SEEDS=FROM..TO, each TIMES=N times
	PITON_SIM_SEEDS=$(SEEDS) PITON_SIM_TIMES=$(TIMES) $(CARGO) test --workspace --locked --test it random -- --nocapture

SECONDS ?= 600
FUZZERS ?= journal side_log receipt runbook

# Receipts and journals are longer than libFuzzer expects by itself.
fuzz: ## each of FUZZERS for SECONDS, with libFuzzer
	@$(CARGO) +nightly fuzz --version >/dev/null 2>&1 || { echo "make fuzz needs a nightly toolchain and cargo-fuzz:"; \
		echo "  rustup toolchain install nightly && cargo install cargo-fuzz --locked"; exit 2; }
	@set -e; for target in $(FUZZERS); do \
		mkdir -p fuzz/corpus/$$target; \
		$(CARGO) +nightly fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-dict=fuzz/dictionaries/$$target.dict -max_len=131072 -timeout=60 -rss_limit_mb=4096 \
			-max_total_time=$(SECONDS) -print_final_stats=1; \
	done

crash: packages ## SIGKILL at 300 random instants
	PITON_KILLS=300 PITON_REQUIRE_SERVERS=1 $(CARGO) test -p piton-cli --release --locked --test kill -- --nocapture

crash-move: packages ## the classic move, whose engine dies after every event (long)
	$(CARGO) build --release --locked -p piton-cli -p piton-testkit -p xtask --bins
	PITON_DEMO_BINARIES=target/release target/release/xtask crash-move

chaos-move: packages ## a live move there and back, in which everything is killed at every step: 100 named kills, 40 random (long)
	$(CARGO) build --release --locked -p piton-cli -p xtask --bins
	PITON_DEMO_BINARIES=target/release target/release/xtask chaos-move

TARGET ?=

demo: packages ## move a live service behind a gate, to TiDB where it is at hand (TARGET=mariadb|tidb), with two kills
	$(CARGO) build --release --locked -p piton-cli -p piton-testkit -p xtask --bins
	PITON_DEMO_TARGET=$(TARGET) PITON_DEMO_BINARIES=target/release target/release/xtask demo

AFTER ?= 600

demo-back: packages ## the same to MariaDB and, AFTER=600 seconds of writes there, back (long)
	$(CARGO) build --release --locked -p piton-cli -p piton-testkit -p xtask --bins
	PITON_DEMO_TARGET=mariadb PITON_DEMO_BACK_AFTER=$(AFTER) PITON_DEMO_BINARIES=target/release target/release/xtask demo

demo-classic: packages ## the classic move: dump, native replication and read-only switch, with two kills
	$(CARGO) build --release --locked -p piton-cli -p piton-testkit -p xtask --bins
	PITON_DEMO_BINARIES=target/release target/release/xtask demo-classic

bench: packages ## speed, each figure beside what it is compared to (ROW=word: only rows named so)
	$(CARGO) build --release --locked -p piton-cli -p xtask --bins
	target/release/xtask bench $(ROW)$(if $(ROW),,; own=$$?; bench/peers/run && exit $$own)

bench-move: ## speed of the move's parts beside what they are compared to (ROW=word: only rows named so)
	@scripts/packages mydumper percona-toolkit
	$(CARGO) build --release --locked -p piton-cli -p xtask --bins
	target/release/xtask bench-move "$(ROW)"

bench-peers: packages ## a durable step beside those of DBOS, Restate and Dagu
	$(CARGO) build --release --locked -p piton-cli --bins
	bench/peers/run

clean: ## remove what was built
	$(CARGO) clean
