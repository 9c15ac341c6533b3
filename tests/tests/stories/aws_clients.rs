//! The development KMS as AWS's own clients find it: the `aws` command line and boto3, over its real TLS.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use strongroom_runtime::kms::envelope::open_envelope;
use strongroom_runtime::kms::recipient::RecipientKey;
use strongroom_runtime::nsm::{AttestRequest, Nsm};
use strongroom_simulated::devkms::users::{AccessKey, file_of};
use strongroom_simulated::{Authority, Measurements, SimulatedNsm};
use strongroom_tests::stack::kms_admin::{ACCOUNT, ADMINISTRATOR, ENCLAVE_USER};
use strongroom_tests::stack::process::Process;
use strongroom_tests::stack::start_kms;
use tempfile::TempDir;

use super::python::{clean, program, script};

/// Checks that the script of boto3 makes; it says how many it made.
const BOTO3_CHECKS_MIN: u32 = 25;

struct DevKms {
    folder: TempDir,
    authority: Authority,
    endpoint: String,
    process: Process,
}

impl DevKms {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("strongroom-kms-").tempdir().unwrap();
        for sub in ["kms", "logs"] {
            fs::create_dir(folder.path().join(sub)).unwrap();
        }
        let authority = Authority::new().unwrap();
        fs::write(folder.path().join("attestation-root.der"), authority.root_der()).unwrap();
        let (process, address) = start_kms(folder.path()).unwrap();
        Self { authority, endpoint: format!("https://localhost:{}", address.port()), folder, process }
    }

    fn key(&self, user: &str) -> AccessKey {
        AccessKey::read(&self.folder.path().join("kms"), user).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file for the command line and gives how it is named there.
    fn file(&self, name: &str, content: &[u8]) -> String {
        fs::write(self.path(name), content).unwrap();
        format!("fileb://{}", self.path(name).display())
    }

    /// Runs `aws kms` as the owner of an access key.
    fn aws(&self, id: &str, secret: &str, arguments: &[&str]) -> Output {
        clean(program("aws"))
            .env("AWS_CA_BUNDLE", self.path("kms/tls-root.pem"))
            .env("AWS_ACCESS_KEY_ID", id)
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .args(["kms", "--output", "json", "--endpoint-url", &self.endpoint])
            .args(arguments)
            .output()
            .unwrap()
    }

    fn done(&self, user: &str, arguments: &[&str]) -> Value {
        let key = self.key(user);
        let output = self.aws(&key.access_key_id, key.secret_access_key.expose(), arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        // Some operations answer nothing.
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn refused(&self, user: &str, arguments: &[&str], error: &str) {
        let key = self.key(user);
        check_refused(&self.aws(&key.access_key_id, key.secret_access_key.expose(), arguments), error);
    }
}

fn check_refused(output: &Output, error: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains(error), "wanted {error}, got {text}");
}

/// The administrator administers; the enclave's user may use the key in its role, and only attested where `pcr0` says so.
fn policy(actions: &[&str], pcr0: Option<&str>) -> String {
    let user = |name: &str| json!({ "AWS": format!("arn:aws:iam::{ACCOUNT}:user/{name}") });
    let mut condition = json!({ "kms:EncryptionContext:role": "client" });
    if let Some(pcr0) = pcr0 {
        condition["kms:RecipientAttestation:PCR0"] = pcr0.into();
    }
    let administrator =
        ["kms:DescribeKey", "kms:*KeyPolicy", "kms:EnableKey", "kms:DisableKey", "kms:ScheduleKeyDeletion"];
    json!({
        "Version": "2012-10-17",
        "Statement": [
            { "Effect": "Allow", "Principal": user(ADMINISTRATOR), "Action": administrator, "Resource": "*",
              "Condition": { "Bool": { "aws:SecureTransport": "true" }, "IpAddress": { "aws:SourceIp": "127.0.0.0/8" } } },
            { "Effect": "Allow", "Principal": user(ENCLAVE_USER), "Action": actions, "Resource": "*",
              "Condition": { "StringEquals": condition } },
        ],
    })
    .to_string()
}

#[test]
fn the_aws_command_line_does_what_the_policy_allows_and_nothing_else() {
    let kms = DevKms::start();
    let allowed = ["kms:GenerateDataKey*", "kms:Encrypt", "kms:Decrypt"];
    let made = kms.done(ADMINISTRATOR, &["create-key", "--policy", &policy(&allowed, None)]);
    let arn = made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
    let key = ["--key-id", arn.as_str()];
    let own = ["--encryption-context", "role=client"];
    let with = |command: &[&'static str], more: &[&[&str]]| -> Vec<String> {
        command.iter().chain(&key).chain(more.concat().iter()).map(|text| (*text).to_owned()).collect()
    };
    let done =
        |user: &str, arguments: Vec<String>| kms.done(user, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let refused = |user: &str, arguments: Vec<String>, error: &str| {
        kms.refused(user, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), error);
    };

    let generate = ["generate-data-key", "--key-spec", "AES_256"];
    let data_key = done(ENCLAVE_USER, with(&generate, &[&own]));
    assert_eq!((data_key["KeyId"].as_str(), data_key["Plaintext"].as_str().unwrap().len()), (Some(arn.as_str()), 44));
    refused(ENCLAVE_USER, with(&generate, &[&["--encryption-context", "role=custodian"]]), "AccessDeniedException");
    refused(ENCLAVE_USER, with(&generate, &[]), "AccessDeniedException");
    refused(ADMINISTRATOR, with(&generate, &[&own]), "AccessDeniedException");
    refused(ENCLAVE_USER, with(&["generate-data-key"], &[&own]), "ValidationException");
    let hidden = with(&["generate-data-key-without-plaintext", "--number-of-bytes", "64"], &[&own]);
    assert!(done(ENCLAVE_USER, hidden).get("Plaintext").is_none());

    let described = done(ADMINISTRATOR, with(&["describe-key"], &[]));
    assert_eq!(described["KeyMetadata"]["Arn"], arn.as_str());
    refused(ENCLAVE_USER, with(&["describe-key"], &[]), "AccessDeniedException");
    kms.refused(ADMINISTRATOR, &["describe-key", "--key-id", "alias/none"], "NotFoundException");

    let plaintext = kms.file("plaintext", b"a secret of 23 bytes...");
    let sealed = done(ENCLAVE_USER, with(&["encrypt"], &[&own, &["--plaintext", &plaintext]]));
    let blob = bytes_of(&sealed["CiphertextBlob"]);
    let blob = kms.file("blob", &blob);
    let opened = done(ENCLAVE_USER, with(&["decrypt"], &[&own, &["--ciphertext-blob", &blob]]));
    assert_eq!(bytes_of(&opened["Plaintext"]), b"a secret of 23 bytes...");
    let short = kms.file("short", &[1]);
    refused(ENCLAVE_USER, with(&["decrypt"], &[&own, &["--ciphertext-blob", &short]]), "InvalidCiphertextException");

    refused(ENCLAVE_USER, with(&generate, &[&own, &["--dry-run"]]), "DryRunOperationException");
    refused(ADMINISTRATOR, with(&generate, &[&own, &["--dry-run"]]), "AccessDeniedException");
    let blind = ["--dry-run", "--dry-run-modifiers", "IGNORE_CIPHERTEXT"];
    refused(ENCLAVE_USER, with(&["decrypt"], &[&own, &blind]), "DryRunOperationException");
    refused(ADMINISTRATOR, with(&["decrypt"], &[&own, &blind]), "AccessDeniedException");

    let get = with(&["get-key-policy", "--policy-name", "default"], &[]);
    assert!(done(ADMINISTRATOR, get)["Policy"].as_str().unwrap().contains("kms:EncryptionContext:role"));
    let put = |text: &str| with(&["put-key-policy", "--policy-name", "default"], &[&["--policy", text]]);
    refused(ENCLAVE_USER, put(&policy(&allowed, None)), "AccessDeniedException");
    let unknown = policy(&allowed, None).replace("\"StringEquals\"", "\"StringSounds\"");
    refused(ADMINISTRATOR, put(&unknown), "\"StringSounds\" is no operator");
    refused(ADMINISTRATOR, put(&unknown), "MalformedPolicyDocumentException");
    done(ADMINISTRATOR, put(&policy(&["kms:Encrypt"], None)));
    refused(ENCLAVE_USER, with(&generate, &[&own]), "AccessDeniedException");
    done(ENCLAVE_USER, with(&["encrypt"], &[&own, &["--plaintext", &plaintext]]));
}

#[test]
fn the_aws_command_line_must_sign_with_a_users_secret() {
    let kms = DevKms::start();
    let (one, other) = (kms.key(ADMINISTRATOR), kms.key(ENCLAVE_USER));
    let random = ["generate-random", "--number-of-bytes", "8"];
    let secret = one.secret_access_key.expose();
    assert!(kms.aws(&one.access_key_id, secret, &random).status.success());
    for (id, secret, error) in [
        (one.access_key_id.as_str(), "wrong", "InvalidSignatureException"),
        (&one.access_key_id, other.secret_access_key.expose(), "InvalidSignatureException"),
        (&one.access_key_id, &secret[..39], "InvalidSignatureException"),
        ("AKIANOBODY", secret, "UnrecognizedClientException"),
    ] {
        check_refused(&kms.aws(id, secret, &random), error);
    }
    let elsewhere = [&["--region", "us-east-1"], &random[..]].concat();
    check_refused(&kms.aws(&one.access_key_id, secret, &elsewhere), "InvalidSignatureException");
    let unknown_root = [&["--ca-bundle", "/etc/ssl/certs/ca-certificates.crt"], &random[..]].concat();
    check_refused(&kms.aws(&one.access_key_id, secret, &unknown_root), "SSL validation failed");

    let log = fs::read_to_string(&kms.process.log).unwrap();
    assert!(log.contains("GenerateRandom ok") && log.contains("InvalidSignatureException"), "{log}");
    for key in [&one, &other] {
        assert!(!log.contains(key.secret_access_key.expose()), "a secret is in the log");
    }
}

#[test]
fn boto3_finds_each_error_class_and_an_attested_answer_opens() {
    let kms = DevKms::start();
    let recipient = RecipientKey::generate().unwrap();
    let image = Measurements::of_bytes(b"enclave");
    let nsm = SimulatedNsm::new(kms.authority, &image).unwrap();
    let document =
        nsm.attest(&AttestRequest { public_key: Some(recipient.spki()), ..AttestRequest::default() }).unwrap();
    let folder = kms.folder.path();
    fs::write(folder.join("document"), document).unwrap();
    let actions = ["kms:GenerateDataKey", "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*"];
    fs::write(folder.join("open-policy"), policy(&actions, None)).unwrap();
    fs::write(folder.join("attested-policy"), policy(&actions, Some(&hex::encode(image.pcr0)))).unwrap();
    let output = script("devkms_boto3.py")
        .args([&kms.endpoint])
        .arg(folder.join("kms/tls-root.pem"))
        .args([ADMINISTRATOR, ENCLAVE_USER].map(|user| file_of(&folder.join("kms"), user)))
        .arg(folder)
        .output()
        .unwrap();
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}{errors}");
    let checks: u32 = printed.trim().strip_prefix("checks ").unwrap().parse().unwrap();
    assert!(checks >= BOTO3_CHECKS_MIN, "{checks}");

    let keys = ["made", "again"].map(|name| {
        let envelope = fs::read(folder.join(name)).unwrap();
        open_envelope(&envelope, &recipient).unwrap().expose().to_vec()
    });
    assert_eq!((keys[0].len(), &keys[0]), (32, &keys[1]));
}

fn bytes_of(text: &Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}
