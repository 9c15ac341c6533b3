//! `PutShares`: a new generation of shares for an existing record.

use alloc::vec::Vec;

use strongroom_proto::contents::Share;
use strongroom_proto::enclave::v1::{Moved, PutShares};
use strongroom_proto::v1::{ActKind, Pair, Reason, Role, SecretKind, intent::Action};

use super::moved::{Deed, finish};
use super::{Scene, message, subject};
use crate::consent::{Authorized, Rule};
use crate::intent::CheckedIntent;
use crate::platform::Platform;
use crate::record::Record;
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;

/// A new generation of one record.
#[derive(Debug)]
struct Put {
    generation: u64,
    pairs: Vec<Pair>,
}

pub(super) fn run<P: Platform, R: RoleKind>(scene: &Scene<'_, P>, request: &PutShares) -> Result<Moved, Refusal> {
    let mut subject = subject::open::<P, R>(scene, request.act.as_ref(), request.record.as_ref())?;
    let Some(Action::PutShares(action)) = subject.intent.body.action.clone() else {
        return Err(bad("intent.action: not put_shares"));
    };
    subject::brings(&subject.intent, true, false)?;
    message::check(&subject.intent, &request.message)?;
    message::check_pairs(&action.pairs, "put_shares")?;
    check_roles(&subject.intent, &subject.record)?;
    subject.record.make_room(R::ROLE, action.generation, scene.now)?;
    let put = Put { generation: action.generation, pairs: action.pairs };
    let authorized = subject.authorize(scene, Rule::Policy, put)?;
    let shares = open::<P, R>(scene, &authorized, &request.message)?;
    store::<P, R>(scene, authorized, &shares)
}

/// A put names every role that the creation named: else one role would go on alone.
fn check_roles(intent: &CheckedIntent, record: &Record) -> Result<(), Refusal> {
    let named = [(Role::Client, &intent.body.client), (Role::Custodian, &intent.body.custodian)];
    let named = named.into_iter().filter(|(_, part)| part.is_some()).map(|(role, _)| i32::from(role));
    if named.eq(record.content.roles.iter().copied()) {
        Ok(())
    } else {
        Err(bad("intent: a put names every role that the record's creation named, and no other"))
    }
}

fn open<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    put: &Authorized<Put>,
    message: &[u8],
) -> Result<Vec<Share>, Refusal> {
    let record = put.record();
    let Ok(secret @ (SecretKind::Share | SecretKind::Key)) = SecretKind::try_from(record.content.secret) else {
        return Err(refuse(Reason::DecryptFailed, "record: an unknown kind of secret"));
    };
    message::open::<P, R>(scene, &record.id, message, &put.act().pairs, secret)
}

fn store<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    authorized: Authorized<Put>,
    shares: &[Share],
) -> Result<Moved, Refusal> {
    let (mut record, Put { generation: number, pairs }, intent, consents) = authorized.into_parts();
    let (generation, shares) = message::store::<P, R>(scene, &record, number, &pairs, shares, intent)?;
    record.put(R::ROLE, generation, scene.now);
    let deed = Deed { kind: ActKind::PutShares, generation: number, shares, ..Deed::default() };
    finish::<P, R>(scene, record, intent, consents, deed)
}
