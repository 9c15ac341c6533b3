.PHONY: demo up needs test eif reproduce vm-test soak bench fuzz corpus vectors record-passkeys record-xwing lines

FUZZ_SECONDS ?= 60

demo:
	cargo build --release --bins
	target/release/demo

up:
	cargo build --release --bins
	target/release/up

# What comes from the system's packages.
needs:
	tests/needs

test: needs target/venv/made target/python/made
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo build --workspace --bins
	cargo test --workspace

# KERNEL= and MODULES= name a kernel and its modules; on EC2 the kernel is the one that nitro-cli ships.
eif: needs
	$(if $(KERNEL),,tests/vm/setup target/vm)
	KERNEL="$(KERNEL)" MODULES="$(MODULES)" enclave/nitro/image target/eif/strongroom.eif

# Builds it again in another folder and compares the bytes.
reproduce: eif
	tests/vm/reproduce

# QEMU's parent has context id 2, and its clock must be named.
vm-test: needs
	tests/vm/setup target/vm
	cargo build --workspace --bins
	STRONGROOM=target/debug/strongroom enclave/nitro/image target/vm/strongroom.eif "reboot=k panic=1 console=ttyS0 quiet tsc_early_khz=1000000 lpj=4000000 -- --parent-cid 2"
	target/debug/vm target/vm/strongroom.eif

soak: needs target/venv/made target/python/made
	cargo build --workspace --bins
	STRONGROOM_MUTATIONS=200000 cargo test -p strongroom-core mutat -- --nocapture
	STRONGROOM_STEPS=20000 STRONGROOM_GENERATIONS=5 cargo test -p strongroom-core -- --nocapture walk orders
	STRONGROOM_MUTATIONS=250000 cargo test -p strongroom-fuzz-targets --test mutations document -- --nocapture
	STRONGROOM_MUTATIONS=100000 cargo test -p strongroom-fuzz-targets --test mutations assertion -- --nocapture
	STRONGROOM_SOAK=1 cargo test -p strongroom-tests --test stories -- --nocapture

bench:
	cargo build --release --bins
	target/release/bench

fuzz:
	fuzz/run $(FUZZ_SECONDS)

corpus:
	fuzz/corpus

# AWS's own clients and moto for stories, and gRPC for the example in Python.
target/venv/made: tests/python/requirements.txt | needs
	python3 -m venv --clear target/venv
	target/venv/bin/pip install --quiet --disable-pip-version-check --requirement tests/python/requirements.txt
	touch $@

# Our API for Python: messages and services of strongroom/v1, for examples/backend-python.
target/python/made: target/venv/made $(wildcard proto/strongroom/v1/*.proto)
	mkdir -p target/python
	target/venv/bin/python -m grpc_tools.protoc -I proto --python_out=target/python --grpc_python_out=target/python proto/strongroom/v1/*.proto
	touch $@

vectors:
	cargo run -q -p strongroom-tests --bin vectors -- ../shared/vectors

record-passkeys:
	npm install --prefix target/record-passkeys --no-save --no-package-lock playwright-core@1.65.1
	node tests/record-passkeys/record.mjs

record-xwing:
	npm install --prefix target/record-xwing --no-save --no-package-lock @hpke/core@1.9.0 @hpke/hybridkem-x-wing@0.7.0
	node tests/record-xwing/record.mjs

lines:
	cargo run -q -p strongroom-tests --bin lines
