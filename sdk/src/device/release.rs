//! Releases of one or both roles: to whom, what the request carries, and what the answer must be. Nothing is opened before every receipt
//! holds.

use strongroom_proto::contents::Share;
use strongroom_proto::id::IntentHash;
use strongroom_proto::v1::{RecoverResponse, Role, SignedReceipt};

use super::{Acted, Device, Receipted};
use crate::error::Error;
use crate::exchange::Delivery;
use crate::intent::{EncodedIntent, Recipients};
use crate::prepare::Prepared;
use crate::receipt::{self, VerifiedReceipt};
use crate::seal::{Expected, MpcRecipient, RecipientKey};
use crate::statement::{EpochKeys, VerifiedStatement};
use crate::view::{Backup, Generation};

/// Whom a role releases to.
#[derive(Clone, Copy)]
pub(super) enum To<'a> {
    /// This device.
    Own(&'a RecipientKey),
    /// An MPC server, which opens it elsewhere.
    Mpc(&'a MpcRecipient),
}

/// Whom each role that releases does so to.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a> {
    pub(super) client: Option<&'a RecipientKey>,
    pub(super) custodian: Option<To<'a>>,
}

/// What a role released.
pub(super) enum Released {
    Shares(Vec<Share>),
    Delivery(Delivery),
}

/// A release as it was asked for.
pub(super) struct Wanted<'a> {
    pub(super) backup: Backup<'a>,
    pub(super) generation: &'a Generation,
    pub(super) keys: Keys<'a>,
    /// The intent that the consents were given to; its bytes, where they are at hand, are for the MPC server.
    pub(super) intent: IntentHash,
    pub(super) bytes: Option<&'a EncodedIntent>,
}

impl<'a> Keys<'a> {
    fn of(&self, role: Role) -> Option<To<'a>> {
        match role {
            Role::Client => self.client.map(To::Own),
            Role::Custodian => self.custodian,
            Role::Unspecified => None,
        }
    }

    pub(super) fn recipients(&self) -> Recipients {
        let hash = |to: To<'_>| match to {
            To::Own(key) => key.hash(),
            To::Mpc(recipient) => recipient.hash(),
        };
        Recipients { client: self.client.map(RecipientKey::hash), custodian: self.custodian.map(hash) }
    }

    /// The public key in a role; empty where it is not named, as requests have it.
    pub(super) fn public_key(&self, role: Role) -> Vec<u8> {
        match self.of(role) {
            Some(To::Own(key)) => key.public_key().to_vec(),
            Some(To::Mpc(recipient)) => recipient.public_key().to_vec(),
            None => Vec::new(),
        }
    }
}

/// The sealed release of a role in an answer.
pub(super) fn release_of(response: &RecoverResponse, role: Role) -> &[u8] {
    match role {
        Role::Client => &response.client_release,
        Role::Custodian => &response.custodian_release,
        Role::Unspecified => &[],
    }
}

impl Device {
    /// Checks the receipt of every role that releases, and only then opens what is for this device. `check` compares one role's receipt
    /// with what was asked for.
    pub(super) async fn open_releases(
        &self,
        prepared: &Prepared,
        response: &RecoverResponse,
        wanted: &Wanted<'_>,
        check: impl Fn(Role, &SignedReceipt, &VerifiedStatement) -> Result<VerifiedReceipt, Error>,
    ) -> Result<(Acted, Vec<(Role, Released)>), Error> {
        let named: Vec<Role> = wanted.backup.roles().collect();
        for role in [Role::Client, Role::Custodian].into_iter().filter(|role| !named.contains(role)) {
            if !release_of(response, role).is_empty() {
                return Err(Error::malformed("answer", "it has a release of a role that the act does not name"));
            }
        }
        let mut judged: Vec<(Receipted, EpochKeys)> = Vec::new();
        for (role, signed) in receipt::of_roles(&response.receipts, named)? {
            let judge = |statement: &VerifiedStatement| {
                let receipt = check(role, signed, statement)?;
                let keys = statement.epoch(role, receipt.epoch)?;
                Ok((receipt, keys))
            };
            let (receipt, keys) = self.judge(prepared, judge).await?;
            judged.push((Receipted { role, receipt, signed: signed.clone() }, keys));
        }
        let opened = judged.iter().map(|(receipted, keys)| open(prepared, response, wanted, receipted, keys));
        let opened = opened.collect::<Result<Vec<_>, _>>()?;
        let acted = Acted::of(judged.into_iter().map(|(receipted, _)| receipted).collect());
        Ok((acted.ok_or_else(|| Error::malformed("answer", "it has no receipt"))?, opened))
    }
}

fn open(
    prepared: &Prepared,
    response: &RecoverResponse,
    wanted: &Wanted<'_>,
    receipted: &Receipted,
    keys: &EpochKeys,
) -> Result<(Role, Released), Error> {
    let role = receipted.role;
    let release = release_of(response, role);
    let released = match wanted.keys.of(role) {
        Some(To::Own(key)) => Released::Shares(key.open(
            release,
            &Expected {
                role,
                tenant: &prepared.statement().tenant(),
                kek_id: &keys.kek_id,
                record_id: &wanted.backup.id(),
                intent: &wanted.intent,
                generation: wanted.generation.number,
                pairs: &wanted.generation.pairs,
            },
        )?),
        Some(To::Mpc(_)) => Released::Delivery(Delivery {
            intent: wanted.bytes.map(|intent| intent.bytes.clone()).unwrap_or_default(),
            receipt: Some(receipted.signed.clone()),
            release: release.to_vec(),
        }),
        None => return Err(Error::malformed("answer", "it has a release of a role that the act does not name")),
    };
    Ok((role, released))
}
