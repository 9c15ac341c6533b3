use super::*;
use crate::devkms::Place;
use crate::devkms::authorization::Principal;
use crate::{Authority, MapEncoding, Measurements, SimulatedNsm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::net::Ipv4Addr;
use strongroom_attestation::Root;
use strongroom_runtime::kms::envelope::open_envelope;
use strongroom_runtime::kms::recipient::RecipientKey;
use strongroom_runtime::nsm::{AttestRequest, Nsm as _};

mod permissions;

const ACCOUNT: &str = "111122223333";

/// A service, an enclave with its manifest locked, and its recipient key.
struct Fixture {
    kms: DevKms,
    nsm: SimulatedNsm,
    key: RecipientKey,
    image: Measurements,
    manifest: String,
    _state: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let authority = Authority::new().unwrap();
        let root = Root::development(authority.root_der());
        let place = Place::new("eu-central-1", ACCOUNT).unwrap();
        let kms = DevKms::open(state.path(), place, root).unwrap();
        let image = Measurements::of_bytes(b"enclave");
        let nsm = SimulatedNsm::new(authority, &image).unwrap().with_map_encoding(MapEncoding::Indefinite);
        let manifest = hex::encode(nsm.extend_pcr(16, b"manifest").unwrap());
        nsm.lock_pcr(16).unwrap();
        Self { kms, nsm, key: RecipientKey::generate().unwrap(), image, manifest, _state: state }
    }

    fn call(&self, user: &str, operation: Operation, body: &Value) -> Result<Value, KmsError> {
        run(&self.kms, operation, &caller(&self.kms, user), body.to_string().as_bytes())
    }

    fn refused(&self, user: &str, operation: Operation, body: &Value, expect: Kind) {
        match self.call(user, operation, body) {
            Err(error) => assert_eq!(error.kind, expect, "{operation:?} {body}: {}", error.message),
            Ok(answer) => panic!("{operation:?} {body} answered {answer}"),
        }
    }

    /// A key that ADMIN may administer, and that opens for this enclave in its role alone.
    fn attested_key(&self) -> String {
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:user/ADMIN")},
                 "Action": ["kms:PutKeyPolicy", "kms:GetKeyPolicy", "kms:DisableKey", "kms:EnableKey",
                            "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion"], "Resource": "*"},
                {"Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:root")},
                 "Action": "kms:DescribeKey", "Resource": "*"},
                {"Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:user/ENCLAVE")},
                 "Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": "*",
                 "Condition": {"StringEqualsIgnoreCase": {
                    "kms:RecipientAttestation:ImageSha384": hex::encode(self.image.pcr0),
                    "kms:RecipientAttestation:PCR16": self.manifest,
                    "kms:EncryptionContext:role": "client"}}},
            ],
        });
        let made = self.call("ADMIN", Operation::CreateKey, &json!({"Policy": policy.to_string()})).unwrap();
        made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    }

    fn recipient(&self) -> Value {
        recipient(&self.nsm, Some(self.key.spki()))
    }

    fn open(&self, answer: &Value) -> Vec<u8> {
        assert!(answer.get("Plaintext").is_none());
        let envelope = STANDARD.decode(answer["CiphertextForRecipient"].as_str().unwrap()).unwrap();
        open_envelope(&envelope, &self.key).unwrap().expose().to_vec()
    }
}

fn caller(kms: &DevKms, user: &str) -> Caller {
    Caller { principal: Principal::user(kms.place(), user), source_ip: Ipv4Addr::LOCALHOST.into() }
}

fn recipient(nsm: &SimulatedNsm, public_key: Option<&[u8]>) -> Value {
    let document = nsm.attest(&AttestRequest { public_key, ..AttestRequest::default() }).unwrap();
    json!({"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": STANDARD.encode(document)})
}

fn client() -> Value {
    json!({"tenant": "t", "role": "client", "epoch": "1"})
}

