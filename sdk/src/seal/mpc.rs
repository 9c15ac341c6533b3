//! Keys of MPC servers: custodian shares are released to those that the tenant's statement lists, and to nobody else.

use std::fmt;
use std::path::Path;

use strongroom_proto::id::{ContentHash, RecordId};
use strongroom_proto::intent as form;
use strongroom_proto::limits::CHANNEL_KEY_BYTES;
use strongroom_proto::signed::recipient_hash;
use strongroom_proto::v1::{Pair, Reason, Role};

use super::{Expected, RecipientKey, Share};
use crate::error::Error;
use crate::exchange::Delivery;
use crate::files;
use crate::intent::EncodedIntent;
use crate::keys::Passphrase;
use crate::keys::file::{Held, encrypt, open, plain, same_key};
use crate::receipt::{Awaited, verify_delivery};
use crate::statement::VerifiedStatement;

/// The use of the key, in its file.
const MPC: &str = "mpc";
const PART: &str = "delivery";

/// The public key of an MPC server that the statement lists.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MpcRecipient {
    public_key: Vec<u8>,
    hash: ContentHash,
}

impl MpcRecipient {
    /// Takes a public key that the statement lists.
    ///
    /// # Errors
    /// `RECIPIENT_NOT_ALLOWED`, as the enclave would refuse it.
    pub fn listed(public_key: &[u8], statement: &VerifiedStatement) -> Result<Self, Error> {
        let refuse = |detail: &str| Error::would_be_refused(Reason::RecipientNotAllowed, detail);
        let hash = recipient_hash(public_key)
            .ok_or_else(|| refuse("recipient_key: not an X-Wing public key of 1,216 bytes"))?;
        if !statement.is_mpc_recipient(&hash) {
            return Err(refuse("intent.custodian.recipient: not one of the statement's mpc_recipients"));
        }
        Ok(Self { public_key: public_key.to_vec(), hash })
    }

    /// Reads a file that holds a public key and nothing else.
    ///
    /// # Errors
    /// [`Error::File`], or as [`MpcRecipient::listed`].
    pub fn read(path: &Path, statement: &VerifiedStatement) -> Result<Self, Error> {
        Self::listed(&files::read(path, CHANNEL_KEY_BYTES)?, statement)
    }

    /// The X-Wing public key, 1,216 bytes.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// How an intent and a statement name it.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        self.hash
    }
}

/// The key pair of an MPC server. Lives as long as the statement lists it.
pub struct MpcKey(RecipientKey);

impl MpcKey {
    /// A new key.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn generate() -> Result<Self, Error> {
        RecipientKey::generate().map(Self)
    }

    #[cfg(test)]
    pub(crate) fn from_seed(seed: zeroize::Zeroizing<[u8; 32]>) -> Result<Self, Error> {
        RecipientKey::from_seed(seed).map(Self)
    }

    /// The X-Wing public key, 1,216 bytes.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.0.public_key()
    }

    /// How an intent and a statement name it.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        self.0.hash()
    }

    /// Writes the key to a new file, encrypted under a passphrase.
    ///
    /// # Errors
    /// [`Error::Input`] for a weak passphrase, [`Error::Exists`] or [`Error::File`].
    pub fn write_protected(&self, path: &Path, passphrase: &Passphrase) -> Result<(), Error> {
        passphrase.check_new()?;
        files::write_new(path, &encrypt(&self.held(), passphrase)?)
    }

    /// Writes the key to a new file, for its owner's eyes only but not encrypted: for a server that opens releases unattended.
    ///
    /// # Errors
    /// [`Error::Exists`] or [`Error::File`].
    pub fn write_plain(&self, path: &Path) -> Result<(), Error> {
        files::write_new(path, &plain(&self.held()))
    }

    /// Reads a key file of either form. `passphrase` is asked only where the file needs one.
    ///
    /// # Errors
    /// [`Error::File`] for what is no key file of an MPC server, [`Error::Passphrase`] where it does not open.
    pub fn read(path: &Path, passphrase: impl FnOnce() -> Result<Passphrase, Error>) -> Result<Self, Error> {
        let (seed, public_key) = open(path, MPC, true, passphrase)?;
        let key = RecipientKey::from_seed(seed)?;
        same_key(path, &public_key, key.public_key())?;
        Ok(Self(key))
    }

    fn held(&self) -> Held<'_> {
        Held { purpose: MPC, public_key: self.0.public_key(), seed: &self.0.seed }
    }

    /// Opens a release of the custodian role, after its receipt: nothing is opened that no receipt vouches for, and nothing is given out
    /// that is not what the intent asked for.
    ///
    /// # Errors
    /// As [`verify_delivery`], then as [`RecipientKey::open`].
    pub fn open(
        &self,
        delivery: &Delivery,
        statement: &VerifiedStatement,
        wallet: &str,
        record_id: RecordId,
        pairs: &[Pair],
    ) -> Result<Vec<Share>, Error> {
        let fields = form::decode(&delivery.intent).map_err(|error| Error::malformed("intent", error))?;
        let intent = EncodedIntent::new(fields)?;
        let signed = delivery.receipt.as_ref().ok_or_else(|| Error::malformed(PART, "it has no receipt"))?;
        let role = Role::Custodian;
        let awaited = Awaited { role, wallet, record_id, recipient: self.hash() };
        let (generation, keys) = verify_delivery(signed, statement, &intent, &delivery.release, &awaited)?;
        let expected = Expected {
            role,
            tenant: &statement.tenant(),
            kek_id: &keys.kek_id,
            record_id: &record_id,
            intent: &intent.hash,
            generation,
            pairs,
        };
        self.0.open(&delivery.release, &expected)
    }
}

impl fmt::Debug for MpcKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MpcKey({}, [redacted])", self.hash())
    }
}

#[cfg(test)]
mod tests;
