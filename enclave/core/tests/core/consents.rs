//! Consents: whose signature counts, over what, from where.

use strongroom_proto::enclave::v1::{Record, Recover, request::Body as Ask, response::Body as Answer};
use strongroom_proto::prefix::{self, prefixed};
use strongroom_proto::v1::{
    Act, DeleteBackupAction, Freshness, Intent, Policy, Reason, Receipt, TenantSignature, intent::Action,
};

use prost::Message;

use crate::acts::{
    Backup, PASSKEY_ONLY, act, action, back_up, creation, recover, recovery, sealed_message, sign_creation, two_shares,
};
use crate::device::{Ceremony, Passkey, Recipient, honest};
use crate::steps::{about, change, consents, moves};
use crate::tenant::{self, Tenant, public};
use crate::vault::edit;
use crate::world::{START, World, told};

const WITH_TENANT: Policy = Policy { tenant_signature: true, ..PASSKEY_ONLY };
const NEWEST_HEAD: Policy = Policy { newest_head: true, ..WITH_TENANT };
const TENANT_ONLY: Policy = Policy { passkey: false, ..WITH_TENANT };

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) backup: Backup,
    pub(crate) recipient: Recipient,
}

pub(crate) fn stage(seed: u64, passkey: Passkey, policy: Policy) -> Stage {
    let world = World::new(seed);
    let backup = back_up(&world, "wallet-1", passkey, |i| action(i).client_policy = Some(policy));
    Stage { world, backup, recipient: Recipient::new(1) }
}

impl Stage {
    fn intent(&self) -> Intent {
        recovery(&self.world, &self.backup, &self.recipient)
    }

    fn request(&self, act: Act) -> Recover {
        recover(&self.world, act, &self.backup, &self.recipient)
    }

    pub(crate) fn with(&self, ceremony: &Ceremony) -> Answer {
        self.world.drive(Ask::Recover(self.request(act(&self.intent(), &self.backup.passkey, ceremony))))
    }
}

pub(crate) fn expect(name: &str, answer: Answer, expect: Option<(Reason, &str)>) {
    match (answer, expect) {
        (Answer::Moved(_), None) => {}
        (Answer::Error(error), Some((reason, detail))) => {
            assert_eq!(error.reason(), reason, "{name}: {error:?}");
            assert!(error.detail.contains(detail), "{name}: {error:?} does not name {detail:?}");
        }
        (answer, expect) => panic!("{name}: {}, expected {expect:?}", told(&answer)),
    }
}

#[test]
fn a_tenant_signature_counts_only_by_an_operational_key_in_time_over_this_intent() {
    type Row<'a> = (&'a str, Box<dyn Fn(&[u8]) -> Option<TenantSignature> + 'a>, Option<(Reason, &'a str)>);
    let stage = stage(0x42, Passkey::eddsa(9), NEWEST_HEAD);
    let stranger = Tenant::new(2);
    let other_intent = recovery(&stage.world, &stage.backup, &Recipient::new(2)).encode_to_vec();
    let tenant = &stage.world.tenant;
    let by = |key| move |intent: &[u8]| Some(tenant::consent(key, intent));
    let rejected = Reason::ProofRejected;
    let (key, signature) = ("tenant_signature.key", "tenant_signature.signature");
    let cases: Vec<Row<'_>> = vec![
        ("operational", Box::new(by(&tenant.operational)), None),
        ("none", Box::new(|_| None), Some((Reason::PolicyDenied, "act.tenant_signature"))),
        ("expired", Box::new(by(&tenant.expired)), Some((rejected, key))),
        ("not yet", Box::new(by(&tenant.future)), Some((rejected, key))),
        ("root", Box::new(by(&tenant.root)), Some((rejected, key))),
        ("standby", Box::new(by(&tenant.standby)), Some((rejected, key))),
        ("stranger", Box::new(by(&stranger.operational)), Some((rejected, key))),
        ("no key", Box::new(|_| Some(TenantSignature::default())), Some((rejected, key))),
        ("another intent", Box::new(|_| Some(tenant.consent(&other_intent))), Some((rejected, signature))),
        (
            "another use",
            Box::new(|intent| {
                let signature = tenant.operational.sign(&prefixed(prefix::INTENT, intent)).as_ref().to_vec();
                Some(TenantSignature { key: public(&tenant.operational), signature })
            }),
            Some((rejected, signature)),
        ),
        (
            "cut",
            Box::new(|intent| {
                let mut signed = tenant.consent(intent);
                signed.signature.pop();
                Some(signed)
            }),
            Some((rejected, signature)),
        ),
        (
            "key swapped",
            Box::new(|intent| {
                Some(TenantSignature { key: public(&tenant.operational), ..tenant::consent(&tenant.root, intent) })
            }),
            Some((rejected, signature)),
        ),
    ];
    for (name, sign, expected) in cases {
        let mut act = act(&stage.intent(), &stage.backup.passkey, &honest());
        act.tenant_signature = sign(&act.intent);
        expect(name, stage.world.drive(Ask::Recover(stage.request(act))), expected);
    }
    // The tenant's signature does not stand in for the passkey's.
    let mut alone = act(&stage.intent(), &stage.backup.passkey, &honest());
    alone.tenant_signature = Some(tenant.consent(&alone.intent));
    alone.assertions.clear();
    let answer = stage.world.drive(Ask::Recover(stage.request(alone)));
    expect("no passkey", answer, Some((Reason::PolicyDenied, "act.assertions")));
}

