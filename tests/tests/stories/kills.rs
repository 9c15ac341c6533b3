//! Host and enclave are killed under load, again and again: what was acknowledged stands in the history of its record, once.

use std::collections::BTreeSet;
use std::time::Duration;

use strongroom_proto::id::IntentHash;
use strongroom_proto::v1::{ExportAuditRequest, Receipt, SignedReceipt};
use strongroom_sdk::audit::{Merge, Question, verify};
use strongroom_sdk::passkey::Passkey;
use strongroom_tests::stack::Stack;
use strongroom_tests::user::{User, shares, tenant, trust};
use tokio::time::timeout;

use crate::{rounds, stack};

/// Users who act at the same time.
const USERS: usize = 4;
/// Longest wait for an answer that was lost with the process.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// A user's device, and the receipts that it got.
struct Acknowledged {
    wallet: String,
    passkey: Passkey,
    receipts: Vec<SignedReceipt>,
}

/// Backs up once and recovers until there is no answer any more.
async fn act(user: User) -> Acknowledged {
    let mut receipts = Vec::new();
    while let Ok(Ok(receipt)) = timeout(ANSWER_MAX, step(&user, receipts.is_empty())).await {
        receipts.push(receipt);
    }
    Acknowledged { wallet: user.wallet, passkey: user.passkey, receipts }
}

async fn step(user: &User, first: bool) -> anyhow::Result<SignedReceipt> {
    let prepared = user.prepare().await?;
    if first {
        let secrets = shares([b"one", b"two"]);
        let acted = user.device.backup(&prepared, &user.creation_of("main"), secrets, &mut user.asked()).await?;
        return Ok(acted.signed().clone());
    }
    Ok(user.device.recover(&prepared, None, &mut user.asked()).await?.acted.signed().clone())
}

/// The audit of a wallet's only backup, and the hashes of the intents that its receipts name, in order.
pub(super) async fn audit(stack: &Stack, user: &User, newest: &[SignedReceipt]) -> Vec<IntentHash> {
    let mut merge = Merge::default();
    let mut request =
        ExportAuditRequest { wallet: user.wallet.clone(), backup: "main".into(), ..ExportAuditRequest::default() };
    loop {
        let answer = user.client.export_audit(&request).await.unwrap();
        merge.add(answer.page.unwrap());
        request.page_token = answer.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let export = merge.finish();
    let trust = trust(stack).unwrap();
    let audit = verify(&export, &Question { tenant: tenant(stack).unwrap(), trust: &trust, newest });
    assert!(audit.findings.is_empty(), "{}: {:?}", user.wallet, audit.findings);
    export.receipts.iter().map(intent_of).collect()
}

fn intent_of(signed: &SignedReceipt) -> IntentHash {
    let receipt: Receipt = prost::Message::decode(signed.receipt.as_slice()).unwrap();
    IntentHash::from_slice(&receipt.intent_hash).unwrap()
}

/// Kills the host in two rounds of three, and host and enclave in the third.
async fn kill(stack: &mut Stack, round: usize) {
    // The kill falls on another point of an act each time.
    tokio::time::sleep(Duration::from_millis(20 + (round as u64 * 37) % 180)).await;
    if round % 3 == 2 { stack.restart_enclaves_and_host().await } else { stack.restart_host().await }.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_act_is_lost_or_doubled_when_host_and_enclave_are_killed() {
    let (_folder, mut stack) = stack().await;
    let (mut acknowledged, mut unanswered) = (0, 0);
    let kills = rounds(10, 300);
    for round in 0..kills {
        let mut tasks = Vec::new();
        for number in 0..USERS {
            let user = User::new(&stack, &format!("w-{round}-{number}")).await.unwrap();
            tasks.push(tokio::spawn(act(user)));
        }
        kill(&mut stack, round).await;
        for task in tasks {
            let Acknowledged { wallet, passkey, receipts } = task.await.unwrap();
            if receipts.is_empty() {
                continue;
            }
            let user = User::returning(&stack, &wallet, passkey).await.unwrap();
            let intents = audit(&stack, &user, &receipts).await;
            let told: Vec<_> = receipts.iter().map(intent_of).collect();
            assert_eq!(intents[..told.len()], told, "round {round}, {wallet}: acknowledged acts in their order");
            assert!(intents.len() <= told.len() + 1, "at most one act had no answer when the process died");
            assert_eq!(intents.iter().collect::<BTreeSet<_>>().len(), intents.len(), "an act stands twice");
            assert_eq!(user.recover().await.unwrap(), [b"one", b"two"]);
            acknowledged += told.len();
            unanswered += intents.len() - told.len();
        }
    }
    println!(
        "{kills} kills, {acknowledged} acknowledged acts, none lost or doubled; {unanswered} done without an answer"
    );
    assert!(acknowledged > kills);
}
