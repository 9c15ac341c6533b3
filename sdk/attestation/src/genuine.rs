//! What a verified document gives: first only which image it is, and after the caller's policy said
//! yes its keys and data.

use crate::chain::Chain;
use crate::error::AttestationError;
use crate::payload::{Payload, Pcr, Pcrs};
use crate::policy::ImagePolicy;
use crate::root::{Root, hex};
use crate::time::{Span, Time, Window};
use std::fmt;

/// One check that a document passed, with the value that passed it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// The value, for people.
    pub value: String,
}

/// A document that the root's chain signed, of an enclave that is not in debug mode. Nothing says yet
/// that its image is to be trusted, so it gives neither keys nor user data.
pub struct Genuine {
    module_id: String,
    timestamp: Time,
    pcrs: Pcrs,
    window: Window,
    checks: Vec<Check>,
    public_key: Option<Vec<u8>>,
    user_data: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
}

impl Genuine {
    pub(crate) fn new(payload: &Payload<'_>, root: &Root, chain: &Chain, document_bytes: usize, at: Time) -> Self {
        Self {
            module_id: payload.module_id.to_owned(),
            timestamp: payload.timestamp,
            pcrs: payload.pcrs.clone(),
            window: chain.window,
            checks: checks(payload, root, chain, document_bytes, at),
            public_key: payload.public_key.map(<[u8]>::to_vec),
            user_data: payload.user_data.map(<[u8]>::to_vec),
            nonce: payload.nonce.map(<[u8]>::to_vec),
        }
    }

    /// The NSM's name: instance id and enclave id.
    #[must_use]
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// When the NSM made the document.
    #[must_use]
    pub fn timestamp(&self) -> Time {
        self.timestamp
    }

    /// The locked PCRs: which image this is. To show or to judge, not to trust.
    #[must_use]
    pub fn pcrs(&self) -> &Pcrs {
        &self.pcrs
    }

    /// From when to when all certificates of the chain are valid.
    #[must_use]
    pub fn validity(&self) -> (Time, Time) {
        (self.window.not_before, self.window.not_after)
    }

    /// The checks that the document passed, in order, for a report.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// Trusts the document if `policy` accepts its image.
    ///
    /// # Errors
    /// [`AttestationError::PcrNotLocked`] or [`AttestationError::NotAccepted`], with the PCRs that the
    /// document has.
    pub fn accept(self, policy: &ImagePolicy) -> Result<Attested, AttestationError> {
        policy.check(&self.pcrs)?;
        Ok(Attested(self))
    }
}

impl fmt::Debug for Genuine {
    /// Leaves out what only [`Attested`] may give.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Genuine")
            .field("module_id", &self.module_id)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}

/// A document of an image that the caller's policy accepts.
#[derive(Debug)]
pub struct Attested(Genuine);

impl Attested {
    /// The public key that the enclave bound, 1 to 1024 bytes; for KMS an RSA SPKI DER.
    #[must_use]
    pub fn public_key(&self) -> Option<&[u8]> {
        self.0.public_key.as_deref()
    }

    /// The data that the enclave bound, at most 512 bytes.
    #[must_use]
    pub fn user_data(&self) -> Option<&[u8]> {
        self.0.user_data.as_deref()
    }

    /// The nonce that the enclave bound, at most 512 bytes.
    #[must_use]
    pub fn nonce(&self) -> Option<&[u8]> {
        self.0.nonce.as_deref()
    }

    /// A locked PCR's value.
    #[must_use]
    pub fn pcr(&self, index: u8) -> Option<&Pcr> {
        self.0.pcrs.get(&index)
    }

    /// What the document said before it was accepted: name, time, validity, checks.
    #[must_use]
    pub fn genuine(&self) -> &Genuine {
        &self.0
    }
}

fn checks(payload: &Payload<'_>, root: &Root, chain: &Chain, document_bytes: usize, at: Time) -> Vec<Check> {
    let age = Span::between(payload.timestamp, at);
    let check = |name, value| Check { name, value };
    let mut checks = vec![
        check("form", format!("COSE_Sign1, {document_bytes} bytes")),
        check("root", format!("{}, SHA-256 {}", root.name(), hex(root.fingerprint()))),
        check(
            "chain",
            format!(
                "{} certificates, all valid from {} to {}",
                chain.certificates, chain.window.not_before, chain.window.not_after
            ),
        ),
        check("signature", "ES384 by the leaf certificate".to_owned()),
        check("time", format!("made at {}, {age} ago", payload.timestamp)),
        check("not in debug mode", "PCR0-2 are not zero".to_owned()),
        check("module", payload.module_id.to_owned()),
    ];
    let names = ["PCR0 (image)", "PCR1 (kernel)", "PCR2 (application)"];
    let images = names.into_iter().zip([0, 1, 2]);
    for (name, index) in images.chain([("PCR16 (manifest)", 16)]) {
        let value = payload.pcrs.get(&index);
        let value = value.map_or_else(|| "not locked".to_owned(), |value| hex(value));
        checks.push(check(name, value));
    }
    checks
}
