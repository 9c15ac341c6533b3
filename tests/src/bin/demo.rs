//! `make demo`: a wallet's story from its backup to its end, over real processes, and what a hostile host gets out of it.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    strongroom_tests::demo::tell().await
}
