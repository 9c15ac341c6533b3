//! The role matrix: a recovery of both shares takes both enclaves, both KMS keys, the tenant's signature and the user's assertion. With any
//! one of them missing something is denied, and no two shares come together.

use strongroom_core::KmsFailure;
use strongroom_proto::enclave::v1::{KekRef, Recover, request::Body as Ask, response::Body as Answer};
use strongroom_proto::v1::{Act, Policy, Reason, RecoverAction, Role, intent::Action};

use crate::acts::{PASSKEY_ONLY, own_part, recover};
use crate::both::{Both, Pair};
use crate::device::Recipient;
use crate::mpc::opened;
use crate::steps::{consents, countersigned};
use crate::tenant::MPC;
use crate::world::{World, told};

/// What a recovery can lack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Lack {
    Nothing,
    Enclave(Role),
    KmsKey(Role),
    TenantSignature,
    Assertion,
}

/// A share of each role, or why there is none.
type Outcome = Result<usize, (Reason, String)>;

struct Stage {
    both: Both,
    pair: Pair,
    act: Act,
}

impl Stage {
    /// The client's policy asks for the passkey, the custodian's for the passkey and the tenant.
    fn new(lack: Lack) -> Self {
        let both = Both::new(0x150);
        let pair = both.back_up("wallet-1", Policy { tenant_signature: true, ..PASSKEY_ONLY });
        let action = Action::Recover(RecoverAction { generation: 1, eject: false });
        let mut intent = both.about(&pair, action);
        for role in [Role::Client, Role::Custodian] {
            own_part(both.world(role), &mut intent).recipient = recipient(role).hash();
        }
        let passkey = Some(&pair.client.passkey).filter(|_| lack != Lack::Assertion);
        let act = consents(&intent, &passkey.into_iter().collect::<Vec<_>>());
        let act = if lack == Lack::TenantSignature { act } else { countersigned(&both.client, act) };
        Self { both, pair, act }
    }

    /// The request for a role's share, as its own enclave would get it.
    fn request(&self, role: Role) -> Recover {
        let backup = if role == Role::Client { &self.pair.client } else { &self.pair.custodian };
        recover(self.both.world(role), self.act.clone(), backup, &recipient(role))
    }

    /// Whoever lacks a role's enclave has the other one, and everything that its host stores.
    fn ask(&self, role: Role, lack: Lack) -> Outcome {
        let (home, mut ask) = (self.both.world(role), self.request(role));
        let world = match lack {
            Lack::Enclave(missing) if missing == role => {
                ask.kek = Some(KekRef { wrapped: home.epoch.wrapped.clone(), ..home.epoch.kek() });
                self.both.world(other(role))
            }
            Lack::KmsKey(missing) if missing == role => {
                home.fake.forget();
                home.kms.instead.replace(Some(Err(KmsFailure::Denied)));
                home
            }
            _ => home,
        };
        match world.drive(Ask::Recover(ask)) {
            Answer::Moved(moved) => {
                let release = opened(world, &self.pair.client.receipt.record_id, &moved.release, &recipient(role));
                Ok(release.unwrap().shares.len())
            }
            Answer::Error(error) => Err((error.reason(), error.detail)),
            answer => panic!("{}", told(&answer)),
        }
    }
}

fn other(role: Role) -> Role {
    if role == Role::Client { Role::Custodian } else { Role::Client }
}

fn recipient(role: Role) -> Recipient {
    Recipient::new(if role == Role::Client { 1 } else { MPC[0] })
}

