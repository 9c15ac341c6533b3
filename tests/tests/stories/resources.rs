//! What the enclave needs does not depend on how many wallets exist.

use strongroom_proto::v1::Role;
use strongroom_tests::user::User;

use crate::{rounds, stack};

/// Most resident memory of the enclave.
const ENCLAVE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// What an allocator may keep beyond what it had when the caches were warm.
const GROWTH_BYTES_MAX: u64 = 2 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn enclave_memory_stays_the_same_however_many_wallets_there_are() {
    let (_folder, stack) = stack().await;
    let backup = async |number: usize| {
        let user = User::new(&stack, &format!("w-{number}")).await.unwrap();
        user.backup("main", [&[7; 4096], &[9; 4096]]).await.unwrap();
    };
    for number in 0..50 {
        backup(number).await;
    }
    let warm = stack.enclave(Role::Client).unwrap().resident_bytes().unwrap();
    let wallets = rounds(200, 10_000);
    for number in 50..wallets {
        backup(number).await;
    }
    let after = stack.enclave(Role::Client).unwrap().resident_bytes().unwrap();
    println!("enclave: {} KiB after 50 wallets, {} KiB after {wallets}", warm / 1024, after / 1024);
    assert!(after < ENCLAVE_BYTES_MAX, "{after} bytes");
    assert!(after < warm + GROWTH_BYTES_MAX, "{warm} bytes, then {after}");
}
