# Tandem. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# One target folder outside the clone, so that a fresh clone starts warm.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/tandem/target
export TANDEM_SHARED ?= $(abspath $(CURDIR)/../shared)

UI := control-api/ui
BROWSER := tests/browser

# PESQ for the audio tests (tests/sound), in its own Python environment.
export TANDEM_PESQ ?= $(HOME)/.cache/tandem/pesq

# schemathesis for the API tests (tests/e2e/openapi.rs), in its own Python environment.
export TANDEM_SCHEMATHESIS ?= $(HOME)/.cache/tandem/schemathesis

# Material and Python environment for training the classifier of answers (amd-training).
export TANDEM_AMD ?= $(HOME)/.cache/tandem/amd-training
AMD_PYTHON := OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=1 "$(TANDEM_AMD)/venv/bin/python" -u

.PHONY: help run build setup setup-test setup-bench setup-coverage amd-material amd-train ui pesq schemathesis check test soak coverage bench fmt lint

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

run: build ## Install missing packages, build, and show a translated call (Ctrl-C stops)
	@exec bin/tandem demo $(ARGS)

build: setup ui ## Build release binaries bin/tandem and bin/tandem-local-speech
	@echo "build: release binaries (the first time takes some minutes)"
	@cargo build --release --locked -p control-api -p tandem-local-speech
	@mkdir -p bin
	@install -m 755 "$(CARGO_TARGET_DIR)/release/tandem" "$(CARGO_TARGET_DIR)/release/tandem-local-speech" bin/
	@echo "build: bin/tandem, bin/tandem-local-speech"

setup: ## Install the packages for building and running
	@scripts/setup.sh run

setup-test: ## Install the packages for the tests
	@scripts/setup.sh test

# The pages are rebuilt only when one of their sources has changed.
ui: $(UI)/dist/.built
$(UI)/node_modules/.installed: $(UI)/package.json $(UI)/package-lock.json
	@echo "ui: installing its packages"
	@cd $(UI) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@
