use std::sync::atomic::Ordering;

use aws_lc_rs::digest::{SHA384, digest};
use prost::Message;
use strongroom_proto::enclave::v1::{GetEvents, Health};
use strongroom_proto::v1::{self, Development, Role};

use super::*;
use crate::entropy::PoolFile;
use crate::manifest::tests::good;
use crate::testing::{FakeNsm, NoRelay, temporary_file};

/// An enclave on this module, past its entropy phase.
fn enclave(nsm: FakeNsm) -> (Arc<FakeNsm>, Enclave<NoRelay>) {
    let nsm = Arc::new(nsm);
    let clock = Clock::default();
    clock.anchor(nsm.as_ref()).unwrap();
    let enclave = Enclave::new(nsm.clone(), Arc::new(NoRelay), clock, Log::to(|_| {})).unwrap();
    enclave.gather_entropy(&PoolFile::new(temporary_file("pool").path()));
    (nsm, enclave)
}

fn boot(enclave: &Enclave<NoRelay>, manifest: &[u8]) -> Result<Vec<u8>, Refusal> {
    match enclave.control(Control::Boot(Boot { manifest: manifest.to_vec() }))? {
        Body::Booted(booted) => Ok(booted.pcr16),
        other => panic!("{other:?}"),
    }
}

fn ask_health(enclave: &Enclave<NoRelay>) -> Health {
    match enclave.control(Control::GetHealth) {
        Ok(Body::Health(health)) => health,
        other => panic!("{other:?}"),
    }
}

/// Every line that the enclave has said.
fn said(enclave: &Enclave<NoRelay>) -> Vec<String> {
    match enclave.control(Control::GetEvents(GetEvents { after: 0 })) {
        Ok(Body::Events(events)) => events.events.into_iter().map(|event| event.line).collect(),
        other => panic!("{other:?}"),
    }
}

fn push_credentials(enclave: &Enclave<NoRelay>, id: &str) -> Result<Body, Refusal> {
    let pushed =
        SetCredentials { access_key_id: id.into(), secret_access_key: "secret".into(), ..SetCredentials::default() };
    enclave.control(Control::SetCredentials(pushed))
}

fn check_refusal(got: Result<Vec<u8>, Refusal>, reason: Reason, detail: &str) {
    let refusal = got.unwrap_err();
    assert_eq!((refusal.reason, refusal.detail.as_str()), (reason, detail));
}

#[test]
fn the_manifest_is_measured_once_and_every_pcr_from_16_is_locked() {
    let (nsm, enclave) = enclave(FakeNsm::ready());
    let manifest = good().encode_to_vec();
    let pcr16 = boot(&enclave, &manifest).unwrap();
    let hash = digest(&SHA384, &manifest);
    assert_eq!(pcr16, digest(&SHA384, &[&[0; 48], hash.as_ref()].concat()).as_ref());
    let calls = nsm.pcr_calls.lock().unwrap().clone();
    assert_eq!(calls[0], ("extend", 16, hash.as_ref().to_vec()));
    let locks: Vec<_> = calls[1..].iter().map(|(call, index, _)| (*call, *index)).collect();
    assert_eq!(locks, (16..32).map(|index| ("lock", index)).collect::<Vec<_>>());

    assert_eq!(boot(&enclave, &manifest).unwrap(), pcr16, "the same bytes again");
    let mut other = good();
    other.release += 1;
    check_refusal(
        boot(&enclave, &other.encode_to_vec()),
        Reason::StateInvalid,
        "manifest: already booted with another one",
    );
    check_refusal(boot(&enclave, &[]), Reason::StateInvalid, "manifest: already booted with another one");
    assert_eq!(nsm.pcr_calls.lock().unwrap().len(), 17, "nothing more was measured");
}

#[test]
fn a_refused_manifest_measures_nothing_and_another_may_follow() {
    let (nsm, enclave) = enclave(FakeNsm::ready());
    let mut nobody = good();
    nobody.role = Role::Unspecified.into();
    let mut no_root = good();
    no_root.development = Some(Development { kms_root_der: b"no certificate".to_vec() });
    for (manifest, detail) in [
        (nobody.encode_to_vec(), "manifest: role: not a known one"),
        (no_root.encode_to_vec(), "TLS: the development root does not parse"),
        (vec![0xff; 10], "manifest: malformed protobuf"),
    ] {
        check_refusal(boot(&enclave, &manifest), Reason::BadRequest, detail);
    }
    assert!(nsm.pcr_calls.lock().unwrap().is_empty());
    assert!(ask_health(&enclave).missing.contains(&"manifest".to_owned()));
    assert!(!enclave.recipients.has_begun(), "no key exists before PCR16 is locked");
    assert!(boot(&enclave, &good().encode_to_vec()).is_ok());
    assert!(enclave.recipients.has_begun(), "nobody waits for the first key");
}