#[test]
fn a_consent_that_nobody_asked_for_must_hold_too() {
    let stage = stage(0x43, Passkey::eddsa(9), PASSKEY_ONLY);
    let mut signed = act(&stage.intent(), &stage.backup.passkey, &honest());
    signed.tenant_signature = Some(tenant::consent(&stage.world.tenant.expired, &signed.intent));
    let answer = stage.world.drive(Ask::Recover(stage.request(signed)));
    expect("expired key", answer, Some((Reason::ProofRejected, "tenant_signature.key")));

    let unasked = |change: fn(&mut Act), expected| {
        let mut signed = act(&stage.intent(), &stage.backup.passkey, &honest());
        signed.tenant_signature = Some(stage.world.tenant.consent(&signed.intent));
        change(&mut signed);
        let mut request = stage.request(signed);
        let tenant_only = |content: &mut Record| content.policy = Some(TENANT_ONLY);
        edit(&stage.world, request.record.as_mut().unwrap(), tenant_only);
        expect("tenant only", stage.world.drive(Ask::Recover(request)), expected);
    };
    unasked(|a| a.assertions.clear(), None);
    unasked(|_| {}, None);
    unasked(|a| a.assertions[0].signature[0] ^= 1, Some((Reason::ProofRejected, "assertion.signature")));
    unasked(|a| a.tenant_signature = None, Some((Reason::PolicyDenied, "act.tenant_signature")));
}

#[test]
fn freshness_is_claimed_only_where_the_policy_asks_for_the_newest_head() {
    for (policy, freshness) in
        [(PASSKEY_ONLY, Freshness::None), (WITH_TENANT, Freshness::None), (NEWEST_HEAD, Freshness::CallerReceipt)]
    {
        let stage = stage(0x44, Passkey::eddsa(9), policy);
        let mut signed = act(&stage.intent(), &stage.backup.passkey, &honest());
        signed.tenant_signature = Some(stage.world.tenant.consent(&signed.intent));
        let Answer::Moved(done) = stage.world.drive(Ask::Recover(stage.request(signed))) else { panic!("refused") };
        let receipt = Receipt::decode(done.receipt.unwrap().receipt.as_slice()).unwrap();
        assert_eq!(receipt.stages.unwrap().freshness(), freshness);
        let event = strongroom_proto::v1::Event::decode(receipt.event.as_slice()).unwrap();
        assert_eq!(event.tenant_key, public(&stage.world.tenant.operational));
    }
    // An act that the passkey may do alone: nobody vouched for the head.
    let mut stage = stage(0x45, Passkey::eddsa(9), NEWEST_HEAD);
    let delete = about(&stage.world, &stage.backup, Action::DeleteBackup(DeleteBackupAction {}));
    let ask = Ask::Change(change(&stage.world, consents(&delete, &[&stage.backup.passkey]), &stage.backup));
    moves(&stage.world, "delete", ask, &mut stage.backup);
    assert_eq!(stage.backup.receipt.stages.as_ref().unwrap().freshness(), Freshness::None);
}

#[test]
fn a_creation_vouches_for_no_head_though_the_tenant_signs_under_newest_head() {
    let (world, passkey) = (World::new(0x46), Passkey::eddsa(9));
    let mut intent = creation(&world, "wallet-1", &passkey);
    action(&mut intent).client_policy = Some(NEWEST_HEAD);
    let message = sealed_message(&world, &intent, &two_shares());
    let mut request = sign_creation(&world, intent, message, &passkey, &honest());
    let signed = request.act.as_mut().unwrap();
    signed.tenant_signature = Some(world.tenant.consent(&signed.intent));
    let Answer::Moved(made) = world.drive(Ask::CreateRecord(request)) else { panic!("refused") };
    let receipt = Receipt::decode(made.receipt.unwrap().receipt.as_slice()).unwrap();
    assert_eq!(receipt.stages.unwrap().freshness(), Freshness::None);
}

#[test]
fn an_operational_key_signs_from_its_first_millisecond_to_its_last() {
    for (name, now, by, expect) in [
        ("last", START - 1, Tenant::new(1).expired, true),
        ("after the last", START, Tenant::new(1).expired, false),
        ("before the first", START, Tenant::new(1).future, false),
        ("first", START + 1, Tenant::new(1).future, true),
    ] {
        let stage = stage(0x46, Passkey::eddsa(9), WITH_TENANT);
        stage.world.fake.now.set(now);
        let mut signed = act(&stage.intent(), &stage.backup.passkey, &honest());
        signed.tenant_signature = Some(tenant::consent(&by, &signed.intent));
        let refusal = (!expect).then_some((Reason::ProofRejected, "tenant_signature.key"));
        self::expect(name, stage.world.drive(Ask::Recover(stage.request(signed))), refusal);
    }
}
