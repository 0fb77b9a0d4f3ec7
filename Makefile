# Everything a contributor or CI calls. Each target installs what it needs itself (Debian packages, by apt-get).

CARGO ?= cargo
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

.PHONY: help build test lint packages demo demo-keep bench crash crash-move clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

build: ## the piton binary, release build
	$(CARGO) build --release --locked

packages: # what the tests and the demo run against
	@scripts/packages

lint: ## formatting and lints, where rustfmt and clippy are installed
	@if $(CARGO) fmt --version >/dev/null 2>&1; then $(CARGO) fmt --all --check; else echo "rustfmt is not installed: formatting is not checked"; fi
	@if $(CARGO) clippy --version >/dev/null 2>&1; then $(CARGO) clippy --workspace --all-targets --locked -- -D warnings; else echo "clippy is not installed: lints are not checked"; fi

test: packages ## every test, against real servers and processes
	$(CARGO) build --workspace --bins --locked
	PITON_REQUIRE_SERVERS=1 $(CARGO) test --workspace --locked --no-fail-fast
	PITON_DEMO_BINARIES=target/debug target/debug/xtask crash-move few

crash: packages ## SIGKILL at 300 random instants
	PITON_KILLS=300 PITON_REQUIRE_SERVERS=1 $(CARGO) test -p piton-cli --release --locked --test kill -- --nocapture

crash-move: packages ## the classic move, whose engine dies after every event (long)
	$(CARGO) build --release --locked -p piton-cli -p piton-testkit -p xtask --bins
	PITON_DEMO_BINARIES=target/release target/release/xtask crash-move

demo: packages ## move a live database, with two kills, and reconcile
	$(CARGO) build --release --locked -p piton-cli -p piton-testkit -p xtask --bins
	PITON_DEMO_BINARIES=target/release target/release/xtask demo

bench: packages ## speed, each figure beside what it is compared to
	$(CARGO) build --release --locked -p piton-cli -p xtask --bins
	target/release/xtask bench; own=$$?; bench/peers/run && exit $$own

.PHONY: bench-peers
bench-peers: ## a durable step beside those of DBOS, Restate and Dagu
	-scripts/packages
	$(CARGO) build --release --locked -p piton-cli --bins
	bench/peers/run

clean: ## remove what was built
	$(CARGO) clean
