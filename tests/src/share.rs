//! A share file as wallets keep them: the client's half of two key pairs, of 8 KiB together.

use serde_json::json;

/// Bytes of both shares together.
pub const SHARES_BYTES: usize = 8 * 1024;

/// The shares of a wallet on two curves, random, as `(pair, curve, bytes)`.
#[must_use]
pub fn two_curves() -> [(&'static str, &'static str, Vec<u8>); 2] {
    [
        ("eth-main", "secp256k1", share("secp256k1", SHARES_BYTES / 2)),
        ("sol-main", "ed25519", share("ed25519", SHARES_BYTES / 2)),
    ]
}

/// One share of `size` bytes: JSON with a secret scalar and the pre-computed material that MPC protocols keep beside it.
fn share(curve: &str, size: usize) -> Vec<u8> {
    let scalar = hex::encode(random(32));
    let empty = json!({ "curve": curve, "share": scalar, "paillier": "", "version": 6 }).to_string();
    let mut material = hex::encode(random(size));
    material.truncate(size.saturating_sub(empty.len()));
    json!({ "curve": curve, "share": scalar, "paillier": material, "version": 6 }).to_string().into_bytes()
}

fn random(len: usize) -> Vec<u8> {
    use ring::rand::SecureRandom;
    let mut out = vec![0; len];
    ring::rand::SystemRandom::new().fill(&mut out).expect("the kernel gives randomness");
    out
}
