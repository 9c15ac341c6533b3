//! The committed corpus, through the functions that libFuzzer drives.

use std::path::{Path, PathBuf};

use strongroom_fuzz_targets::{TARGETS, run};

/// Most bytes of the whole corpus.
const CORPUS_BYTES_MAX: u64 = 400 * 1024;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

fn replay(target: &str) {
    let mut inputs: Vec<PathBuf> =
        std::fs::read_dir(corpus().join(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= 10, "{target}: only {} inputs; run `make corpus`", inputs.len());
    for input in &inputs {
        println!("{}", input.display());
        run(target, &std::fs::read(input).unwrap());
    }
    // What no corpus holds: the edges of every reader.
    for edge in [&[][..], &[0], &[0xff; 64], &[0x80; 64], &[0x30, 0x80].repeat(100), &[0x9f; 5000]] {
        run(target, edge);
    }
}

macro_rules! replays {
    ($($target:ident)*) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target));
        })*

        #[test]
        fn every_target_is_replayed_and_the_corpus_is_small() {
            assert_eq!(TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [$(stringify!($target)),*]);
            for (name, _) in TARGETS {
                let driver = corpus().join(format!("../../fuzz/targets/{name}.rs"));
                assert!(std::fs::read_to_string(driver).unwrap().contains(&format!("run(\"{name}\"")), "{name}");
            }
            let files = TARGETS.iter().flat_map(|(name, _)| std::fs::read_dir(corpus().join(name)).unwrap());
            let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
            assert!(bytes <= CORPUS_BYTES_MAX, "{bytes} bytes of corpus");
        }
    };
}

replays! { assertion cms document frame intent record statement }