#[test]
fn a_full_recovery_takes_both_enclaves_both_keys_and_both_consents() {
    let (client, custodian) = (Role::Client, Role::Custodian);
    let given = || None;
    let denied = |reason, detail| Some((reason, detail));
    let foreign = denied(Reason::DecryptFailed, "does not unwrap it for this tenant, role and epoch");
    let denied_by_kms = denied(Reason::KmsUnavailable, "KMS denied the call");
    let (no_passkey, no_tenant) =
        (denied(Reason::PolicyDenied, "act.assertions"), denied(Reason::PolicyDenied, "act.tenant_signature"));
    let table = [
        ("nothing", Lack::Nothing, [given(), given()]),
        ("the client enclave", Lack::Enclave(client), [foreign, given()]),
        ("the custodian enclave", Lack::Enclave(custodian), [given(), foreign]),
        ("the client's KMS key", Lack::KmsKey(client), [denied_by_kms, given()]),
        ("the custodian's KMS key", Lack::KmsKey(custodian), [given(), denied_by_kms]),
        ("the tenant's signature", Lack::TenantSignature, [given(), no_tenant]),
        ("the user's assertion", Lack::Assertion, [no_passkey, no_passkey]),
    ];
    println!("{:24} {:30} {:30} full recovery", "missing", "client's share", "custodian's share");
    for (name, lack, expected) in table {
        let stage = Stage::new(lack);
        let got = [client, custodian].map(|role| stage.ask(role, lack));
        let shown =
            got.clone().map(|it| it.map_or_else(|(why, _)| why.as_str_name()[7..].to_owned(), |_| "released".into()));
        let full = got.iter().all(Result::is_ok);
        println!("{name:24} {:30} {:30} {}", shown[0], shown[1], if full { "done" } else { "denied" });
        assert_eq!(full, lack == Lack::Nothing, "{name}");
        for (got, expected) in got.into_iter().zip(expected) {
            match (got, expected) {
                (Ok(shares), None) => assert_eq!(shares, 2, "{name}: both curves"),
                (Err((reason, detail)), Some((expected, field))) => {
                    assert_eq!(reason, expected, "{name}: {detail}");
                    assert!(detail.contains(field), "{name}: {detail}");
                }
                (got, expected) => panic!("{name}: {got:?}, expected {expected:?}"),
            }
        }
    }
}

/// The same with the other enclave's own KEK in the request: what one role has sealed opens in no other, though both are of one record.
#[test]
fn nothing_that_one_role_stores_opens_in_the_other() {
    let stage = Stage::new(Lack::Nothing);
    for role in [Role::Client, Role::Custodian] {
        let (world, own, foreign) = (stage.both.world(role), stage.request(role), stage.request(other(role)));
        let mut record = own.clone();
        record.record.clone_from(&foreign.record);
        world.refused("record", Ask::Recover(record), Reason::DecryptFailed, "record: does not open");
        let mut shares = own.clone();
        shares.shares.clone_from(&foreign.shares);
        world.refused("shares", Ask::Recover(shares), Reason::CiphertextHashMismatch, "shares: pair ed");
        let mut whole = foreign.clone();
        whole.kek.clone_from(&own.kek);
        world.refused("all of it", Ask::Recover(whole), Reason::DecryptFailed, "record: does not open");
        check_kinds(world, &own);
    }
}

/// A share that the enclave itself would have sealed as the other role's, at the same place and under its own KEK.
fn check_kinds(world: &World, own: &Recover) {
    use strongroom_proto::id::ContentHash;
    use strongroom_proto::seal::SealKind;

    use crate::vault::{Spot, edit, seal, spot_of};
    let own_kind = if world.role == Role::Client { SealKind::ClientShare } else { SealKind::CustodianShare };
    for kind in [SealKind::ClientShare, SealKind::CustodianShare, SealKind::Record] {
        let mut ask = own.clone();
        let record = ask.record.as_mut().unwrap();
        for share in &mut ask.shares {
            let spot = Spot { kind, generation: share.generation, pair: &share.pair, ..spot_of(record) };
            share.sealed = seal(world, spot, b"sealed anew");
        }
        let hashes: Vec<_> = ask.shares.iter().map(|share| ContentHash::of(&share.sealed).0.to_vec()).collect();
        edit(world, record, |content| {
            let parts = content.generations[0].parts.iter_mut();
            parts.zip(hashes).for_each(|(part, hash)| part.sealed_hash = hash);
        });
        if kind == own_kind {
            assert!(matches!(world.drive(Ask::Recover(ask)), Answer::Moved(_)), "its own kind opens");
        } else {
            world.refused("another kind", Ask::Recover(ask), Reason::DecryptFailed, "shares: pair ed does not open");
        }
    }
}