$(UI)/dist/.built: $(UI)/node_modules/.installed $(wildcard examples/programs/*.json) $(shell find $(UI) -path $(UI)/node_modules -prune -o -path $(UI)/dist -prune -o -type f -print 2>/dev/null)
	@echo "ui: building the pages"
	@cd $(UI) && npm run --silent build
	@touch $@
$(BROWSER)/node_modules/.installed: $(BROWSER)/package.json $(BROWSER)/package-lock.json
	@echo "tests: installing the browser driver's packages"
	@cd $(BROWSER) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

pesq: setup-test $(TANDEM_PESQ)/requirements.txt ## Install PESQ, which scores audio quality (Python packages, pinned)
# Reinstalled only when a pinned version has changed.
$(TANDEM_PESQ)/requirements.txt: tests/sound/requirements.txt
	@echo "pesq: installing the Python packages"
	@python3 -m venv "$(TANDEM_PESQ)"
	@"$(TANDEM_PESQ)/bin/python" -m pip install --quiet --disable-pip-version-check -r $<
	@cp $< $@

schemathesis: setup-test $(TANDEM_SCHEMATHESIS)/requirements.txt ## Install schemathesis, which tests the API by its description (Python packages, pinned)
$(TANDEM_SCHEMATHESIS)/requirements.txt: tests/openapi/requirements.txt
	@echo "schemathesis: installing the Python packages"
	@python3 -m venv "$(TANDEM_SCHEMATHESIS)"
	@"$(TANDEM_SCHEMATHESIS)/bin/python" -m pip install --quiet --disable-pip-version-check -r $<
	@cp $< $@

check: ui ## Check formatting, lints and the unit tests, without peers (under two minutes when warm)
	@cargo fmt --check
	@cd $(UI) && npm run --silent lint
	@cargo clippy --locked --workspace --all-targets -- -D warnings
	@cargo nextest run --locked --workspace --lib --bins -E 'not package(tests) - (package(control-api) & test(/postgresql|on_both|both_databases|by_tenant|outage|whatever_its_texts|cancelled_unit/))'
	@cargo nextest run --locked -p tests --test architecture --test sim
	@cd $(UI) && npm test --silent

test: setup-test pesq schemathesis ui $(BROWSER)/node_modules/.installed ## Run all tests, including those with real peers
	@echo "test: pages"
	@cd $(UI) && npm test --silent
	@echo "test: binaries for the end-to-end tests"
	@cargo build --locked -p control-api -p tandem-local-speech --bins
	@echo "test: the Rust tests"
	@cargo nextest run --locked --workspace --no-fail-fast
	@cargo test --locked --workspace --doc --quiet

soak: setup-test pesq schemathesis ui $(BROWSER)/node_modules/.installed ## Run every check that takes longer than 30 s, at full length
	@cargo build --locked -p control-api -p tandem-local-speech --bins
	@TANDEM_SOAK=1 cargo nextest run --locked --workspace --profile soak --run-ignored all

setup-coverage: ## Install what coverage needs
	@scripts/setup.sh coverage

coverage: setup-coverage ui ## Measure line coverage by unit tests and list the ten least covered files of the engine
	@scripts/coverage.sh

setup-bench: ## Install the packages for the benchmarks
	@scripts/setup.sh bench

# The options of the parts differ, so ARGS reach a part only when it is the only one.
PARTS := media signalling control verbs amd translate sound
PART ?= $(PARTS)
BENCHES = "$(CARGO_TARGET_DIR)/release/benches"
ifneq (,$(filter bench,$(MAKECMDGOALS)))
ifneq (,$(filter-out $(PARTS),$(PART)))
$(error there is no part $(filter-out $(PARTS),$(PART)); the parts are: $(PARTS))
endif
ifneq (,$(and $(ARGS),$(filter-out 1,$(words $(PART)))))
$(error name the part that gets ARGS by PART=..., one of: $(PARTS))
endif
endif
bench: setup-bench ui $(TANDEM_PESQ)/requirements.txt ## Compare Tandem with rtpengine, Kamailio and the stored figures (about 30 min); PART=verbs ARGS=... for one part
	@echo "bench: building (the first time takes some minutes)"
	@cargo build --release --locked -p benches -p control-api
	@cargo build --release --locked -p tests --bin sound-table
	@for part in $(PART); do \
		echo "bench: $$part"; \
		case $$part in \
			media) $(BENCHES) --out benches $(ARGS) ;; \
			sound) "$(CARGO_TARGET_DIR)/release/sound-table" | tee /dev/stderr | $(BENCHES) section --out benches ;; \
			*) $(BENCHES) $$part --out benches $(ARGS) ;; \
		esac; \
	done

$(TANDEM_AMD)/requirements.txt: amd-training/requirements.txt
	@echo "amd: installing the Python packages"
	@mkdir -p "$(TANDEM_AMD)" && python3.11 -m venv "$(TANDEM_AMD)/venv"
	@"$(TANDEM_AMD)/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r $<
	@cp $< $@

amd-material: $(TANDEM_AMD)/requirements.txt ## Make the training clips of answering-machine detection (downloads about 1.1 GB; 40 min or more)
	@scripts/setup.sh amd
	@cd amd-training && $(AMD_PYTHON) sources.py && $(AMD_PYTHON) clips.py

amd-train: $(TANDEM_AMD)/requirements.txt ## Train the net and the trees that tell answers, and print their figures (needs amd-material)
	@cargo build --release --quiet --manifest-path amd-training/features/Cargo.toml
	@cd amd-training && $(AMD_PYTHON) net.py mel && $(AMD_PYTHON) net.py fit 90
	@cargo build --release --quiet --manifest-path amd-training/features/Cargo.toml
	@cd amd-training && rm -rf "$(TANDEM_AMD)/features" && $(AMD_PYTHON) train.py features && $(AMD_PYTHON) train.py fit
	@cargo build --release --quiet --manifest-path amd-training/features/Cargo.toml
	@cd amd-training && $(AMD_PYTHON) net.py parity && $(AMD_PYTHON) train.py parity
	@if [ -d "$(TANDEM_SHARED)/amd-dev" ]; then cd amd-training && $(AMD_PYTHON) train.py dev "$(TANDEM_SHARED)/amd-dev"; \
		else echo "amd: the development clips are not there: not scored (1 skipped)"; fi

fmt: $(UI)/node_modules/.installed ## Format the sources: Rust, TypeScript and scripts
	@cargo fmt
	@cd $(UI) && npm run --silent fmt

lint: setup ui ## Check formatting, lints of Rust and TypeScript, licences, and that the pure half of the engine needs no tokio
	@cargo fmt --check
	@cd $(UI) && npm run --silent lint
	@cargo clippy --locked --workspace --all-targets -- -D warnings
	@cargo clippy --locked -p media-engine --no-default-features -- -D warnings
	@! cargo tree --locked -p media-engine --no-default-features -e normal --prefix none | grep -E '^tokio ' \
		|| { echo "lint: tokio is in the tree of the pure half of media-engine" >&2; exit 1; }
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --offline check licenses bans sources; \
		else echo "lint: cargo-deny is not installed: licences and bans were not checked (1 skipped)"; fi
