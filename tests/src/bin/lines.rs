//! Prints lines per crate, with the median and the longest file.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf();
    let listed = Command::new("git").args(["ls-files", "*.rs", "*.proto"]).current_dir(&root).output()?;
    let mut crates: BTreeMap<&str, Vec<(usize, String)>> = BTreeMap::new();
    let folders = [
        "examples/backend-rust",
        "proto",
        "enclave/core",
        "enclave/runtime",
        "enclave/nitro",
        "enclave/simulated",
        "host",
        "sdk/attestation",
        "sdk",
        "tests",
    ];
    for path in String::from_utf8(listed.stdout)?.lines() {
        let lines = std::fs::read_to_string(root.join(path))?.lines().count();
        if let Some(folder) = folders.into_iter().find(|folder| path.starts_with(&format!("{folder}/"))) {
            crates.entry(folder).or_default().push((lines, path.to_owned()));
        }
    }
    println!("{:<20}{:>7}{:>7}{:>8}  longest", "crate", "files", "lines", "median");
    for (folder, mut files) in crates {
        files.sort();
        let total: usize = files.iter().map(|(lines, _)| lines).sum();
        if let (Some((median, _)), Some((most, longest))) = (files.get(files.len() / 2), files.last()) {
            println!("{folder:<20}{:>7}{total:>7}{median:>8}  {most} {longest}", files.len());
        }
    }
    Ok(())
}
