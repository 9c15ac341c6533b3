//! The key file: JSON with the public key, and the seed either encrypted (Argon2id, AES-256-GCM) or, for what a service uses unattended,
//! plain.
//!
//! Parameters of the key derivation are read within bounds: a file can neither ask for less work than we write nor for more memory
//! than a laptop has.

use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Passphrase;
use crate::error::Error;
use crate::{files, random};

/// Longest key file in bytes.
pub const KEY_FILE_BYTES_MAX: usize = 4 * 1024;

const VERSION: u32 = 1;
const KDF: &str = "argon2id";
const MEMORY_KIB: u32 = 64 * 1024;
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES: u32 = 3;
const PASSES_MAX: u32 = 16;
const LANES: u32 = 1;
const LANES_MAX: u32 = 4;
const TAG_BYTES: usize = 16;

/// First bytes of the AAD. The format is this crate's own and never leaves the machine, so it is not among the wire's prefixes.
const AAD_PREFIX: &[u8] = b"strongroom/v1/key-file\0";

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u32,
    #[serde(rename = "use")]
    purpose: String,
    public_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    protected: Option<Protected>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<Zeroizing<String>>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Protected {
    kdf: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    nonce: String,
    ciphertext: String,
}

/// What a key file holds of a key: its use, its public half, and the seed that everything follows from.
pub(crate) struct Held<'a> {
    /// The name of its use.
    pub(crate) purpose: &'static str,
    /// The public key.
    pub(crate) public_key: &'a [u8],
    /// The seed.
    pub(crate) seed: &'a [u8; 32],
}

pub(crate) fn encrypt(key: &Held<'_>, passphrase: &Passphrase) -> Result<Vec<u8>, Error> {
    let salt: [u8; 16] = random::bytes()?;
    let nonce: [u8; 12] = random::bytes()?;
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).map_err(|error| Error::malformed("key file", error))?;
    let cipher = cipher(passphrase, &salt, params)?;
    let mut sealed = Zeroizing::new(Vec::with_capacity(key.seed.len() + TAG_BYTES));
    sealed.extend_from_slice(key.seed.as_slice());
    cipher
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad(key.purpose, key.public_key)),
            &mut *sealed,
        )
        .map_err(|_| Error::malformed("key file", "it cannot be encrypted"))?;
    let protected = Protected {
        kdf: KDF.to_owned(),
        memory_kib: MEMORY_KIB,
        passes: PASSES,
        lanes: LANES,
        salt: hex::encode(salt),
        nonce: hex::encode(nonce),
        ciphertext: hex::encode(sealed.as_slice()),
    };
    Ok(json(key, Some(protected), None).to_vec())
}

pub(crate) fn plain(key: &Held<'_>) -> Zeroizing<Vec<u8>> {
    json(key, None, Some(Zeroizing::new(hex::encode(key.seed.as_slice()))))
}

fn json(key: &Held<'_>, protected: Option<Protected>, seed: Option<Zeroizing<String>>) -> Zeroizing<Vec<u8>> {
    let file = KeyFile {
        version: VERSION,
        purpose: key.purpose.to_owned(),
        public_key: hex::encode(key.public_key),
        protected,
        seed,
    };
    let mut out = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES_MAX));
    serde_json::to_writer_pretty(&mut *out, &file).expect("strings and numbers always have a JSON form");
    out.push(b'\n');
    out
}

/// Reads the seed of a key of this use. `may_be_plain`: the file may hold it unencrypted.
pub(crate) fn open(
    path: &Path,
    purpose: &str,
    may_be_plain: bool,
    passphrase: impl FnOnce() -> Result<Passphrase, Error>,
) -> Result<(Zeroizing<[u8; 32]>, Vec<u8>), Error> {
    let refuse = |problem: &str| Error::File { path: path.to_owned(), problem: problem.to_owned() };
    let bytes = files::read(path, KEY_FILE_BYTES_MAX)?;
    let file: KeyFile = serde_json::from_slice(&bytes).map_err(|error| refuse(&format!("no key file: {error}")))?;
    if file.version != VERSION {
        return Err(refuse(&format!("version {} of the key file is unknown; {VERSION} is known", file.version)));
    }
    if file.purpose != purpose {
        return Err(refuse(&format!("holds a {:?} key, not a {purpose} key", file.purpose)));
    }
    let public_key = hex::decode(&file.public_key).map_err(|_| refuse("public_key is not hex"))?;
    let seed = match (&file.protected, &file.seed) {
        (Some(protected), None) => {
            let (salt, nonce, params) = bounded(protected).map_err(|problem| refuse(&problem))?;
            let mut sealed = Zeroizing::new(hex::decode(&protected.ciphertext).map_err(|_| refuse("no hex"))?);
            let cipher = cipher(&passphrase()?, &salt, params)?;
            let aad = Aad::from(aad(purpose, &public_key));
            let opened = cipher.open_in_place(Nonce::assume_unique_for_key(nonce), aad, &mut sealed);
            let opened = opened.map_err(|_| Error::Passphrase(path.to_owned()))?;
            (&*opened).try_into().map_err(|_| refuse("the key has not 32 bytes"))?
        }
        (None, Some(seed)) if may_be_plain => from_hex(seed).ok_or_else(|| refuse("seed is not 32 bytes in hex"))?,
        _ => {
            return Err(refuse("holds not exactly one of an encrypted key and (where its use allows it) a plain one"));
        }
    };
    Ok((Zeroizing::new(seed), public_key))
}

/// Refuses a file whose public half is another key's.
pub(crate) fn same_key(path: &Path, named: &[u8], found: &[u8]) -> Result<(), Error> {
    if named == found {
        return Ok(());
    }
    Err(Error::File { path: path.to_owned(), problem: "public_key does not belong to the key".to_owned() })
}

/// Salt, nonce and work of a protected key, refused outside the bounds.
fn bounded(file: &Protected) -> Result<([u8; 16], [u8; 12], Params), String> {
    if file.kdf != KDF {
        return Err(format!("kdf {:?} is unknown; {KDF} is known", file.kdf));
    }
    for (name, value, min, max) in [
        ("memory_kib", file.memory_kib, MEMORY_KIB, MEMORY_KIB_MAX),
        ("passes", file.passes, PASSES, PASSES_MAX),
        ("lanes", file.lanes, LANES, LANES_MAX),
    ] {
        if !(min..=max).contains(&value) {
            return Err(format!("{name} is {value}; {min} to {max} are allowed"));
        }
    }
    let salt = from_hex(&file.salt).ok_or("salt is not 16 bytes in hex")?;
    let nonce = from_hex(&file.nonce).ok_or("nonce is not 12 bytes in hex")?;
    let params = Params::new(file.memory_kib, file.passes, file.lanes, Some(32)).map_err(|error| error.to_string())?;
    Ok((salt, nonce, params))
}

fn cipher(passphrase: &Passphrase, salt: &[u8], params: Params) -> Result<LessSafeKey, Error> {
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.bytes(), salt, &mut *key)
        .map_err(|error| Error::malformed("key file", error))?;
    let key = UnboundKey::new(&AES_256_GCM, key.as_slice());
    key.map(LessSafeKey::new).map_err(|_| Error::malformed("key file", "its key has not 32 bytes"))
}

fn aad(purpose: &str, public_key: &[u8]) -> Vec<u8> {
    [AAD_PREFIX, purpose.as_bytes(), b"\0", public_key].concat()
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    hex::decode_to_slice(text, &mut out).ok().map(|()| out)
}
