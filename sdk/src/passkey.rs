//! A passkey in software, kept in a file: an ES256 credential (WebAuthn level 3) for tests, scripts and demonstrations.
//!
//! Asks nobody: whoever reads the file is the user. It never holds a share, and never sends its private key anywhere.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use strongroom_proto::id::{IntentHash, sha256};
use strongroom_proto::limits::CREDENTIAL_ID_BYTES_MAX;
use strongroom_proto::statement::is_rp_id;
use strongroom_proto::v1::{Assertion, NewCredential};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::{files, random};

/// Longest passkey file in bytes.
pub const PASSKEY_FILE_BYTES_MAX: usize = 8 * 1024;

const VERSION: u32 = 1;
/// UP, UV, BE and BS: a synced passkey whose user was verified (WebAuthn level 3, section 6.1).
const FLAGS: u8 = 0x1d;

/// An ES256 credential. Its private key is erased on drop.
pub struct Passkey {
    rp_id: String,
    credential_id: Vec<u8>,
    private_key: Zeroizing<Vec<u8>>,
    /// Uncompressed point (SEC 1): 0x04 ‖ x ‖ y.
    public_key: [u8; 65],
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct PasskeyFile {
    version: u32,
    rp_id: String,
    credential_id: String,
    /// PKCS#8, hex.
    private_key: Zeroizing<String>,
}

#[derive(Serialize)]
struct ClientData<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    challenge: &'a str,
    origin: &'a str,
    #[serde(rename = "crossOrigin")]
    cross_origin: bool,
}

impl Passkey {
    /// A new credential for a relying party, with a random id of 32 bytes.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn create(rp_id: &str) -> Result<Self, Error> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| Error::Random)?;
        let private_key = Zeroizing::new(pkcs8.as_ref().to_vec());
        Self::from_parts(rp_id.to_owned(), random::bytes::<32>()?.to_vec(), private_key)
    }

    fn from_parts(rp_id: String, credential_id: Vec<u8>, private_key: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        let pair = pair(&private_key)?;
        let public_key = pair.public_key().as_ref().try_into();
        let public_key = public_key.map_err(|_| Error::malformed("passkey", "its key is not on P-256"))?;
        Ok(Self { rp_id, credential_id, private_key, public_key })
    }

    /// The relying party that it is for.
    #[must_use]
    pub fn rp_id(&self) -> &str {
        &self.rp_id
    }

    /// WebAuthn credential id.
    #[must_use]
    pub fn credential_id(&self) -> &[u8] {
        &self.credential_id
    }

    /// What a registration gives: credential id and `COSE_Key` (RFC 9053: kty EC2, alg ES256, crv P-256, x, y).
    #[must_use]
    pub fn registration(&self) -> NewCredential {
        let (x, y) = self.public_key[1..].split_at(32);
        let public_key =
            [&[0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20][..], x, &[0x22, 0x58, 0x20], y].concat();
        NewCredential { id: self.credential_id.clone(), public_key }
    }

    /// The assertion over an intent, as a browser at `origin` would give it.
    ///
    /// # Errors
    /// [`Error::Random`] where the signature gets no randomness.
    pub fn assert(&self, intent: &IntentHash, origin: &str) -> Result<Assertion, Error> {
        let challenge = URL_SAFE_NO_PAD.encode(intent.0);
        let client_data = ClientData { kind: "webauthn.get", challenge: &challenge, origin, cross_origin: false };
        let client_data_json = serde_json::to_vec(&client_data).map_err(|e| Error::malformed("client data", e))?;
        let mut authenticator_data = sha256(&[self.rp_id.as_bytes()]).to_vec();
        authenticator_data.extend_from_slice(&[FLAGS, 0, 0, 0, 0]);
        let message = [authenticator_data.as_slice(), &sha256(&[&client_data_json])].concat();
        let signature = pair(&self.private_key)?.sign(&SystemRandom::new(), &message).map_err(|_| Error::Random)?;
        Ok(Assertion {
            credential_id: self.credential_id.clone(),
            authenticator_data,
            client_data_json,
            signature: signature.as_ref().to_vec(),
            client_extension_results: String::new(),
        })
    }

    /// Writes it to a new file for its owner's eyes only (mode 0600).
    ///
    /// # Errors
    /// [`Error::Exists`] or [`Error::File`].
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let file = PasskeyFile {
            version: VERSION,
            rp_id: self.rp_id.clone(),
            credential_id: hex::encode(&self.credential_id),
            private_key: Zeroizing::new(hex::encode(self.private_key.as_slice())),
        };
        let mut json = Zeroizing::new(Vec::with_capacity(PASSKEY_FILE_BYTES_MAX));
        serde_json::to_writer_pretty(&mut *json, &file).map_err(|e| Error::malformed("passkey", e))?;
        json.push(b'\n');
        files::write_new(path, &json)
    }

    /// Reads a file that [`Passkey::write`] wrote.
    ///
    /// # Errors
    /// [`Error::File`] says what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let refuse = |problem: String| Error::File { path: path.to_owned(), problem };
        let bytes = files::read(path, PASSKEY_FILE_BYTES_MAX)?;
        let file: PasskeyFile =
            serde_json::from_slice(&bytes).map_err(|error| refuse(format!("no passkey file: {error}")))?;
        if file.version != VERSION {
            return Err(refuse(format!("version {} of the passkey file is unknown", file.version)));
        }
        if !is_rp_id(&file.rp_id) {
            return Err(refuse("rp_id is no lower-case domain".to_owned()));
        }
        let credential_id = hex::decode(&file.credential_id).unwrap_or_default();
        if !(1..=CREDENTIAL_ID_BYTES_MAX).contains(&credential_id.len()) {
            return Err(refuse(format!("credential_id is not 1 to {CREDENTIAL_ID_BYTES_MAX} bytes in hex")));
        }
        let private_key = Zeroizing::new(hex::decode(&*file.private_key).unwrap_or_default());
        Self::from_parts(file.rp_id, credential_id, private_key)
            .map_err(|_| refuse("private_key is not a P-256 key (PKCS#8, hex)".to_owned()))
    }
}

impl fmt::Debug for Passkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passkey({}, {}, [redacted])", self.rp_id, hex::encode(&self.credential_id))
    }
}

/// Made for each use, since ring does not erase it.
fn pair(private_key: &[u8]) -> Result<EcdsaKeyPair, Error> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, private_key, &SystemRandom::new())
        .map_err(|error| Error::malformed("passkey", error))
}

#[cfg(test)]
mod tests;
