//! The examples of a tenant's backend as real processes: a device, one of them, and the stack behind it.

use std::fs;
use std::path::Path;
use std::process::Command;

use prost::Message;
use strongroom_proto::v1::backup_service_client::BackupServiceClient;
use strongroom_proto::v1::tenant_service_client::TenantServiceClient;
use strongroom_proto::v1::{GetBackupRequest, GetStatementRequest, Receipt, SignedReceipt};
use strongroom_sdk::client::{ApiKey, Client};
use strongroom_sdk::device::Device;
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::statement::VerifiedStatement;
use strongroom_tests::share;
use strongroom_tests::stack::backend::{Backend, Example, Settings, session_file};
use strongroom_tests::stack::{ORIGIN, PASSPHRASE, RP_ID, Stack, path_text};
use strongroom_tests::user::{self, User};
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use crate::stack;

mod custodian;
mod false_host;
mod receipts;
mod refusals;
mod reload;
mod settings;

/// An example in front of the stack, with these users and their wallets.
fn start(stack: &Stack, example: Example, users: &[(&str, &str)]) -> Backend {
    let folder = stack.folder().join(format!("backend-{example:?}"));
    Settings::of(stack, users).unwrap().write(&folder).unwrap();
    example.start(&folder).unwrap()
}

/// A user whose device knows the backend and a session, and no API key.
async fn user(stack: &Stack, backend: &Backend, name: &str, wallet: &str) -> User {
    let session = ApiKey::parse(&backend.session(name).unwrap()).unwrap();
    let client = Client::connect(&backend.url, session).await.unwrap();
    let device = Device::new(client.clone(), user::tenant(stack).unwrap(), user::trust(stack).unwrap());
    User { device, client, passkey: Passkey::create(RP_ID).unwrap(), wallet: wallet.to_owned() }
}

async fn channel(url: &str) -> Channel {
    Endpoint::new(url.to_owned()).unwrap().connect().await.unwrap()
}

fn bearing<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// The version of the newest receipt in a backend's store, where every file is a receipt of one record.
fn kept_version(backend: &Backend) -> u64 {
    let version = |(name, bytes): (String, Vec<u8>)| {
        let signed = SignedReceipt::decode(bytes.as_slice()).unwrap();
        let receipt = Receipt::decode(signed.receipt.as_slice()).unwrap();
        let record = hex::encode(&receipt.record_id);
        assert_eq!(name, format!("{record}.client.{:020}.receipt", receipt.version));
        (record, receipt.version)
    };
    let kept: Vec<_> = backend.kept().unwrap().into_iter().map(version).collect();
    assert!(kept.iter().all(|(record, _)| *record == kept[0].0), "{kept:?}");
    kept.last().expect("a receipt is kept").1
}

/// Runs the stock command as a device would: with nothing of this process's environment.
fn device(stack: &Stack, backend: &Backend, act: &str, more: &[&str]) -> (Command, String) {
    let session = session_file(&backend.folder, "ann");
    let arguments = [
        &["device", act, "--tenant", &stack.tenant().unwrap(), "--host", &backend.url],
        &["--api-key-file", path_text(&session).unwrap(), "--wallet", "w", "--origin", ORIGIN][..],
        more,
    ];
    let mut command = stack.strongroom_command(&arguments.concat()).unwrap();
    command.env_clear();
    let output = command.output().unwrap();
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(output.status.success(), "{act}: {printed}");
    (command, printed)
}

