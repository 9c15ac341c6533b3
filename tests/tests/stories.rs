//! Stories over real processes: development KMS, simulated enclave, host, and devices that check everything.

mod stories {
    mod authenticators;
    mod aws_clients;
    mod boot_guards;
    mod both;
    mod clock;
    mod command;
    mod commits;
    mod demo;
    mod durability;
    mod examples;
    mod fleet;
    mod hostile;
    mod instance;
    mod kills;
    mod kms_secrets;
    mod moto;
    mod passkeys;
    mod python;
    mod recovery;
    mod releases;
    mod resources;
    mod rotation;
    mod secrets;
    mod storage;
    mod surface;
    mod upgrade;
}

use strongroom_tests::stack::Stack;
use tempfile::TempDir;

/// A stack in a folder that goes with it.
async fn stack() -> (TempDir, Stack) {
    let folder = tempfile::Builder::new().prefix("strongroom-test-").tempdir().unwrap();
    let stack = Stack::start(folder.path()).await.unwrap();
    (folder, stack)
}

/// How often a long test repeats: `short` in `make test`, `full` in `make soak`.
fn rounds(short: usize, full: usize) -> usize {
    if std::env::var_os("STRONGROOM_SOAK").is_some() { full } else { short }
}
