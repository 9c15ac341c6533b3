//! A host whose clock is ten years off: what it says binds nobody but itself.

use std::time::Duration;

use strongroom_proto::v1::{OpenActKind, ReleaseRecoveryRequest};
use strongroom_sdk::device::{choose, now};
use strongroom_sdk::intent::{ClientPolicy, Delay, TenantConsent};
use strongroom_sdk::seal::RecipientKey;
use strongroom_tests::stack::Stack;
use strongroom_tests::user::User;

use crate::stack;

const TEN_YEARS_MS: u64 = 10 * 365 * 24 * 3_600_000;
/// Between what the machine and the enclave call now.
const NOW_MS: u64 = 60_000;
/// Room for what must come before it has passed, on a busy machine.
const DELAY_SECONDS: u32 = 8;

fn is_now(time_ms: u64) -> bool {
    time_ms.abs_diff(now().unix_ms()) < NOW_MS
}

/// Whether a time of the host's own is ten years ahead of this machine's, or behind it.
fn is_off(time_ms: u64, ahead: bool) -> bool {
    let off = time_ms.abs_diff(now().unix_ms());
    (TEN_YEARS_MS - NOW_MS..TEN_YEARS_MS * 101 / 100).contains(&off) && (time_ms > now().unix_ms()) == ahead
}

/// The time in the newest line of the host's log.
fn logged_ms(stack: &Stack) -> u64 {
    let log = std::fs::read_to_string(&stack.host().unwrap().log).unwrap();
    let line = log.lines().rfind(|line| line.contains("time_ms=")).unwrap();
    let (_, rest) = line.split_once("time_ms=").unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// Asks for the release of what waits, past the device's own checks.
async fn release(user: &User, id: &str, key: &RecipientKey) -> Result<Vec<u8>, strongroom_sdk::Error> {
    let prepared = user.prepare().await.unwrap();
    let open = choose(&prepared, None).unwrap().open_act(OpenActKind::Recovery).unwrap();
    let request = ReleaseRecoveryRequest {
        request_id: id.to_owned(),
        wallet: user.wallet.clone(),
        backup: "main".to_owned(),
        recovery: open.intent.0.to_vec(),
        client_recipient_key: key.public_key().to_vec(),
        act: None,
        ..ReleaseRecoveryRequest::default()
    };
    user.client.release_recovery(&request).await.map(|answer| answer.client_release)
}

#[tokio::test]
async fn a_host_whose_clock_is_ten_years_off_moves_no_time_of_the_enclave() {
    let (_folder, mut stack) = stack().await;
    for (clock, wallet, ahead) in [("+10y", "future", true), ("-10y", "past", false)] {
        stack.restart_host_at(clock).await.unwrap();
        let user = User::new(&stack, wallet).await.unwrap();
        user.backup("main", [b"one", b"two"]).await.unwrap();
        assert!(is_off(logged_ms(&stack), ahead), "{clock}: the host believes its clock");
        let made = user.client.create_wallet(&format!("{wallet}-2")).await.unwrap();
        assert!(is_off(made.created_ms, ahead), "{clock}: its own notes go by it");
        assert_eq!(user.recover().await.unwrap(), [b"one", b"two"], "{clock}");

        let prepared = user.prepare().await.unwrap();
        let added = choose(&prepared, None).unwrap().credentials[0].added_ms;
        assert!(is_now(added) && is_now(prepared.roles()[0].view.time().unix_ms()), "{clock}: the view");
        let policy =
            ClientPolicy { tenant: TenantConsent::NotNeeded, delay: Delay::from_seconds(DELAY_SECONDS).unwrap() };
        let changed = user.device.change_policy(&prepared, None, policy, &mut user.asked()).await.unwrap();
        assert!(is_now(changed.receipt().time_ms), "{clock}: the receipt");

        // To a host that is ahead, everything that waits is due; to one behind, nothing ever is.
        let key = RecipientKey::generate().unwrap();
        let prepared = user.prepare().await.unwrap();
        let started = user.device.start_recovery(&prepared, None, None, &key, &mut user.asked()).await.unwrap();
        assert!(is_now(started.receipt().not_before_ms), "{clock}");
        let early = release(&user, "early", &key).await.unwrap_err();
        assert_eq!(early.reason(), Some("RECOVERY_DELAYED"), "{clock}: {early}");
        assert!(now().unix_ms() < started.receipt().not_before_ms + 1_000, "{clock}: this machine was too slow");
        tokio::time::sleep(Duration::from_secs(u64::from(DELAY_SECONDS) + 1)).await;
        let prepared = user.prepare().await.unwrap();
        let released = user.device.release_recovery(&prepared, None, &key).await.unwrap();
        let shares: Vec<_> = released.shares.iter().map(|share| share.bytes.expose()).collect();
        assert_eq!(shares, [b"one", b"two"], "{clock}");
        assert!(is_now(released.acted.receipt().time_ms), "{clock}");
    }
    // What came to be under either clock is there under the true one.
    stack.restart_host().await.unwrap();
    let client = User::new(&stack, "present").await.unwrap();
    client.backup("main", [b"one", b"two"]).await.unwrap();
    assert_eq!(client.recover().await.unwrap(), [b"one", b"two"]);
}