#[tokio::test]
async fn a_device_backs_up_and_recovers_through_each_backend_and_never_has_the_api_key() {
    for example in Example::ALL {
        let (folder, stack) = stack().await;
        stack.create_wallet("w").unwrap();
        let backend = start(&stack, example, &[("ann", "w"), ("bob", "v")]);
        // The backend has read it; a device could not if it wanted to.
        let key_file = stack.api_key_file();
        let api_key = fs::read_to_string(&key_file).unwrap();
        fs::remove_file(&key_file).unwrap();

        let (passkey, out) = (folder.path().join("passkey"), folder.path().join("recovered"));
        let passkey = ["--passkey", path_text(&passkey).unwrap()];
        let shares = share::two_curves();
        let arguments = shares.clone().map(|(pair, curve, bytes)| {
            let path = folder.path().join(pair);
            fs::write(&path, bytes).unwrap();
            format!("--share={pair}:{curve}={}", path.display())
        });
        let backup = [&passkey[..], &[&arguments[0], &arguments[1]]].concat();
        let mut device_texts = vec![device(&stack, &backend, "backup", &backup)];
        assert_eq!(kept_version(&backend), 1);
        let recover = [&passkey[..], &["--out", path_text(&out).unwrap()]].concat();
        device_texts.push(device(&stack, &backend, "recover", &recover));
        assert_eq!(kept_version(&backend), 2);
        device_texts.push(device(&stack, &backend, "rehearse", &passkey));
        assert!(device_texts[2].1.contains("every share opens"), "{}", device_texts[2].1);
        assert_eq!(kept_version(&backend), 2, "a rehearsal moves nothing");
        for (pair, _, bytes) in &shares {
            assert_eq!(fs::read(out.join(format!("{pair}.share"))).unwrap(), *bytes, "{example:?}");
        }
        for (command, printed) in device_texts {
            // With the environment cleared, these are all that the process was given.
            let given = format!("{:?} {:?} {printed}", command.get_args(), command.get_envs());
            assert!(!given.contains(api_key.trim()) && !given.contains(path_text(&key_file).unwrap()), "{given}");
        }
        check_log(&backend, &api_key, &shares);
    }
}

/// What the backend wrote, and what others see of its process, has ids and no secret.
fn check_log(backend: &Backend, api_key: &str, shares: &[(&str, &str, Vec<u8>)]) {
    let process = Path::new("/proc").join(backend.process.id().to_string());
    let shown = ["cmdline", "environ"].map(|file| fs::read(process.join(file)).unwrap());
    let log = fs::read(&backend.process.log).unwrap();
    let text = String::from_utf8(log.clone()).unwrap();
    for call in ["Prepare", "CreateBackup", "Recover", "RehearseBackup"] {
        assert!(text.lines().any(|line| line.to_lowercase() == format!("call={call} user=ann code=ok").to_lowercase()));
    }
    let session = backend.session("ann").unwrap();
    let kept = backend.kept().unwrap().into_iter().map(|(_, bytes)| bytes);
    for place in kept.chain(shown).chain([log]) {
        let needles = [api_key.trim().as_bytes(), session.as_bytes(), &shares[0].2[..64], PASSPHRASE.as_bytes()];
        for needle in needles {
            assert!(!place.windows(needle.len()).any(|window| window == needle), "{}", String::from_utf8_lossy(&place));
        }
    }
}

#[tokio::test]
async fn the_statement_is_the_backends_own_and_a_lost_answer_is_caught_up_with() {
    let (_folder, stack) = stack().await;
    // An act whose answer no backend has seen.
    let at_host = User::new(&stack, "w").await.unwrap();
    at_host.backup("main", [b"one", b"two"]).await.unwrap();
    let backends = Example::ALL.map(|example| start(&stack, example, &[("ann", "w")]));
    let devices = [user(&stack, &backends[0], "ann", "w").await, user(&stack, &backends[1], "ann", "w").await];
    // The host gets statement 2 and the backends keep theirs.
    stack.sign_statement().unwrap();
    for (backend, ann) in backends.iter().zip(&devices) {
        let session = backend.session("ann").unwrap();
        let mut tenants = TenantServiceClient::new(channel(&backend.url).await);
        let answer = tenants.get_statement(bearing(GetStatementRequest {}, &session)).await.unwrap().into_inner();
        let tenant = user::tenant(&stack).unwrap();
        assert_eq!(VerifiedStatement::verify(&answer.statement.unwrap(), tenant).unwrap().serial(), 1);
        assert_eq!(ann.prepare().await.unwrap().statement().serial(), 1);

        assert!(backend.kept().unwrap().is_empty());
        let mut backups = BackupServiceClient::new(channel(&backend.url).await);
        let asked = GetBackupRequest { wallet: "w".to_owned(), backup: "main".to_owned() };
        backups.get_backup(bearing(asked, &session)).await.unwrap();
        assert_eq!(kept_version(backend), 1);
    }
    assert_eq!(at_host.prepare().await.unwrap().statement().serial(), 2);
}
