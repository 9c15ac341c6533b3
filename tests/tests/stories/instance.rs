//! The host on an EC2 instance: its enclave lives on the credentials of the instance's role, through a renewal, and what it says to its
//! parent is in the log.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use strongroom_proto::v1::Role;
use strongroom_simulated::Authority;
use strongroom_simulated::devkms::users::{AccessKey, file_of};
use strongroom_tests::frames::Frames;
use strongroom_tests::rotation::{publish, rotate};
use strongroom_tests::stack::kms_admin::{CUSTODIAN_USER, ENCLAVE_USER, KmsAdmin, REGION};
use strongroom_tests::stack::{Stack, path_text, value};
use strongroom_tests::user::User;

use crate::stack;

/// The stand-in of the instance metadata service, which the host's own tests use.
#[path = "../../../host/src/testing/imds.rs"]
#[allow(dead_code)]
mod imds;

use imds::{Imds, Key};

/// Longest wait for what the host does by itself.
const TIME_MAX: Duration = Duration::from_mins(1);
/// The instance's role.
const ROLE: &str = "strongroom-both";
/// What the wallet holds.
const SHARES: [&[u8]; 2] = [&[7; 32], &[9; 32]];

/// The access key of an IAM user of the development KMS, as the instance's role gives it for so many seconds.
fn key(stack: &Stack, user: &str, lives: i64) -> Key {
    let key = AccessKey::read(&stack.folder().join("kms"), user).unwrap();
    let [secret, token] = [key.secret_access_key, key.session_token.unwrap()].map(|text| text.expose().to_owned());
    Key { id: key.access_key_id, secret, token, lives }
}

/// The access keys of the development KMS become temporary ones, such as a role has: each call must carry their token.
async fn make_keys_temporary(stack: &mut Stack) {
    stack.kill();
    for user in [ENCLAVE_USER, CUSTODIAN_USER] {
        let mut file = File::options().append(true).open(file_of(&stack.folder().join("kms"), user)).unwrap();
        writeln!(file, "session_token = \"token-of-{user}\"").unwrap();
    }
    stack.start_enclaves_and_host().await.unwrap();
}

/// From now on the host asks the instance, and has no credentials file.
async fn move_to_instance(stack: &mut Stack, imds: &Imds) {
    let (config, file) = (stack.folder().join("host.toml"), stack.folder().join("client-credentials.toml"));
    let text = fs::read_to_string(&config).unwrap();
    let line = format!("file = \"{}\"", file.display());
    assert!(text.contains(&line));
    let instance = format!("instance_role = \"{ROLE}\"\nimds = \"http://{}\"", imds.address());
    fs::write(config, text.replace(&line, &instance)).unwrap();
    fs::remove_file(file).unwrap();
    stack.restart_enclaves_and_host().await.unwrap();
}

/// Lets the role's enclave use its KMS key with the credentials of this user alone.
async fn admit_alone(stack: &Stack, user: &str) {
    let state = stack.folder().join("kms");
    let authority = Authority::open(&stack.folder().join("attestation-authority")).unwrap();
    let admin = KmsAdmin::new(stack.kms_address().unwrap(), &state, authority).unwrap();
    let key_arn = stack.key_arn(Role::Client).unwrap();
    let (root, out) = (state.join("tls-root.der"), stack.folder().join("again.manifest"));
    let command = ["operator", "manifest", "--role", "client", "--kms-key-arn", key_arn, "--region", REGION];
    let (root, out) = (path_text(&root).unwrap(), path_text(&out).unwrap());
    let rest = ["--release", "1", "--development-kms-root", root, "--out", out];
    let printed = stack.strongroom(&[&command[..], &rest].concat()).unwrap();
    let images = [(hex::encode(stack.measurements().unwrap().pcr0), value(&printed, "pcr16").unwrap())];
    admin.admit_user(user, Role::Client, key_arn, &images).await.unwrap();
}

/// Waits for what the host does by itself.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !done().await {
        assert!(started.elapsed() < TIME_MAX, "{what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn host_log(stack: &Stack) -> String {
    fs::read_to_string(stack.folder().join("logs/host")).unwrap()
}

fn lacks_nothing(stack: &Stack) -> bool {
    Frames::connect(&stack.enclave_socket(Role::Client)).unwrap().missing().unwrap().is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enclave_lives_on_the_instances_role_through_a_renewal() {
    let (_folder, mut stack) = stack().await;
    make_keys_temporary(&mut stack).await;
    let with_file = stack.host().unwrap().resident_bytes().unwrap();
    let imds = Imds::start(ROLE, key(&stack, ENCLAVE_USER, 20)).unwrap();
    move_to_instance(&mut stack, &imds).await;
    let with_role = stack.host().unwrap().resident_bytes().unwrap();
    println!("host, idle: {} KiB with a file, {} KiB with the instance's role", with_file / 1024, with_role / 1024);
    let user = User::new(&stack, "ann").await.unwrap();
    user.backup("main", SHARES).await.unwrap();

    // The metadata service fails in the way that it does: it goes on with what has ended. The enclave takes none of it.
    imds.rotate(key(&stack, ENCLAVE_USER, -60));
    until("expired credentials are refused", async || host_log(&stack).contains("expires_at_ms: already past")).await;
    assert_eq!(user.recover().await.unwrap(), SHARES);

    // KMS takes the role's next key alone, and that is what the instance has by now.
    admit_alone(&stack, CUSTODIAN_USER).await;
    assert!(rotate(&stack).await.is_err(), "KMS takes the key of before");
    let asked = imds.asked().len();
    imds.rotate(key(&stack, CUSTODIAN_USER, 3600));
    until("the next credentials are fetched", async || imds.asked().len() >= asked + 2 && lacks_nothing(&stack)).await;
    until("KMS takes the next credentials", async || rotate(&stack).await.is_ok()).await;
    publish(&stack, None).await.unwrap();

    // A restarted enclave is given them again: it unwraps a KEK with them.
    stack.restart_enclave(Role::Client).await.unwrap();
    assert_eq!(user.recover().await.unwrap(), SHARES);
    for user in [ENCLAVE_USER, CUSTODIAN_USER] {
        let Key { id, secret, token, .. } = key(&stack, user, 0);
        let log = host_log(&stack);
        assert!(![id, secret, token].iter().any(|text| log.contains(text)), "credentials are in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_enclave_says_to_its_parent_is_in_the_log() {
    let (_folder, stack) = stack().await;
    let connect = |name: &str| UnixStream::connect(stack.folder().join("run").join(name)).unwrap();
    let mut beat = connect("heartbeat.sock");
    beat.write_all(&[0xB7]).unwrap();
    let mut back = Vec::new();
    beat.read_to_end(&mut back).unwrap();
    assert_eq!(back, [0xB7]);
    let mut words = connect("last-words.sock");
    words.write_all(b"strongroom: panic at enclave/core/src/x.rs:7\n").unwrap();
    assert_eq!(words.read_to_end(&mut back).unwrap(), 0);
    let log = host_log(&stack);
    assert!(log.contains("image has come up"), "{log}");
    assert!(log.contains("last words\" words=\"strongroom: panic at enclave/core/src/x.rs:7\""), "{log}");
}
