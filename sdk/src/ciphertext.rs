//! What a device or an app encrypts itself, under a key that no enclave has: of a password, of a cloud account, or a key in escrow.
//!
//! One ciphertext for each pair of a generation, named by its SHA-256. Nothing here is secret; what opens it stays with its user.

use strongroom_proto::id::ContentHash;
use strongroom_proto::limits::CIPHERTEXT_BYTES_MAX;
use strongroom_proto::v1::{ClientCiphertext, GetClientCiphertextsResponse, Pair, Storage};

use crate::error::{Error, array, expect, expect_bytes};
use crate::intent::sorted_pairs;
use crate::view::Generation;

mod format;
mod password;
mod strength;

pub use password::{Belongs, NewPassword, PASSWORD_BYTES_MAX, Password, encrypt, open};
pub use strength::{Known, PASSWORD_CHARS_MIN};

/// The method whose ciphertexts this crate makes and opens itself.
pub const PASSWORD: &str = "PASSWORD";

const PART: &str = "ciphertext";

/// The ciphertexts of one generation: one for each pair, in the order of their ids, each within its limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Ciphertexts(Vec<(Pair, Vec<u8>)>);

impl Ciphertexts {
    /// Takes one ciphertext for each pair, in any order.
    ///
    /// # Errors
    /// [`Error::Input`] names the pair and the limit.
    pub fn new(list: Vec<(Pair, Vec<u8>)>) -> Result<Self, Error> {
        let pairs: Vec<Pair> = list.iter().map(|(pair, _)| pair.clone()).collect();
        sorted_pairs(&pairs)?;
        for (pair, bytes) in &list {
            if !(1..=CIPHERTEXT_BYTES_MAX).contains(&bytes.len()) {
                let problem = format!("has {} bytes; 1 to {CIPHERTEXT_BYTES_MAX} are allowed", bytes.len());
                return Err(Error::input(format!("ciphertext of pair {}", pair.id), problem));
            }
        }
        let mut list = list;
        list.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        Ok(Self(list))
    }

    /// Reads what a host keeps of a generation, as its view shows it. `kept` is what the caller keeps itself, where the host has hashes only.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for another generation, other pairs or another hash; [`Error::Malformed`] past a limit; [`Error::NotKept`]
    /// where neither has the bytes.
    pub fn read(
        answer: GetClientCiphertextsResponse,
        generation: &Generation,
        kept: Option<&Self>,
    ) -> Result<Self, Error> {
        expect("answer", "generation", answer.generation, generation.number)?;
        let names = |list: &[&str]| list.join(", ");
        let found: Vec<&str> = answer.client_ciphertexts.iter().map(|it| it.pair.as_str()).collect();
        let wanted: Vec<&str> = generation.pairs.iter().map(|pair| pair.id.as_str()).collect();
        expect("answer", "list of pairs", names(&found), names(&wanted))?;
        let mut list = Vec::with_capacity(wanted.len());
        for (pair, ciphertext) in generation.pairs.iter().zip(answer.client_ciphertexts) {
            let kept = kept.and_then(|kept| kept.of(&pair.id)).map(<[u8]>::to_vec);
            let bytes = Some(ciphertext.ciphertext).filter(|bytes| !bytes.is_empty()).or(kept);
            let bytes = bytes.ok_or_else(|| Error::NotKept { pair: pair.id.clone() })?;
            if bytes.len() > CIPHERTEXT_BYTES_MAX {
                return Err(Error::malformed(PART, format_args!("it has more than {CIPHERTEXT_BYTES_MAX} bytes")));
            }
            expect_bytes(PART, "SHA-256", &ciphertext.sha256, ContentHash::of(&bytes))?;
            list.push((pair.clone(), bytes));
        }
        Self::new(list)
    }

    /// The pairs, in the order of their ids.
    pub fn pairs(&self) -> impl Iterator<Item = &Pair> {
        self.0.iter().map(|(pair, _)| pair)
    }

    /// Each pair with its ciphertext.
    pub fn iter(&self) -> impl Iterator<Item = (&Pair, &[u8])> {
        self.0.iter().map(|(pair, bytes)| (pair, bytes.as_slice()))
    }

    /// The ciphertext of a pair.
    #[must_use]
    pub fn of(&self, pair: &str) -> Option<&[u8]> {
        self.iter().find(|(it, _)| it.id == pair).map(|(_, bytes)| bytes)
    }

    /// As requests carry them: the caller's own stay with the caller, and only their hashes go.
    #[must_use]
    pub fn to_wire(&self, storage: Storage) -> Vec<ClientCiphertext> {
        let of = |(pair, bytes): (&Pair, &[u8])| ClientCiphertext {
            pair: pair.id.clone(),
            ciphertext: if storage == Storage::SelfManaged { Vec::new() } else { bytes.to_vec() },
            sha256: ContentHash::of(bytes).0.to_vec(),
        };
        self.iter().map(of).collect()
    }
}

/// Refuses ciphertexts on their way to the host that are not one of each pair with its hash, or not where they are to be kept.
pub(crate) fn check_wire(list: &[ClientCiphertext], pairs: &[Pair], storage: Storage) -> Result<(), Error> {
    let names = |list: Vec<&str>| list.join(", ");
    let found = names(list.iter().map(|it| it.pair.as_str()).collect());
    expect("backup", "list of ciphertexts", found, names(pairs.iter().map(|pair| pair.id.as_str()).collect()))?;
    for it in list {
        array::<32>(PART, "SHA-256", &it.sha256)?;
        match (storage, it.ciphertext.is_empty()) {
            (Storage::SelfManaged, true) => {}
            (Storage::SelfManaged, false) => {
                return Err(Error::malformed(PART, "it came along, and its owner is to keep it"));
            }
            (_, _) if it.ciphertext.is_empty() || it.ciphertext.len() > CIPHERTEXT_BYTES_MAX => {
                let bytes = it.ciphertext.len();
                let problem =
                    format_args!("that of pair {} has {bytes} bytes; 1 to {CIPHERTEXT_BYTES_MAX} are allowed", it.pair);
                return Err(Error::malformed(PART, problem));
            }
            (_, _) => expect_bytes(PART, "SHA-256", &it.sha256, ContentHash::of(&it.ciphertext))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
