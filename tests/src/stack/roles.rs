//! What each role of a stack has of its own: an enclave's process, a socket, a manifest, a KMS key and the IAM user that may use it.

use std::path::{Path, PathBuf};

use strongroom_proto::v1::Role;

use super::kms_admin::{CUSTODIAN_USER, ENCLAVE_USER};

/// Both roles of a wallet that is backed up whole.
pub const BOTH: &[Role] = &[Role::Client, Role::Custodian];
/// A stack for client shares alone.
pub const CLIENT: &[Role] = &[Role::Client];

/// The role's name in commands, configuration and file names.
#[must_use]
pub fn name(role: Role) -> &'static str {
    match role {
        Role::Custodian => "custodian",
        Role::Client | Role::Unspecified => "client",
    }
}

/// IAM user whose access key the host hands to the role's enclave.
#[must_use]
pub fn kms_user(role: Role) -> &'static str {
    match role {
        Role::Custodian => CUSTODIAN_USER,
        Role::Client | Role::Unspecified => ENCLAVE_USER,
    }
}

/// The enclave's socket in a stack's folder.
#[must_use]
pub fn socket(folder: &Path, role: Role) -> PathBuf {
    folder.join(format!("run/{}.sock", name(role)))
}

/// The manifest in a stack's folder.
#[must_use]
pub fn manifest(folder: &Path, role: Role) -> PathBuf {
    folder.join(format!("{}.manifest", name(role)))
}
