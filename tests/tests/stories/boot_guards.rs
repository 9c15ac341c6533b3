//! A key policy that lets a call through without attestation: the enclave says so and does not serve until it is repaired.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use strongroom_proto::enclave::v1::{Boot, CreateKek, SetCredentials, request, response};
use strongroom_proto::v1::{Reason, Role};
use strongroom_simulated::Authority;
use strongroom_simulated::devkms::users::AccessKey;
use strongroom_tests::frames::Frames;
use strongroom_tests::stack::kms_admin::{ENCLAVE_USER, KmsAdmin, REGION};
use strongroom_tests::stack::process::Process;
use strongroom_tests::stack::{Stack, path_text, roles, start_enclave, value};

use crate::stack;

/// Longest wait for a health answer that is expected to come.
const TIME_MAX: Duration = Duration::from_secs(30);

/// What a careless policy allows, and the call that the enclave then names.
const CASES: &[(&[&str], &str)] = &[
    (&["kms:Encrypt"], "Encrypt"),
    (&["kms:ReEncryptFrom", "kms:ReEncryptTo"], "ReEncrypt"),
    (&["kms:GenerateDataKey"], "GenerateDataKey"),
    (&["kms:Decrypt"], "Decrypt"),
];

/// A second key of the stack's KMS, and the genuine image under a manifest that names it.
struct Second {
    admin: KmsAdmin,
    key_arn: String,
    images: Vec<(String, String)>,
    manifest: Vec<u8>,
}

impl Second {
    async fn new(stack: &Stack, folder: &Path) -> Self {
        let authority = Authority::open(&stack.folder().join("attestation-authority")).unwrap();
        let state = stack.folder().join("kms");
        let root = state.join("tls-root.der");
        let admin = KmsAdmin::new(stack.kms_address().unwrap(), &state, authority).unwrap();
        let key_arn = admin.create_key(Role::Client).await.unwrap();
        let file = folder.join("second.manifest");
        let (root, out) = (path_text(&root).unwrap(), path_text(&file).unwrap());
        let command = ["operator", "manifest", "--role", "client", "--kms-key-arn", &key_arn, "--region", REGION];
        let rest = ["--release", "1", "--development-kms-root", root, "--out", out];
        let printed = stack.strongroom(&[&command[..], &rest].concat()).unwrap();
        let pcr0 = hex::encode(stack.measurements().unwrap().pcr0);
        let images = vec![(pcr0, value(&printed, "pcr16").unwrap())];
        Self { admin, key_arn, images, manifest: fs::read(file).unwrap() }
    }

    async fn allow(&self, actions: &[&str]) {
        self.admin.admit_carelessly(Role::Client, &self.key_arn, &self.images, actions).await.unwrap();
    }

    /// A fresh enclave, with manifest and credentials.
    fn start(&self, stack: &Stack, folder: &Path) -> (Process, Frames) {
        for sub in ["run", "logs"] {
            fs::create_dir_all(folder.join(sub)).unwrap();
        }
        symlink(stack.folder().join("run/relay.sock"), folder.join("run/relay.sock")).unwrap();
        let authority = folder.join("attestation-authority");
        fs::copy(stack.folder().join("attestation-authority"), &authority).unwrap();
        fs::set_permissions(authority, fs::Permissions::from_mode(0o600)).unwrap();
        let process = start_enclave(folder, stack.image(), Role::Client).unwrap();
        let mut frames = Frames::connect(&roles::socket(folder, Role::Client)).unwrap();
        let booted = frames.ask(request::Body::Boot(Boot { manifest: self.manifest.clone() })).unwrap();
        assert!(matches!(booted, response::Body::Booted(_)), "{booted:?}");
        let key = AccessKey::read(&stack.folder().join("kms"), ENCLAVE_USER).unwrap();
        let credentials = SetCredentials {
            access_key_id: key.access_key_id,
            secret_access_key: key.secret_access_key.expose().to_owned(),
            ..SetCredentials::default()
        };
        let set = frames.ask(request::Body::SetCredentials(credentials)).unwrap();
        assert!(matches!(set, response::Body::CredentialsSet(_)), "{set:?}");
        (process, frames)
    }
}

/// Asks for health until exactly this is missing.
fn until_missing(frames: &mut Frames, expect: &[&str]) {
    let started = Instant::now();
    loop {
        let missing = frames.missing().unwrap();
        if missing == expect {
            return;
        }
        assert!(started.elapsed() < TIME_MAX, "missing: {missing:?}, and not {expect:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn create_kek(frames: &mut Frames) -> response::Body {
    frames.ask(request::Body::CreateKek(CreateKek { tenant: vec![7; 32], epoch: 1 })).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_needs_no_attestation_keeps_the_enclave_from_serving_until_the_policy_is_repaired() {
    let (folder, stack) = stack().await;
    let second = Second::new(&stack, folder.path()).await;
    for (number, (actions, operation)) in CASES.iter().enumerate() {
        second.allow(actions).await;
        let (process, mut frames) = second.start(&stack, &folder.path().join(format!("second-{number}")));
        let reason = format!("kms: the key policy allows {operation} without attestation");
        until_missing(&mut frames, &[&reason]);
        let response::Body::Error(refusal) = create_kek(&mut frames) else { panic!("{operation}: not refused") };
        assert_eq!(refusal.reason(), Reason::KmsUnavailable, "{operation}: {}", refusal.detail);
        let log = fs::read_to_string(&process.log).unwrap();
        assert!(log.contains(&format!("allows {operation} without attestation")), "{log}");

        second.allow(&[]).await;
        until_missing(&mut frames, &[]);
        let made = create_kek(&mut frames);
        assert!(matches!(made, response::Body::KekCreated(_)), "{operation}: {made:?}");
        process.kill();
    }
}