#[test]
fn an_enclave_whose_pcrs_are_spent_takes_no_manifest() {
    let manifest = good().encode_to_vec();
    for calls_max in 0..17 {
        let (_, enclave) = enclave(FakeNsm { pcr_calls_max: Some(calls_max), ..FakeNsm::ready() });
        check_refusal(boot(&enclave, &manifest), Reason::EnclaveUnavailable, "NSM: the PCR is locked");
        check_refusal(boot(&enclave, &manifest), Reason::EnclaveUnavailable, "PCR16 is spent: start another enclave");
        assert!(enclave.serving().is_err());
        assert!(!enclave.recipients.has_begun());
    }
    let (_, enclave) = enclave(FakeNsm { pcr16: vec![1; 48], ..FakeNsm::ready() });
    check_refusal(boot(&enclave, &manifest), Reason::EnclaveUnavailable, "manifest: PCR16 was not zero");
    assert!(ask_health(&enclave).missing.contains(&"manifest".to_owned()));
    assert!(push_credentials(&enclave, "id").is_err());
}

#[test]
fn without_entropy_only_health_is_answered() {
    let (nsm, enclave) = enclave(FakeNsm::with_random(vec![vec![0; 32]; 2]));
    assert_eq!(ask_health(&enclave).missing, ["entropy", "manifest", "credentials", "kms"]);
    let missing = "missing: entropy, manifest, credentials, kms";
    check_refusal(boot(&enclave, &good().encode_to_vec()), Reason::EnclaveUnavailable, missing);
    assert_eq!(push_credentials(&enclave, "id").unwrap_err().detail, missing);
    assert!(nsm.pcr_calls.lock().unwrap().is_empty());
}

#[test]
fn health_names_what_is_missing_as_boot_goes_on() {
    let (nsm, enclave) = enclave(FakeNsm::ready());
    let health = ask_health(&enclave);
    assert_eq!(health.missing, ["manifest", "credentials", "kms"]);
    assert_eq!((health.role(), health.release, health.development), (Role::Unspecified, 0, false));
    assert!(health.time_ms >= nsm.time_ms.load(Ordering::Relaxed));
    assert_eq!(push_credentials(&enclave, "").unwrap_err().detail, "access_key_id");
    push_credentials(&enclave, "id").unwrap();
    assert_eq!(ask_health(&enclave).missing, ["manifest", "kms"]);
    let refusal = enclave.serving().map(|_| ()).unwrap_err();
    assert_eq!((refusal.reason, refusal.detail.as_str()), (Reason::EnclaveUnavailable, "missing: manifest, kms"));
    boot(&enclave, &good().encode_to_vec()).unwrap();
    let health = ask_health(&enclave);
    assert_eq!(health.missing, ["kms"]);
    assert_eq!((health.role(), health.release, health.development), (Role::Client, 7, false));
}

#[test]
fn a_process_serves_the_role_of_its_manifest_and_never_the_other() {
    for (role, other) in [(Role::Client, Role::Custodian), (Role::Custodian, Role::Client)] {
        let (_, enclave) = enclave(FakeNsm::ready());
        let manifest = |role: Role| v1::Manifest { role: role.into(), ..good() }.encode_to_vec();
        boot(&enclave, &manifest(role)).unwrap();
        assert_eq!(ask_health(&enclave).role(), role);
        let serves = |core: &RoleCore<_>| match core {
            RoleCore::Client(_) => Role::Client,
            RoleCore::Custodian(_) => Role::Custodian,
        };
        assert_eq!(enclave.serving().map(|serving| serves(&serving.core)).ok(), Some(role));
        let booted = "manifest: already booted with another one";
        check_refusal(boot(&enclave, &manifest(other)), Reason::StateInvalid, booted);
        assert_eq!(ask_health(&enclave).role(), role);
    }
}

#[test]
fn what_an_enclave_said_is_told_in_every_phase() {
    let (_, enclave_ready) = enclave(FakeNsm::ready());
    assert_eq!(said(&enclave_ready), ["phase: AwaitManifest"]);
    boot(&enclave_ready, &good().encode_to_vec()).unwrap();
    assert_eq!(said(&enclave_ready)[..2], ["phase: AwaitManifest", "phase: Serving"]);

    let (_, without_entropy) = enclave(FakeNsm::with_random(vec![vec![0; 32]; 2]));
    let refused = "refusing to serve: entropy: the module's answer repeats";
    assert_eq!(said(&without_entropy), [refused]);
    assert!(boot(&without_entropy, &good().encode_to_vec()).is_err());
    assert_eq!(said(&without_entropy), [refused]);

    let (_, spent) = enclave(FakeNsm { pcr_calls_max: Some(0), ..FakeNsm::ready() });
    assert!(boot(&spent, &good().encode_to_vec()).is_err());
    let failed = ["phase: AwaitManifest", "phase: Failed", "refusing to serve: NSM: the PCR is locked"];
    assert_eq!(said(&spent), failed);
}

#[test]
fn no_byte_of_a_manifest_or_of_credentials_is_in_what_an_enclave_said() {
    let (_, enclave) = enclave(FakeNsm::ready());
    let mut planted = good();
    planted.region = "planted".into();
    assert!(boot(&enclave, &planted.encode_to_vec()).is_err());
    let pushed = SetCredentials {
        access_key_id: "planted".into(),
        secret_access_key: "planted".repeat(1000),
        ..SetCredentials::default()
    };
    assert!(enclave.control(Control::SetCredentials(pushed)).is_err());
    push_credentials(&enclave, "planted").unwrap();
    boot(&enclave, &good().encode_to_vec()).unwrap();
    let said = said(&enclave);
    assert!(said.len() >= 2 && !said.iter().any(|line| line.contains("planted")), "{said:?}");
}
