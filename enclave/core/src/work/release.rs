//! Releases: the shares of one generation, sealed to one recipient.

use alloc::vec::Vec;

use strongroom_proto::contents::Release as Contents;
use strongroom_proto::enclave::v1::{SealedShare, SharePart};
use strongroom_proto::id::ContentHash;
use strongroom_proto::signed::recipient_hash;
use strongroom_proto::v1::{ActKind, Reason};

use super::Scene;
use super::moved::Deed;
use crate::channel::{self, Recipient};
use crate::consent::{Authorized, Rule};
use crate::platform::Platform;
use crate::record::Record;
use crate::refusal::{Refusal, refuse};
use crate::role::RoleKind;

/// A release of one generation of a record, to the recipient that the consents were given for.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) generation: u64,
    pub(super) recipient: ContentHash,
    pub(super) eject: bool,
}

impl Release {
    /// What the release's event says.
    fn event(&self) -> ActKind {
        if self.eject { ActKind::Eject } else { ActKind::Recover }
    }
}

/// The consents that a release takes in this role.
pub(super) fn rule<R: RoleKind>(eject: bool) -> Rule {
    if eject && R::EJECTS_IN_WINDOW { Rule::Eject } else { Rule::Policy }
}

/// A release that is sealed and not yet carried out.
#[derive(Debug)]
pub(super) struct Sealed {
    /// To its recipient.
    release: Vec<u8>,
    /// Shares of a lower epoch, sealed anew.
    shares: Vec<SealedShare>,
    /// How the record names the generation's shares from here on.
    parts: Vec<SharePart>,
}

/// Opens the shares and seals them. `key` must be the recipient's, and no other.
pub(super) fn seal<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    authorized: &Authorized<Release>,
    key: &Recipient<P::Suite>,
    stored: &[SealedShare],
) -> Result<Sealed, Refusal> {
    let record = authorized.record();
    let generation = record.generation(authorized.act().generation)?;
    let mut opened = record.open_shares::<_, R>(scene.keks(), generation, stored)?;
    let resealed = record.raise_shares::<P, R>(scene.platform, scene.kek, generation.generation, &mut opened)?;
    let (shares, parts) = opened.into_iter().map(|it| (it.share, it.part)).unzip();
    let contents =
        Contents { intent: authorized.intent(), record_id: record.id, generation: generation.generation, shares };
    let contents = contents.encode().map_err(|_| refuse(Reason::DecryptFailed, "shares: not as they were stored"))?;
    let release = channel::seal(scene.platform, scene.kek, &record.id, key, &contents)?;
    Ok(Sealed { release, shares: resealed, parts })
}

/// What the release does to the record, and what its event and its receipt say.
pub(super) fn deed(record: &mut Record, release: &Release, sealed: Sealed) -> Deed {
    record.name_shares(release.generation, &sealed.parts);
    Deed {
        kind: release.event(),
        generation: release.generation,
        recipient: release.recipient.0.to_vec(),
        release: sealed.release,
        resealed: sealed.shares,
        ..Deed::default()
    }
}

/// The key that the recipient's hash names, and no other.
pub(super) fn check_recipient<P: Platform>(named: ContentHash, key: &[u8]) -> Result<Recipient<P::Suite>, Refusal> {
    let refused = |why| refuse(Reason::RecipientNotAllowed, why);
    let given = recipient_hash(key).ok_or_else(|| refused("recipient_key: not an X-Wing public key of 1,216 bytes"))?;
    if given != named {
        return Err(refused("recipient_key: not the recipient that the intent names"));
    }
    Recipient::parse(key).ok_or_else(|| refused("recipient_key: not an X-Wing public key"))
}
