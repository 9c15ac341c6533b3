//! A rotation without a restart: each backend reads its statement again on SIGHUP.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use prost::Message;
use strongroom_proto::id::{Head, TenantId};
use strongroom_proto::prefix;
use strongroom_proto::v1::tenant_service_client::TenantServiceClient;
use strongroom_proto::v1::{GetStatementRequest, Receipt, SignedStatement};
use strongroom_sdk::statement::VerifiedStatement;
use strongroom_tests::stack::backend::Example;
use tonic::Code;

use super::bearing;
use super::false_host::{ReceiptKey, Tenant};
use super::receipts::World;

/// Longest wait for the line of the log that answers a signal.
const LINE_TIME_MAX: Duration = Duration::from_secs(30);

/// What a backend says of its statement, a line for each signal.
fn told(world: &World) -> Vec<String> {
    let log = fs::read_to_string(&world.backend.process.log).unwrap();
    log.lines().filter(|line| line.starts_with("statement serial=")).map(str::to_owned).collect()
}

/// Puts other bytes in the file's place at once, or takes it away, and has the backend read it; gives what that says.
async fn replace(world: &World, content: Option<&[u8]>) -> String {
    let file = world.backend.folder.join("statement.pb");
    match content {
        Some(content) => {
            let new = world.backend.folder.join("statement.new");
            fs::write(&new, content).unwrap();
            fs::rename(new, file).unwrap();
        }
        None => fs::remove_file(file).unwrap(),
    }
    let before = told(world).len();
    let pid = world.backend.process.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    let started = Instant::now();
    loop {
        if let [line] = &told(world)[before..] {
            return line.clone();
        }
        assert!(started.elapsed() < LINE_TIME_MAX, "{:?}", told(world));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The serial of the statement that devices get.
async fn served(world: &World, tenant: TenantId) -> u64 {
    let mut tenants = TenantServiceClient::new(world.channel.clone());
    let answer = tenants.get_statement(bearing(GetStatementRequest {}, &world.session)).await.unwrap().into_inner();
    VerifiedStatement::verify(&answer.statement.unwrap(), tenant).unwrap().serial()
}

#[tokio::test]
async fn a_statement_is_read_again_on_sighup_and_one_that_is_no_good_changes_nothing() {
    for example in Example::ALL {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(folder.path(), example).await;
        let (tenant, new_key) = (world.tenant.id, ReceiptKey::new());
        let statement = |serial| world.tenant.statement(serial, &new_key);
        let second = statement(2).encode_to_vec();
        let mut flipped = statement(2);
        flipped.signature[0] ^= 1;
        let of_another = Tenant::new().statement(3, &new_key);
        let receipt = world.receipt(&world.creation, 1, Head(world.record.0), b"created");
        let receipt = Receipt { epoch: 2, ..receipt }.encode_to_vec();
        let receipt = new_key.sign(prefix::RECEIPT, receipt);

        let refused = world.create(vec![receipt.clone()]).await.unwrap_err();
        assert_eq!(refused.code(), Code::DataLoss, "{example:?}: nobody has heard of the epoch");
        let encoded = |statement: SignedStatement| statement.encode_to_vec();
        let bad = [
            Some(Vec::new()),
            Some(second[..second.len() - 1].to_vec()),
            Some(encoded(flipped)),
            Some(encoded(of_another)),
            Some(encoded(statement(1))),
            None,
        ];
        for (number, content) in bad.iter().enumerate() {
            let line = replace(&world, content.as_deref()).await;
            assert!(line.starts_with("statement serial=1 kept: "), "{example:?} {number}: {line}");
            assert_eq!(served(&world, tenant).await, 1, "{example:?} {number}");
        }
        world.create(vec![receipt.clone()]).await.unwrap_err();

        assert_eq!(replace(&world, Some(&second)).await, "statement serial=2", "{example:?}");
        assert_eq!(served(&world, tenant).await, 2, "{example:?}");
        world.create(vec![receipt]).await.unwrap();
        assert_eq!(replace(&world, Some(&second)).await, "statement serial=2", "{example:?}: the same again");
        let older = world.tenant.signed.encode_to_vec();
        assert!(replace(&world, Some(&older)).await.starts_with("statement serial=2 kept: "), "{example:?}");
        assert_eq!(served(&world, tenant).await, 2, "{example:?}");
    }
}
