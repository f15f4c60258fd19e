# Two commands are all a fresh machine needs: `make run` and `make test`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PORT ?= 5000
CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto
# rustup puts cargo here when it was not there before.
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: help setup guests models gpu kernels clients run test lint unit docs golden licences bench bench-micro clean

help: ## What there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## Install what is missing: compiler, linker, test tools
	@./setup.sh

guests: setup ## Install the compilers of extensions, and build the example guests
	@./guests/tools.sh
	@$(CARGO) run --quiet --locked --package routir-guests -- build

# Exit status 69 says that something cannot be had here; the server does without, and says so.
models: setup ## Build FAISS (FAISS_GPU=1: also with CUDA); install ONNX Runtime and the models of quick start and tests
	@FAISS_GPU=0 ./runtime/index/native/build.sh || [ $$? -eq 69 ]
	@[ "$${FAISS_GPU:-0}" = 0 ] || ./runtime/index/native/build.sh
	@./configs/models/setup.sh || [ $$? -eq 69 ]
	@[ ! -x .cache/models/venv/bin/python ] || .cache/models/venv/bin/python tests/models/tiny.py

gpu: setup ## Install NVRTC, which compiles the kernels; verify and measure them where there is a GPU
	@./runtime/device/kernels/setup.sh || [ $$? -eq 69 ]
	@./tests/gpu/run.sh || [ $$? -eq 69 ]

kernels: setup
	@./runtime/device/kernels/setup.sh || [ $$? -eq 69 ]

clients: setup ## Install RoutIR, with its official client, and SIE's SDKs, which the tests drive
	@./tests/clients/setup.sh || [ $$? -eq 69 ]
	@./tests/clients/sie/setup.sh || [ $$? -eq 69 ]

run: setup models ## Build, index and serve the quick start on port $(PORT)
	@$(CARGO) build --release --locked --package routir-rt
	@./configs/quickstart/serve.sh $(PORT)

test: setup guests models kernels clients lint unit docs golden licences ## Everything that CI runs
	@echo "make test: all passed"

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- --deny warnings

unit:
	$(CARGO) test --workspace --locked

docs:
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --workspace --no-deps --locked

golden: ## The data that tests compare with is what its oracles say
	python3 tests/golden/fusion_oracle.py --check
	python3 configs/quickstart/make_runs.py --check

licences: ## Every dependency's licence is one that we allow
	@python3 tests/licences.py

bench: guests models ## Against RoutIR, Python's encoders and FAISS; extensions; micro-benchmarks (needs wrk, nginx, valgrind)
	@$(CARGO) build --release --locked -p routir-rt -p routir-engines -p routir-compute -p routir-index -p routir-proto -p routir-router --bins --examples
	@python3 tests/bench/against_routir.py
	@python3 tests/bench/wires.py
	@python3 tests/bench/router.py
	@python3 tests/bench/fleet.py
	@python3 tests/bench/extensions.py
	@python3 tests/bench/models.py
	@$(MAKE) --no-print-directory bench-micro

bench-micro: ## Micro-benchmarks alone, with instruction counts (needs valgrind)
	$(CARGO) bench --locked --package routir-fusion
	sh runtime/fusion/benches/instructions.sh

clean:
	$(CARGO) clean
	rm -rf .cache .venv
