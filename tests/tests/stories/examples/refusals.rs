//! What each backend refuses before the host hears of it.

use std::fs;

use strongroom_proto::v1::backup_service_client::BackupServiceClient;
use strongroom_proto::v1::passkey_service_client::PasskeyServiceClient;
use strongroom_proto::v1::recovery_service_client::RecoveryServiceClient;
use strongroom_proto::v1::tenant_service_client::TenantServiceClient;
use strongroom_proto::v1::wallet_service_client::WalletServiceClient;
use strongroom_proto::v1::{
    Act, CreateBackupRequest, CreateWalletRequest, GetAttestationRequest, GetBackupRequest, GetStatementRequest,
    Intent, ListBackupsRequest, PrepareRequest, PutStatementRequest, RecoverRequest, RehearseBackupRequest, Role,
};
use strongroom_sdk::device::choose;
use strongroom_sdk::intent;
use strongroom_tests::stack::Stack;
use strongroom_tests::stack::backend::{Backend, Example};
use strongroom_tests::user::User;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::{bearing, channel, start, user};
use crate::stack;

/// A call with its message.
#[derive(Clone, Debug)]
enum Call {
    Prepare(PrepareRequest),
    GetStatement,
    GetBackup(GetBackupRequest),
    Create(CreateBackupRequest),
    Rehearse(RehearseBackupRequest),
    Recover(RecoverRequest),
}

/// Sends it with these headers.
async fn send(channel: &Channel, call: Call, headers: &[String]) -> Result<(), Status> {
    fn with<T>(message: T, headers: &[String]) -> Request<T> {
        let mut request = Request::new(message);
        for header in headers {
            request.metadata_mut().append("authorization", header.parse().unwrap());
        }
        request
    }
    fn done<T>(answer: Result<Response<T>, Status>) -> Result<(), Status> {
        answer.map(|_| ())
    }
    let channel = channel.clone();
    match call {
        Call::Prepare(message) => done(PasskeyServiceClient::new(channel).prepare(with(message, headers)).await),
        Call::GetStatement => {
            done(TenantServiceClient::new(channel).get_statement(with(GetStatementRequest {}, headers)).await)
        }
        Call::GetBackup(message) => done(BackupServiceClient::new(channel).get_backup(with(message, headers)).await),
        Call::Create(message) => done(BackupServiceClient::new(channel).create_backup(with(message, headers)).await),
        Call::Rehearse(message) => {
            done(BackupServiceClient::new(channel).rehearse_backup(with(message, headers)).await)
        }
        Call::Recover(message) => done(RecoveryServiceClient::new(channel).recover(with(message, headers)).await),
    }
}

fn prepare_of(wallet: &str) -> Call {
    Call::Prepare(PrepareRequest { wallet: wallet.to_owned(), nonce: vec![1; 32] })
}

fn backup_of(wallet: &str) -> Call {
    Call::GetBackup(GetBackupRequest { wallet: wallet.to_owned(), backup: "main".to_owned() })
}

/// Each call as ann's device makes it: good but for what a case changes.
struct Good {
    create: CreateBackupRequest,
    recover: RecoverRequest,
    rehearse: RehearseBackupRequest,
}

impl Good {
    async fn of(ann: &User) -> Self {
        let prepared = ann.prepare().await.unwrap();
        let (recovery, recipient) = ann.recovery(&prepared).unwrap();
        let record = choose(&prepared, None).unwrap();
        let rehearsal = intent::rehearse(&prepared.base(Role::Client).unwrap(), record, 1).unwrap();
        Self {
            create: ann.creation(&prepared, &ann.creation_of("second"), [b"three", b"four"]).unwrap(),
            recover: RecoverRequest {
                request_id: "recover".to_owned(),
                act: Some(recovery),
                client_recipient_key: recipient.public_key().to_vec(),
                ..RecoverRequest::default()
            },
            rehearse: RehearseBackupRequest {
                act: Some(ann.sign(&rehearsal).unwrap()),
                ..RehearseBackupRequest::default()
            },
        }
    }

    fn calls(&self) -> Vec<Call> {
        let acts = self.acting(|_| {});
        [prepare_of("w"), Call::GetStatement, backup_of("w")].into_iter().chain(acts).collect()
    }

    /// The calls that carry an act, each changed.
    fn acting(&self, change: impl Fn(&mut Option<Act>)) -> Vec<Call> {
        let (mut create, mut recover, mut rehearse) =
            (self.create.clone(), self.recover.clone(), self.rehearse.clone());
        [&mut create.act, &mut recover.act, &mut rehearse.act].into_iter().for_each(change);
        vec![Call::Rehearse(rehearse), Call::Recover(recover), Call::Create(create)]
    }

    fn intents(&self, change: impl Fn(&mut Intent)) -> Vec<Call> {
        self.acting(|act| {
            let act = act.as_mut().unwrap();
            let mut intent = strongroom_proto::intent::decode(&act.intent).unwrap();
            change(&mut intent);
            act.intent = prost::Message::encode_to_vec(&intent);
        })
    }
}

/// Ann's device and wallet with one backup, and bob's, behind one backend.
async fn world(stack: &Stack, example: Example) -> (Backend, Good) {
    for wallet in ["w", "v"] {
        stack.create_wallet(wallet).unwrap();
    }
    let backend = start(stack, example, &[("ann", "w"), ("bob", "v")]);
    let ann = user(stack, &backend, "ann", "w").await;
    ann.backup("main", [b"one", b"two"]).await.unwrap();
    let good = Good::of(&ann).await;
    (backend, good)
}

