//! `make bench`: measures a stack against the floor of its cryptography; prints a table, draws `target/bench.svg`, writes
//! `target/bench.json`.

use anyhow::Result;
use strongroom_tests::bench::{hop, run};

// One thread: the load's own work is not to compete with itself.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => run().await,
        // The other end of a hop is a process of its own.
        ["hop", kind, socket] => hop::serve(kind, socket).await,
        _ => anyhow::bail!("takes no arguments"),
    }
}
