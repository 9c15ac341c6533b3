//! Decides files of known answers and prints a line for each: `vectors PATH...`.

use std::path::PathBuf;
use std::process::ExitCode;

use strongroom_tests::vectors::decide;

fn main() -> anyhow::Result<ExitCode> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    anyhow::ensure!(!paths.is_empty(), "usage: vectors PATH...");
    let (mut decided, mut unexpected) = (0, 0);
    for path in &paths {
        if !path.exists() && std::env::var_os("CI").is_none() {
            println!("skipped: {} is not here", path.display());
            continue;
        }
        for decision in decide(path)? {
            println!("{decision}");
            decided += 1;
            unexpected += usize::from(decision.expected == Some(false));
        }
    }
    println!("{decided} vectors, {unexpected} unexpected");
    Ok(if unexpected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
