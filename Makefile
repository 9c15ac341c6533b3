.PHONY: demo up test soak vectors lines

demo:
	cargo build --release --bins
	target/release/demo

up:
	cargo build --release --bins
	target/release/up

test: target/venv/made target/python/made
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo build --workspace --bins
	cargo test --workspace

soak: target/venv/made target/python/made
	cargo build --workspace --bins
	STRONGROOM_MUTATIONS=200000 cargo test -p strongroom-core mutat -- --nocapture
	STRONGROOM_SOAK=1 cargo test -p strongroom-tests --test stories -- --nocapture

# AWS's own clients and moto, for stories and gRPC for the example in Python.
target/venv/made: tests/python/requirements.txt
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

lines:
	cargo run -q -p strongroom-tests --bin lines
