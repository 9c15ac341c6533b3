.PHONY: demo up test soak bench vectors lines

demo:
	cargo build --release --bins
	target/release/demo

up:
	cargo build --release --bins
	target/release/up

test:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo build --workspace --bins
	cargo test --workspace

soak:
	cargo build --workspace --bins
	STRONGROOM_MUTATIONS=200000 cargo test -p strongroom-core mutat -- --nocapture
	STRONGROOM_SOAK=1 cargo test -p strongroom-tests --test stories -- --nocapture

bench:
	cargo build --release --bins
	target/release/bench

vectors:
	cargo run -q -p strongroom-tests --bin vectors -- ../shared/vectors

lines:
	cargo run -q -p strongroom-tests --bin lines
