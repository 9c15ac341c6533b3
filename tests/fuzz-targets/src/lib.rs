//! What `make fuzz` calls with bytes of libFuzzer's and `make test` with the committed corpus: one function for each target.
//!
//! Each asserts more than that nothing panics: what the code under test accepts is read a second time by simple readers of our own
//! (`cbor`, `json`, `ber`, `wire`), and compared. The world around the core is that of the core's own tests, so that the frames which
//! those tests write are whole requests here too.

mod assertion;
mod ber;
mod cbor;
mod cms;
mod cose;
mod document;
mod frame;
mod intent;
mod json;
pub mod mutate;
mod oracle;
mod record;
pub mod seeds;
mod stage;
mod statement;
mod wire;

#[allow(dead_code, reason = "the core's tests use all of it")]
#[path = "../../../enclave/core/tests/core/acts.rs"]
mod acts;
#[allow(dead_code, reason = "the core's tests use all of it")]
#[path = "../../../enclave/core/tests/core/device.rs"]
mod device;
#[allow(dead_code, reason = "the core's tests use all of it")]
#[path = "../../../enclave/core/tests/core/steps.rs"]
mod steps;
#[allow(dead_code, reason = "the core's tests use all of it")]
#[path = "../../../enclave/core/tests/core/tenant.rs"]
mod tenant;
#[allow(dead_code, reason = "the core's tests use all of it")]
#[path = "../../../enclave/core/tests/core/vault.rs"]
mod vault;
#[allow(dead_code, reason = "the core's tests use all of it")]
#[path = "../../../enclave/core/tests/core/world.rs"]
mod world;

/// A function that panics where the code under test breaks a rule.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("assertion", assertion::run),
    ("cms", cms::run),
    ("document", document::run),
    ("frame", frame::run),
    ("intent", intent::run),
    ("record", record::run),
    ("statement", statement::run),
];

/// Runs one target on one input.
///
/// # Panics
/// Where the code under test breaks a rule, or there is no such target.
pub fn run(target: &str, input: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    let (_, run) = found.unwrap_or_else(|| panic!("no target {target}"));
    run(input);
}
