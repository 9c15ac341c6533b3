//! The operator is gone, and its database with it. What the company kept is one file.

use anyhow::{Result, ensure};
use strongroom_proto::v1::ExportCapsuleRequest;
use strongroom_sdk::capsule::{Question, VerifiedCapsule, verify};

use super::{MAIN, Story, WALLET, say, tell_line};
use crate::stack::path_text;
use crate::user::{tenant, trust};

/// Exports the backup's capsule and checks it.
pub(super) async fn keep(story: &Story) -> Result<Vec<u8>> {
    let request = ExportCapsuleRequest { wallet: WALLET.to_owned(), backup: MAIN.to_owned() };
    let bytes = story.ann.client.export_capsule(&request).await?;
    let VerifiedCapsule { roles, .. } =
        verify(&bytes, &Question { tenant: tenant(&story.stack)?, trust: &trust(&story.stack)? })?;
    ensure!(roles.len() == 2, "the capsule lacks a role");
    for secret in story.client.iter().chain(&story.custodian) {
        let part = &secret[..32];
        ensure!(!bytes.windows(part.len()).any(|window| window == part), "the capsule has a share in the clear");
    }
    tell_line(&format!(
        "the company keeps a capsule of \"main\": {} KiB, ciphertext and public values only",
        bytes.len() >> 10
    ));
    Ok(bytes)
}

/// A fresh host with an empty database takes the capsule in, and Ann recovers.
pub(super) async fn recover(story: &mut Story, capsule: &[u8]) -> Result<()> {
    say(
        "10. The operator is gone, and its database with it. Another host starts with an empty one; the KMS keys are the company's own",
    );
    story.stack.start_over().await?;
    story.reconnect().await?;
    let lost = story.device.prepare(WALLET).await;
    ensure!(lost.is_err(), "the empty database knows the wallet");
    let file = story.stack.folder().join("main.capsule");
    std::fs::write(&file, capsule)?;
    let socket = story.stack.admin_socket();
    story.stack.strongroom(&["operator", "import-capsule", "--socket", path_text(&socket)?, path_text(&file)?])?;
    story.recover_both().await?;
    tell_line(
        "after the import, one assertion brings both shares back, with equal bytes: no enclave and no host is irreplaceable",
    );
    Ok(())
}
