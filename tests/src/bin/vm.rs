//! `make vm-test`: the real image in a virtual machine, from its first boot to what is refused.

use std::path::PathBuf;

use anyhow::Context;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let image = std::env::args_os().nth(1).context("usage: vm IMAGE")?;
    strongroom_tests::vm::tell(PathBuf::from(image)).await
}
