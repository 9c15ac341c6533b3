//! Sealing at rest, written a second time from the design: so a test can look into a record, and make one that the core never made.

use prost::Message;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use strongroom_core::KekContext;
use strongroom_proto::enclave::v1::{Record, SealedRecord};
use strongroom_proto::id::{KekId, RecordId};
use strongroom_proto::seal::{Place, SealKind};

use crate::world::{Epoch, World};

/// Where sealed bytes stand within a tenant.
#[derive(Clone, Copy)]
pub(crate) struct Spot<'a> {
    pub(crate) kind: SealKind,
    pub(crate) wallet: &'a str,
    pub(crate) record_id: &'a [u8],
    pub(crate) backup: &'a str,
    pub(crate) generation: u64,
    pub(crate) pair: &'a str,
}

fn key(world: &World, epoch: &Epoch, spot: Spot<'_>, salt: &[u8]) -> (LessSafeKey, Vec<u8>) {
    let tenant = strongroom_proto::id::TenantId::from_slice(&epoch.identity.tenant).unwrap();
    let role = epoch.identity.role();
    let context = KekContext { tenant, role, epoch: epoch.identity.epoch };
    let kek = world.kms.kek(context, &epoch.wrapped).unwrap();
    let aad = Place {
        kind: spot.kind,
        tenant: &tenant,
        role,
        kek_id: &KekId::from_slice(&epoch.identity.kek_id).unwrap(),
        wallet: spot.wallet,
        record_id: &RecordId::from_slice(spot.record_id).unwrap(),
        backup: spot.backup,
        generation: spot.generation,
        pair: spot.pair,
    }
    .aad();
    let mut bytes = [0; 32];
    let prk = Salt::new(HKDF_SHA256, salt).extract(&kek);
    prk.expand(&[&aad], HKDF_SHA256).unwrap().fill(&mut bytes).unwrap();
    (LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).unwrap()), aad)
}

pub(crate) fn seal(world: &World, spot: Spot<'_>, plaintext: &[u8]) -> Vec<u8> {
    seal_under(world, &world.epoch, spot, plaintext)
}

/// Seals under another epoch than the world's.
pub(crate) fn seal_under(world: &World, epoch: &Epoch, spot: Spot<'_>, plaintext: &[u8]) -> Vec<u8> {
    let salt = world.random();
    let (key, aad) = key(world, epoch, spot, &salt);
    let mut body = plaintext.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut body).unwrap();
    [&[1], &salt[..], &body].concat()
}

pub(crate) fn open(world: &World, spot: Spot<'_>, sealed: &[u8]) -> Vec<u8> {
    open_under(world, &world.epoch, spot, sealed)
}

/// Opens what is sealed under another epoch than the world's.
pub(crate) fn open_under(world: &World, epoch: &Epoch, spot: Spot<'_>, sealed: &[u8]) -> Vec<u8> {
    assert_eq!(sealed[0], 1);
    let (key, aad) = key(world, epoch, spot, &sealed[1..33]);
    let mut body = sealed[33..].to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    key.open_in_place(nonce, Aad::from(aad), &mut body).unwrap().to_vec()
}

pub(crate) fn spot_of(record: &SealedRecord) -> Spot<'_> {
    Spot {
        kind: SealKind::Record,
        wallet: &record.wallet,
        record_id: &record.record_id,
        backup: &record.backup,
        generation: 0,
        pair: "",
    }
}

/// What a sealed record says.
pub(crate) fn read(world: &World, record: &SealedRecord) -> Record {
    Record::decode(open(world, spot_of(record), &record.sealed).as_slice()).unwrap()
}

/// Seals a record's content again, with other bytes.
pub(crate) fn rewrite(world: &World, record: &mut SealedRecord, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = open(world, spot_of(record), &record.sealed);
    change(&mut content);
    record.sealed = seal(world, spot_of(record), &content);
}

/// What a record says that is sealed under another epoch than the world's.
pub(crate) fn read_under(world: &World, epoch: &Epoch, record: &SealedRecord) -> Record {
    Record::decode(open_under(world, epoch, spot_of(record), &record.sealed).as_slice()).unwrap()
}

/// Seals a record again, with other fields.
pub(crate) fn edit(world: &World, record: &mut SealedRecord, change: impl FnOnce(&mut Record)) {
    let mut content = read(world, record);
    change(&mut content);
    rewrite(world, record, |bytes| *bytes = content.encode_to_vec());
}
