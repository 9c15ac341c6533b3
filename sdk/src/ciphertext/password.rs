//! Shares under a password: Argon2id gives a key-encryption key, HKDF-SHA256 one key for each pair, AES-256-GCM the ciphertext.
//!
//! The host keeps the ciphertext and can guess at leisure, so that a new password is a [`NewPassword`], which only a strong one becomes.
//! Never says whether a password was wrong or a ciphertext was changed: nobody can know.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use icu_normalizer::ComposingNormalizerBorrowed;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use strongroom_proto::contents::Share;
use strongroom_proto::id::TenantId;
use strongroom_proto::secret::{Secret, SecretBuffer};
use strongroom_proto::v1::Pair;
use zeroize::Zeroizing;

use super::format::{HEADER_BYTES, Header, TAG_BYTES};
use super::strength::{self, Known};
use super::{Ciphertexts, PART};
use crate::error::Error;
use crate::random;

/// Longest password in bytes, after normalisation.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// What a user typed, in Unicode's normalisation form NFKC: the same password from every keyboard. Erased on drop, never shown.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes the text; the caller keeps no copy.
    ///
    /// # Errors
    /// [`Error::Input`] for an empty one, one longer than [`PASSWORD_BYTES_MAX`], and one with control characters.
    pub fn new(text: String) -> Result<Self, Error> {
        let text = Zeroizing::new(text);
        let refuse = |problem: String| Err(Error::input("password", problem));
        // Before it is normalised, so that nobody normalises megabytes.
        if text.len() > PASSWORD_BYTES_MAX {
            return refuse(format!("longer than {PASSWORD_BYTES_MAX} bytes"));
        }
        let normal = Zeroizing::new(ComposingNormalizerBorrowed::new_nfkc().normalize(&text).into_owned());
        if normal.is_empty() {
            return refuse("empty".to_owned());
        }
        if normal.len() > PASSWORD_BYTES_MAX {
            return refuse(format!("longer than {PASSWORD_BYTES_MAX} bytes"));
        }
        if normal.chars().any(char::is_control) {
            return refuse("with a control character, which not every keyboard can type".to_owned());
        }
        Ok(Self(normal))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A password that is strong enough for what a host can guess at leisure.
#[derive(Debug)]
pub struct NewPassword(Password);

impl NewPassword {
    /// Takes a strong password, which has nothing in it that is known of its user's wallet.
    ///
    /// # Errors
    /// [`Error::Input`] says why it is too weak, and never repeats it.
    pub fn new(password: Password, known: &Known<'_>) -> Result<Self, Error> {
        strength::check(password.text(), known)?;
        Ok(Self(password))
    }
}

/// Where ciphertexts belong. They open nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Belongs<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The wallet.
    pub wallet: &'a str,
    /// The backup.
    pub backup: &'a str,
    /// Its method.
    pub method: &'a str,
    /// The generation.
    pub generation: u64,
}

/// Encrypts the shares of a generation, one for each pair, under a password: one salt for all, one key for each.
///
/// # Errors
/// [`Error::Input`] and [`Error::Mismatch`] for shares that are not one of each pair; [`Error::Random`].
pub fn encrypt(
    belongs: &Belongs<'_>,
    pairs: &[Pair],
    shares: &[Share],
    password: &NewPassword,
) -> Result<Ciphertexts, Error> {
    encrypt_with(Header::new(random::bytes()?), belongs, (pairs, shares), password)
}

pub(super) fn encrypt_with(
    header: Header,
    belongs: &Belongs<'_>,
    (pairs, shares): (&[Pair], &[Share]),
    password: &NewPassword,
) -> Result<Ciphertexts, Error> {
    crate::device::check_shares(shares)?;
    let mut sorted: Vec<&Share> = shares.iter().collect();
    sorted.sort_by(|a, b| a.pair.cmp(&b.pair));
    let pairs = crate::intent::sorted_pairs(pairs)?;
    let names = |list: Vec<&str>| list.join(", ");
    let given = names(sorted.iter().map(|share| share.pair.as_str()).collect());
    let wanted = names(pairs.iter().map(|pair| pair.id.as_str()).collect());
    crate::error::expect("backup", "list of shares", given, wanted)?;
    let master = Master::of(header, &password.0)?;
    let mut list = Vec::with_capacity(pairs.len());
    for (pair, share) in pairs.into_iter().zip(sorted) {
        let aad = header.aad(belongs, &pair.id);
        let secret = share.bytes.expose();
        let mut sealed = SecretBuffer::new(Vec::with_capacity(HEADER_BYTES + secret.len() + TAG_BYTES));
        sealed.extend_from_slice(secret);
        master
            .key(&aad)?
            .seal_in_place_append_tag(once(), Aad::from(&aad), &mut *sealed)
            .map_err(|_| Error::malformed(PART, "it cannot be made"))?;
        list.push((pair, [&header.to_bytes(), sealed.into_public().as_slice()].concat()));
    }
    Ciphertexts::new(list)
}

/// Opens the ciphertexts of a generation with the password that they were made under.
///
/// # Errors
/// [`Error::Malformed`] for what this crate does not write, before any work is done; [`Error::Password`] where they do not open.
pub fn open(belongs: &Belongs<'_>, ciphertexts: &Ciphertexts, password: &Password) -> Result<Vec<Share>, Error> {
    let parts =
        ciphertexts.iter().map(|(pair, bytes)| Header::read(bytes).map(|(header, sealed)| (pair, header, sealed)));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let (_, first, _) = *parts.first().ok_or_else(|| Error::malformed(PART, "there is none"))?;
    // Made together under one salt: a host cannot make a device work for each of them.
    if parts.iter().any(|(_, header, _)| *header != first) {
        return Err(Error::malformed(PART, "those of one generation have different headers"));
    }
    let master = Master::of(first, password)?;
    let opened = parts.into_iter().map(|(pair, header, sealed)| {
        let aad = header.aad(belongs, &pair.id);
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let opened = master.key(&aad)?.open_in_place(once(), Aad::from(&aad), &mut sealed);
        let opened = opened.map_err(|_| Error::Password)?;
        Ok(Share { pair: pair.id.clone(), bytes: Secret::take(opened) })
    });
    opened.collect()
}

/// The key-encryption key of one password and one salt: erased on drop.
struct Master {
    key: Zeroizing<[u8; 32]>,
    salt: Salt,
}

impl Master {
    fn of(header: Header, password: &Password) -> Result<Self, Error> {
        let failed = |error: argon2::Error| Error::malformed(PART, error);
        let params = Params::new(header.memory_kib, header.passes, header.lanes, Some(32)).map_err(failed)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.text().as_bytes(), &header.salt, &mut *key)
            .map_err(failed)?;
        Ok(Self { key, salt: Salt::new(HKDF_SHA256, &header.salt) })
    }

    /// The key of one pair.
    fn key(&self, info: &[u8]) -> Result<LessSafeKey, Error> {
        let failed = |_| Error::malformed(PART, "its key cannot be derived");
        let key = self.salt.extract(self.key.as_slice());
        key.expand(&[info], &AES_256_GCM).map(UnboundKey::from).map(LessSafeKey::new).map_err(failed)
    }
}

/// Each key is used once: its salt is new, and its info names the pair.
fn once() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}
