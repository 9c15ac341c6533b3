//! The development KMS: AWS's JSON 1.1 protocol over TLS, key policies with conditions on attestation
//! and encryption context, and the `Recipient` answers that only an attested enclave can open.
//!
//! It stands where AWS KMS stands in a deployment, so that an enclave's KMS client runs unchanged. It
//! verifies each attestation document, evaluates the key's policy (deny wins, nothing is allowed by
//! default) and keeps its keys in a private file. It refuses what it does not implement rather than
//! ignore it.
//!
//! Every call must be signed (AWS Signature Version 4) by one of its own users; see [`users`].
//!
//! It protects nothing against whoever reads its files. IAM policies do not exist: where a key policy
//! leaves a decision to IAM, by naming an account, it is as if IAM allowed everything to every user of that
//! account, which is the worst that a deployment may find. `CreateKey` and `GenerateRandom`, about which
//! only IAM speaks, are open to every user likewise.

pub mod authorization;
pub mod blob;
pub mod cms;
pub mod error;
pub mod keys;
pub mod operations;
pub mod policy;
pub mod request;
pub mod server;
pub mod sigv4;
pub mod tls;
pub mod users;

use crate::error::SimulatedError;
use crate::nsm::{Clock, system_time_ms};
use cms::Shape;
use keys::KeyStore;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use strongroom_attestation::Root;
use users::Users;

/// Longest region name, in bytes.
const REGION_BYTES_MAX: usize = 32;

/// Where the keys live: region and account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    region: String,
    account: String,
}

impl Place {
    /// A region such as `eu-central-1` and an account of 12 digits.
    ///
    /// # Errors
    /// [`SimulatedError::Refused`].
    pub fn new(region: &str, account: &str) -> Result<Self, SimulatedError> {
        let refused = |what, value: &str, reason| SimulatedError::Refused { what, value: value.to_owned(), reason };
        let region_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if region.is_empty() || region.len() > REGION_BYTES_MAX || !region.bytes().all(region_byte) {
            return Err(refused("region", region, "not lower-case letters, digits and '-'"));
        }
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refused("account", account, "not 12 digits"));
        }
        Ok(Self { region: region.to_owned(), account: account.to_owned() })
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The account, 12 digits.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The ARN of a key.
    #[must_use]
    pub fn key_arn(&self, key_id: &str) -> String {
        format!("arn:aws:kms:{}:{}:key/{key_id}", self.region, self.account)
    }

    /// The name of the endpoint, which the TLS certificate carries.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("kms.{}.amazonaws.com", self.region)
    }
}

/// The key service: what [`operations`] work on.
pub struct DevKms {
    place: Place,
    keys: KeyStore,
    users: Users,
    attestation_root: Root,
    clock: Clock,
    primitive_next: AtomicBool,
}

impl DevKms {
    /// Opens the keys and reads the users in the folder `state`, which must exist; documents must be signed under
    /// `attestation_root`.
    ///
    /// # Errors
    /// [`SimulatedError::File`], [`SimulatedError::Form`].
    pub fn open(state: &Path, place: Place, attestation_root: Root) -> Result<Self, SimulatedError> {
        Ok(Self {
            keys: KeyStore::open(&state.join("keys.json"))?,
            users: Users::open(state)?,
            place,
            attestation_root,
            clock: Arc::new(system_time_ms),
            primitive_next: AtomicBool::new(false),
        })
    }

    /// Sets another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Region and account.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn keys(&self) -> &KeyStore {
        &self.keys
    }

    pub(crate) fn users(&self) -> &Users {
        &self.users
    }

    pub(crate) fn attestation_root(&self) -> &Root {
        &self.attestation_root
    }

    pub(crate) fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    /// AWS answers in two shapes; every other answer has the other one, so that a client meets both.
    pub(crate) fn next_shape(&self) -> Shape {
        if self.primitive_next.fetch_xor(true, Ordering::Relaxed) { Shape::Primitive } else { Shape::Constructed }
    }
}
