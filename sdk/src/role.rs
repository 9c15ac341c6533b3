//! Names of roles and curves, as people write them.

use strongroom_proto::v1::{Curve, Role};

/// The role's name in lower case.
#[must_use]
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "unspecified",
        Role::Client => "client",
        Role::Custodian => "custodian",
    }
}

/// The curve's name in lower case.
#[must_use]
pub fn curve_name(curve: Curve) -> &'static str {
    match curve {
        Curve::Unspecified => "unspecified",
        Curve::Secp256k1 => "secp256k1",
        Curve::Ed25519 => "ed25519",
    }
}

/// The curve with this name.
#[must_use]
pub fn curve_of(name: &str) -> Option<Curve> {
    [Curve::Secp256k1, Curve::Ed25519].into_iter().find(|curve| curve_name(*curve) == name)
}
