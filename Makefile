.PHONY: demo up test soak vectors record-passkeys record-xwing lines

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
