//! `statement`: any bytes, as a statement that the tenant's root key signed. What decodes has one encoding, and a release under it
//! needs the origin, the tenant and a serial that the statement really has.

use prost::Message;
use strongroom_proto::enclave::v1::request::Body as Ask;
use strongroom_proto::id::TenantId;
use strongroom_proto::statement::decode;

use crate::acts::{recover, recovery};
use crate::stage::{self, Stage};
use crate::tenant::{ORIGIN, public, sign_statement};
use crate::world::reference;
use crate::{oracle, wire};

/// The lists of a statement: operational keys, images, recipients, origins and top origins.
const LISTS: [u64; 5] = [4, 5, 8, 10, 11];
/// The messages of a statement, and the lists in those.
const MESSAGES: [u64; 4] = [4, 5, 6, 7];
const INNER_LISTS: [u64; 2] = [1, 2];

/// One encoded statement.
pub(crate) fn run(bytes: &[u8]) {
    if let Ok(statement) = decode(bytes) {
        assert_eq!(statement.encode_to_vec(), bytes, "another encoding");
        assert!(wire::is_canonical(bytes, &LISTS), "a second encoding of one statement");
        for field in wire::fields(bytes).iter().filter(|field| MESSAGES.contains(&field.number)) {
            assert!(wire::is_canonical(field.content.unwrap_or_default(), &INNER_LISTS), "a second encoding of a part");
        }
    }
    stage::with(|stage| recover_under(stage, bytes));
}

/// A release that this stage's record gives, under another statement.
fn recover_under(stage: &Stage, bytes: &[u8]) {
    let Stage { world, backup, recipient, .. } = stage;
    let act = stage.consent(&recovery(world, backup, recipient).encode_to_vec(), &[&backup.passkey]);
    let mut ask = recover(world, act, backup, recipient);
    let signed = sign_statement(&world.tenant.root, bytes.to_vec());
    let mut named = reference(&signed);
    named.signed = Some(signed);
    ask.statement = Some(named);
    if oracle::gives(stage, Ask::Recover(ask)) {
        let statement = decode(bytes).expect("a statement that was believed is canonical");
        assert_eq!(TenantId::of(&statement.root_key, &statement.standby_key).0, *world.tenant_id());
        assert!([&statement.root_key, &statement.standby_key].contains(&&public(&world.tenant.root)));
        assert!(statement.origins.iter().any(|origin| origin == ORIGIN), "an origin that is not listed");
        assert!(statement.serial >= 5, "an older statement than the intent and the record name");
        let key = public(&world.tenant.operational);
        assert!(statement.operational_keys.iter().any(|known| known.key == key), "a key that is not listed");
    }
}