#[test]
fn an_attested_enclave_gets_a_data_key_and_gets_it_again() {
    let f = Fixture::new();
    let key = f.attested_key();
    let generate =
        json!({"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": client(), "Recipient": f.recipient()});
    let made = f.call("ENCLAVE", Operation::GenerateDataKey, &generate).unwrap();
    assert_eq!(made["KeyId"], json!(key));
    let data_key = f.open(&made);
    assert_eq!(data_key.len(), 32);
    // Twice, for the two shapes.
    for _ in 0..2 {
        let decrypt = json!({"CiphertextBlob": made["CiphertextBlob"], "KeyId": key, "EncryptionContext": client(),
                             "Recipient": f.recipient()});
        let again = f.call("ENCLAVE", Operation::Decrypt, &decrypt).unwrap();
        assert_eq!(f.open(&again), data_key);
        assert_eq!(
            (again["KeyId"].as_str(), again["EncryptionAlgorithm"].as_str()),
            (Some(&key[..]), Some("SYMMETRIC_DEFAULT"))
        );
    }
}

#[test]
fn without_the_right_attestation_role_or_user_nothing_opens() {
    let f = Fixture::new();
    let key = f.attested_key();
    let base = json!({"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": client(), "Recipient": f.recipient()});
    let made = f.call("ENCLAVE", Operation::GenerateDataKey, &base).unwrap();
    let other_root = SimulatedNsm::new(Authority::new().unwrap(), &f.image).unwrap();
    let rsa = Some(f.key.spki());
    for (field, value, kind) in [
        ("Recipient", Value::Null, Kind::AccessDenied),
        ("EncryptionContext", json!({"role": "custodian"}), Kind::AccessDenied),
        ("EncryptionContext", json!({}), Kind::AccessDenied),
        ("Recipient", recipient(&other_root, rsa), Kind::Validation),
        ("Recipient", recipient(&f.nsm, None), Kind::Validation),
        ("Recipient", recipient(&f.nsm, Some(b"no key")), Kind::Validation),
        (
            "Recipient",
            json!({"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_1", "AttestationDocument": "AA=="}),
            Kind::Validation,
        ),
        (
            "Recipient",
            json!({"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": ""}),
            Kind::Validation,
        ),
        (
            "Recipient",
            json!({"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": "AAAA"}),
            Kind::Validation,
        ),
        ("Recipient", json!({"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}), Kind::Serialization),
        ("KeyId", json!("alias/key"), Kind::NotFound),
        ("KeyId", json!("arn:aws:kms:us-east-1:111122223333:key/1234"), Kind::NotFound),
    ] {
        let mut generate = base.clone();
        generate[field] = value.clone();
        f.refused("ENCLAVE", Operation::GenerateDataKey, &generate, kind);
        let mut decrypt = json!({"CiphertextBlob": made["CiphertextBlob"], "KeyId": key, "EncryptionContext": client(),
                                 "Recipient": f.recipient()});
        decrypt[field] = value;
        f.refused("ENCLAVE", Operation::Decrypt, &decrypt, kind);
    }
    f.refused("ADMIN", Operation::GenerateDataKey, &base, Kind::AccessDenied);
    f.refused("ENCLAVE", Operation::PutKeyPolicy, &json!({"KeyId": key, "Policy": "{}"}), Kind::AccessDenied);
}

#[test]
fn another_image_or_manifest_is_refused() {
    let f = Fixture::new();
    let key = f.attested_key();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority");
    let authority = || Authority::open(&path).unwrap();
    let root = Root::development(authority().root_der());
    let kms = DevKms { attestation_root: root, ..f.kms };
    let caller = caller(&kms, "ENCLAVE");
    let attempt = |image: &Measurements, manifest: &[u8], lock: bool| {
        let nsm = SimulatedNsm::new(authority(), image).unwrap();
        nsm.extend_pcr(16, manifest).unwrap();
        if lock {
            nsm.lock_pcr(16).unwrap();
        }
        let body = json!({"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": client(),
                          "Recipient": recipient(&nsm, Some(f.key.spki()))});
        run(&kms, Operation::GenerateDataKey, &caller, body.to_string().as_bytes()).map_err(|error| error.kind)
    };
    assert!(attempt(&f.image, b"manifest", true).is_ok());
    assert_eq!(attempt(&Measurements::of_bytes(b"other"), b"manifest", true), Err(Kind::AccessDenied));
    assert_eq!(attempt(&f.image, b"another", true), Err(Kind::AccessDenied));
    assert_eq!(attempt(&f.image, b"manifest", false), Err(Kind::AccessDenied));
    assert_eq!(attempt(&Measurements::of_debug_mode(), b"manifest", true), Err(Kind::Validation));
}

#[test]
fn the_boot_guards_dry_runs_are_denied_where_the_policy_asks_for_attestation() {
    let f = Fixture::new();
    let (guarded, open) = (f.attested_key(), f.call("ENCLAVE", Operation::CreateKey, &json!({})).unwrap());
    let open = open["KeyMetadata"]["Arn"].as_str().unwrap();
    for (key, expect) in [(guarded.as_str(), Kind::AccessDenied), (open, Kind::DryRunOperation)] {
        let ignore = json!(["IGNORE_CIPHERTEXT"]);
        for (operation, body) in [
            (
                Operation::Encrypt,
                json!({"KeyId": key, "Plaintext": "AAAA", "EncryptionContext": client(), "DryRun": true}),
            ),
            (
                Operation::GenerateDataKey,
                json!({"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": client(), "DryRun": true}),
            ),
            (
                Operation::Decrypt,
                json!({"KeyId": key, "EncryptionContext": client(), "DryRun": true, "DryRunModifiers": ignore}),
            ),
            (
                Operation::ReEncrypt,
                json!({"SourceKeyId": key, "DestinationKeyId": key, "DryRun": true, "DryRunModifiers": ignore}),
            ),
        ] {
            f.refused("ENCLAVE", operation, &body, expect);
        }
    }
    for body in [
        json!({"KeyId": open, "DryRun": true}),
        json!({"KeyId": open, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}),
        json!({"KeyId": open, "DryRun": true, "DryRunModifiers": ["OTHER"]}),
        json!({"DryRun": true, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}),
    ] {
        f.refused("ENCLAVE", Operation::Decrypt, &body, Kind::Validation);
    }
}

#[test]
fn a_key_without_conditions_wraps_and_unwraps() {
    let f = Fixture::new();
    let make = || f.call("U", Operation::CreateKey, &json!({"Description": "d"})).unwrap()["KeyMetadata"].clone();
    let (one, two) = (make(), make());
    let (id, arn) = (one["KeyId"].as_str().unwrap(), one["Arn"].as_str().unwrap());
    assert_eq!(arn, format!("arn:aws:kms:eu-central-1:{ACCOUNT}:key/{id}"));
    let described = f.call("U", Operation::DescribeKey, &json!({"KeyId": id})).unwrap();
    for (field, expect) in [
        ("KeyState", json!("Enabled")),
        ("Origin", json!("AWS_KMS")),
        ("MultiRegion", json!(false)),
        ("KeySpec", json!("SYMMETRIC_DEFAULT")),
        ("KeyUsage", json!("ENCRYPT_DECRYPT")),
        ("Enabled", json!(true)),
    ] {
        assert_eq!(described["KeyMetadata"][field], expect);
    }
    let wrapped = f.call("U", Operation::Encrypt, &json!({"KeyId": arn, "Plaintext": "c2VjcmV0"})).unwrap();
    let blob = &wrapped["CiphertextBlob"];
    let opened = f.call("U", Operation::Decrypt, &json!({"CiphertextBlob": blob})).unwrap();
    assert_eq!((opened["Plaintext"].as_str(), opened["KeyId"].as_str()), (Some("c2VjcmV0"), Some(arn)));
    let moved =
        json!({"CiphertextBlob": blob, "DestinationKeyId": two["Arn"], "DestinationEncryptionContext": {"a": "b"}});
    let moved = f.call("U", Operation::ReEncrypt, &moved).unwrap();
    let opened = json!({"CiphertextBlob": moved["CiphertextBlob"], "EncryptionContext": {"a": "b"}});
    assert_eq!(f.call("U", Operation::Decrypt, &opened).unwrap()["KeyId"], two["Arn"]);
    for (body, kind) in [
        (json!({"CiphertextBlob": blob, "KeyId": two["Arn"]}), Kind::IncorrectKey),
        (json!({"CiphertextBlob": blob, "EncryptionContext": {"a": "b"}}), Kind::InvalidCiphertext),
        (json!({"CiphertextBlob": "AAAA"}), Kind::InvalidCiphertext),
        (json!({"CiphertextBlob": STANDARD.encode([1; 64])}), Kind::AccessDenied),
        (json!({"CiphertextBlob": ""}), Kind::Validation),
        (json!({"CiphertextBlob": STANDARD.encode([1; 6145])}), Kind::Validation),
        (json!({"CiphertextBlob": "!"}), Kind::Serialization),
        (json!({"CiphertextBlob": blob, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}), Kind::Validation),
        (json!({"CiphertextBlob": blob, "GrantTokens": []}), Kind::Serialization),
        (json!({"CiphertextBlob": blob, "EncryptionContext": {"a": "b".repeat(8192)}}), Kind::Validation),
        (json!({"CiphertextBlob": blob, "EncryptionContext": {"a": "b".repeat(8191)}}), Kind::InvalidCiphertext),
        (json!([]), Kind::Serialization),
    ] {
        f.refused("U", Operation::Decrypt, &body, kind);
    }
}

#[test]
fn lengths_have_edges() {
    let f = Fixture::new();
    let made = f.call("U", Operation::CreateKey, &json!({})).unwrap();
    let key = &made["KeyMetadata"]["KeyId"];
    for (length, good) in [(0, false), (1, true), (1024, true), (1025, false)] {
        let random = json!({"NumberOfBytes": length});
        assert_eq!(f.call("U", Operation::GenerateRandom, &random).is_ok(), good, "{length}");
        let data_key = json!({"KeyId": key, "NumberOfBytes": length});
        assert_eq!(f.call("U", Operation::GenerateDataKey, &data_key).is_ok(), good, "{length}");
    }
    for (length, good) in [(0, false), (1, true), (4096, true), (4097, false)] {
        let body = json!({"KeyId": key, "Plaintext": STANDARD.encode(vec![1; length])});
        assert_eq!(f.call("U", Operation::Encrypt, &body).is_ok(), good, "{length}");
    }
    for (length, good) in [(8192, true), (8193, false)] {
        let body = json!({"Description": "d".repeat(length)});
        assert_eq!(f.call("U", Operation::CreateKey, &body).is_ok(), good, "{length}");
    }
    for body in [json!({}), json!({"KeySpec": "AES_512"}), json!({"KeySpec": "AES_256", "NumberOfBytes": 32})] {
        let mut body = body;
        body["KeyId"] = key.clone();
        f.refused("U", Operation::GenerateDataKey, &body, Kind::Validation);
    }
    f.refused("U", Operation::GenerateRandom, &json!({}), Kind::Validation);
}

#[test]
fn random_bytes_go_to_a_recipient_too() {
    let f = Fixture::new();
    let answer =
        f.call("U", Operation::GenerateRandom, &json!({"NumberOfBytes": 48, "Recipient": f.recipient()})).unwrap();
    assert_eq!(f.open(&answer).len(), 48);
}

#[test]
fn the_administrator_changes_state_and_policy_and_cannot_lock_himself_out() {
    let f = Fixture::new();
    let key = f.attested_key();
    let body = json!({"KeyId": key});
    let use_it = json!({"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": client(), "Recipient": f.recipient()});
    f.refused("ENCLAVE", Operation::DisableKey, &body, Kind::AccessDenied);
    f.call("ADMIN", Operation::DisableKey, &body).unwrap();
    f.refused("ENCLAVE", Operation::GenerateDataKey, &use_it, Kind::Disabled);
    f.call("ADMIN", Operation::EnableKey, &body).unwrap();
    f.call("ENCLAVE", Operation::GenerateDataKey, &use_it).unwrap();
    for (days, good) in [(6, false), (31, false), (7, true)] {
        let schedule = json!({"KeyId": key, "PendingWindowInDays": days});
        assert_eq!(f.call("ADMIN", Operation::ScheduleKeyDeletion, &schedule).is_ok(), good);
    }
    f.refused("ENCLAVE", Operation::GenerateDataKey, &use_it, Kind::KmsInvalidState);
    f.refused("ADMIN", Operation::EnableKey, &body, Kind::KmsInvalidState);
    f.call("ADMIN", Operation::CancelKeyDeletion, &body).unwrap();
    f.refused("ADMIN", Operation::CancelKeyDeletion, &body, Kind::KmsInvalidState);
    f.call("ADMIN", Operation::EnableKey, &body).unwrap();
    let policy = f.call("ADMIN", Operation::GetKeyPolicy, &body).unwrap()["Policy"].as_str().unwrap().to_owned();
    let put = |policy: &str, bypass: bool| json!({"KeyId": key, "PolicyName": "default", "Policy": policy, "BypassPolicyLockoutSafetyCheck": bypass});
    let without_admin = policy.replace("user/ADMIN", "user/NOBODY");
    f.refused("ADMIN", Operation::PutKeyPolicy, &put(&without_admin, false), Kind::MalformedPolicyDocument);
    f.refused("ADMIN", Operation::PutKeyPolicy, &put("{}", true), Kind::MalformedPolicyDocument);
    let mut other_name = put(&policy, false);
    other_name["PolicyName"] = json!("other");
    f.refused("ADMIN", Operation::PutKeyPolicy, &other_name, Kind::NotFound);
    f.call("ADMIN", Operation::PutKeyPolicy, &put(&policy.replace("client", "custodian"), false)).unwrap();
    f.refused("ENCLAVE", Operation::GenerateDataKey, &use_it, Kind::AccessDenied);
    f.call("ADMIN", Operation::PutKeyPolicy, &put(&without_admin, true)).unwrap();
    f.refused("ADMIN", Operation::PutKeyPolicy, &put(&policy, false), Kind::AccessDenied);
}

#[test]
fn keys_of_other_kinds_are_not_made() {
    let f = Fixture::new();
    for (body, kind) in [
        (json!({"KeyUsage": "SIGN_VERIFY"}), Kind::UnsupportedOperation),
        (json!({"KeySpec": "RSA_2048"}), Kind::UnsupportedOperation),
        (json!({"Origin": "EXTERNAL"}), Kind::UnsupportedOperation),
        (json!({"MultiRegion": true}), Kind::UnsupportedOperation),
        (json!({"CustomKeyStoreId": "x"}), Kind::Serialization),
        (json!({"Policy": "{}"}), Kind::MalformedPolicyDocument),
    ] {
        f.refused("U", Operation::CreateKey, &body, kind);
    }
}

#[test]
fn targets() {
    assert_eq!(Operation::of_target(Some("TrentService.Decrypt")), Ok(Operation::Decrypt));
    for target in [
        None,
        Some(""),
        Some("Decrypt"),
        Some("TrentService."),
        Some("TrentService.decrypt"),
        Some("TrentService.Sign"),
    ] {
        assert_eq!(Operation::of_target(target).unwrap_err().kind, Kind::UnknownOperation, "{target:?}");
    }
}