#[tokio::test]
async fn a_backend_refuses_strangers_other_users_and_wrong_acts() {
    for example in Example::ALL {
        let (_folder, stack) = stack().await;
        let (backend, good) = world(&stack, example).await;
        let channel = channel(&backend.url).await;
        let session = |name: &str| format!("Bearer {}", backend.session(name).unwrap());
        let (ann, bob) = (session("ann"), session("bob"));
        let kept = backend.kept().unwrap();

        let api_key = fs::read_to_string(stack.api_key_file()).unwrap();
        let token = backend.session("ann").unwrap();
        let hash = hex::encode(strongroom_proto::id::sha256(&[token.as_bytes()]));
        let strangers: Vec<Vec<String>> = vec![
            vec![],
            vec![String::new()],
            vec!["Bearer ".to_owned()],
            vec![format!("Bearer sr_{}", "0".repeat(64))],
            vec![format!("Bearer {}", api_key.trim())],
            vec![format!("Bearer {hash}")],
            vec![format!("Basic {token}")],
            vec![token.clone()],
            vec![format!("{ann}0")],
            vec![ann[..ann.len() - 1].to_owned()],
            vec![ann.clone(), ann.clone()],
        ];
        let mut cases: Vec<(Vec<String>, Code, Vec<Call>)> =
            strangers.into_iter().map(|headers| (headers, Code::Unauthenticated, good.calls())).collect();
        let mut ann_is = |code, calls| cases.push((vec![ann.clone()], code, calls));
        ann_is(Code::NotFound, ["v", "unknown", "W", "w/", ""].map(prepare_of).into());
        ann_is(Code::NotFound, ["v", "unknown", ""].map(backup_of).into());
        ann_is(Code::NotFound, good.intents(|intent| intent.wallet = "v".to_owned()));
        ann_is(Code::InvalidArgument, good.intents(|intent| intent.tenant[0] ^= 1));
        ann_is(Code::InvalidArgument, good.intents(|intent| intent.action = None));
        ann_is(Code::InvalidArgument, good.acting(|act| *act = None));
        ann_is(Code::InvalidArgument, good.acting(|act| act.as_mut().unwrap().intent.push(0)));
        let unknown_field = |act: &mut Option<Act>| act.as_mut().unwrap().intent.extend([0xf8, 0x7f, 1]);
        ann_is(Code::InvalidArgument, good.acting(unknown_field));
        let acts = [&good.create.act, &good.recover.act, &good.rehearse.act];
        for (wrong, keeps) in [(0, 2), (1, 1), (2, 0)] {
            // Of rehearsal, recovery, creation: the one that this act is for stays out.
            let mut calls = good.acting(|act| act.clone_from(acts[wrong]));
            calls.remove(keeps);
            ann_is(Code::InvalidArgument, calls);
        }
        let of_ann = [prepare_of("w"), backup_of("w")].into_iter().chain(good.acting(|_| {})).collect();
        cases.push((vec![bob], Code::NotFound, of_ann));

        for (headers, expect, calls) in cases {
            for call in calls {
                let status = send(&channel, call.clone(), &headers).await.expect_err(&format!("{example:?} {call:?}"));
                assert_eq!(status.code(), expect, "{example:?} {headers:?} {call:?}: {status}");
                // The host's refusals all have details: it was never asked.
                assert!(status.details().is_empty(), "{example:?} {call:?}: {status:?}");
            }
        }
        assert_eq!(backend.kept().unwrap(), kept);
        for call in good.calls() {
            send(&channel, call.clone(), std::slice::from_ref(&ann))
                .await
                .unwrap_or_else(|status| panic!("{call:?}: {status}"));
        }
    }
}

#[tokio::test]
async fn calls_that_are_no_devices_are_not_there_and_the_hosts_refusals_come_through() {
    let (_folder, stack) = stack().await;
    let mut refusals = Vec::new();
    for example in Example::ALL {
        let wallet = format!("w-{example:?}");
        stack.create_wallet(&wallet).unwrap();
        let backend = start(&stack, example, &[("ann", &wallet)]);
        let (channel, session) = (channel(&backend.url).await, backend.session("ann").unwrap());
        let mut backups = BackupServiceClient::new(channel.clone());
        let mut tenants = TenantServiceClient::new(channel.clone());
        let mut wallets = WalletServiceClient::new(channel.clone());
        let attestation = GetAttestationRequest { role: Role::Client.into(), ..Default::default() };
        for status in [
            backups.list_backups(bearing(ListBackupsRequest { wallet: wallet.clone() }, &session)).await.err(),
            tenants.put_statement(bearing(PutStatementRequest::default(), &session)).await.err(),
            tenants.get_attestation(bearing(attestation, &session)).await.err(),
            wallets.create_wallet(bearing(CreateWalletRequest { wallet: "new".to_owned() }, &session)).await.err(),
        ] {
            assert_eq!(status.unwrap().code(), Code::Unimplemented, "{example:?}");
        }

        // Known to the backend, and refused by the host: there is no such backup.
        let status = send(&channel, backup_of(&wallet), &[format!("Bearer {session}")]).await.unwrap_err();
        refusals.push((status.code(), status.message().to_owned(), status.details().to_vec()));
        let log = fs::read_to_string(&backend.process.log).unwrap();
        assert!(log.lines().any(|line| line.starts_with("call=GetBackup user=ann code=N")), "{log}");
    }
    assert_eq!(refusals[0], refusals[1]);
    assert_eq!(refusals[0].0, Code::NotFound);
    assert!(!refusals[0].2.is_empty(), "with the host's details");
}
