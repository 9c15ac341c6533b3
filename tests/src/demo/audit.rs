//! The history of a backup, checked by somebody who was not there.

use anyhow::{Context, Result, ensure};
use strongroom_host::keys;
use strongroom_host::store::{Expect, SqliteStore, Store, Write};
use strongroom_proto::v1::{AuditExport, ExportAuditRequest, Role};
use strongroom_sdk::audit::{Audit, Merge, Question, verify};
use strongroom_sdk::device::select;

use super::{MAIN, Story, WALLET, say, tell_line};
use crate::user::{tenant, trust};

/// The act whose receipt the operator would like to be rid of: a release.
const DELETED: u64 = 2;

/// Verifies the history, then once more after the operator deleted an event.
pub(super) async fn finds_a_deleted_event(story: &Story) -> Result<()> {
    say("8. An auditor checks the history offline; then the operator deletes one event from its database");
    let honest = export(story).await?;
    let audit = check(story, &honest)?;
    ensure!(audit.findings.is_empty(), "an honest history has findings: {:?}", audit.findings);
    let acts: usize = audit.histories.iter().map(|history| history.acts.len()).sum();
    tell_line(&format!(
        "{acts} receipts of {} roles, each signed and chained to the one before: it holds",
        audit.histories.len()
    ));
    delete_event(story).await?;
    let audit = check(story, &export(story).await?)?;
    let finding = audit.findings.first().context("the deletion was not found")?;
    tell_line(&format!("after the deletion: {finding}"));
    Ok(())
}

fn check(story: &Story, export: &AuditExport) -> Result<Audit> {
    Ok(verify(export, &Question { tenant: tenant(&story.stack)?, trust: &trust(&story.stack)?, newest: &[] }))
}

async fn export(story: &Story) -> Result<AuditExport> {
    let mut merge = Merge::default();
    let mut request =
        ExportAuditRequest { wallet: WALLET.to_owned(), backup: MAIN.to_owned(), ..ExportAuditRequest::default() };
    loop {
        let answer = story.ann.client.export_audit(&request).await?;
        merge.add(answer.page.unwrap_or_default());
        request.page_token = answer.next_page_token;
        if request.page_token.is_empty() {
            return Ok(merge.finish());
        }
    }
}

async fn delete_event(story: &Story) -> Result<()> {
    let prepared = story.device.prepare(WALLET).await?;
    let record = select(&prepared, Some(MAIN))?.id();
    let key = keys::event(&tenant(&story.stack)?, &record, Role::Client, DELETED);
    let database = SqliteStore::open(&story.stack.database())?;
    let row = database.get(key.clone()).await?.context("there is no such event")?;
    database.commit(vec![Write { key, expect: Expect::unchanged(Some(&row)), put: None }]).await?;
    Ok(())
}
