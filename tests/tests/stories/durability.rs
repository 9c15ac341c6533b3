//! What was acknowledged survives `kill -9`.

use std::time::Duration;

use strongroom_sdk::client::{ApiKey, Client};
use strongroom_tests::user::User;
use tokio::time::timeout;

use crate::{rounds, stack};

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_kill_9() {
    let (_folder, mut stack) = stack().await;
    let key = ApiKey::read(&stack.api_key_file()).unwrap();
    let mut acknowledged = 0_u32;
    for round in 0..rounds(20, 200) {
        let client = Client::connect(&stack.api().unwrap(), key.clone()).await.unwrap();
        let writer = tokio::spawn(async move {
            let mut next = acknowledged;
            while let Ok(Ok(_)) =
                timeout(Duration::from_secs(1), client.create_wallet(&format!("w-{next}-{round}"))).await
            {
                next += 1;
            }
            next
        });
        // Seeded by the round: the kill falls on another point of a commit each time.
        tokio::time::sleep(Duration::from_millis(5 + (round as u64 * 7) % 40)).await;
        stack.restart_host().await.unwrap();
        let next = writer.await.unwrap();
        let client = Client::connect(&stack.api().unwrap(), key.clone()).await.unwrap();
        for number in acknowledged..next {
            let again = client.create_wallet(&format!("w-{number}-{round}")).await.unwrap_err().to_string();
            assert!(again.contains("ALREADY_EXISTS"), "round {round}: acknowledged wallet {number} is lost: {again}");
        }
        acknowledged = next;
    }
    println!("{acknowledged} acknowledged writes, none lost");
    assert!(acknowledged > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_backup_survives_kill_9() {
    let (_folder, mut stack) = stack().await;
    for round in 0..rounds(3, 30) {
        let user = User::new(&stack, &format!("w-{round}")).await.unwrap();
        user.backup("main", [b"one", b"two"]).await.unwrap();
        stack.restart_host().await.unwrap();
        let user = User::returning(&stack, &user.wallet, user.passkey).await.unwrap();
        assert_eq!(user.recover().await.unwrap(), [b"one", b"two"]);
    }
}
