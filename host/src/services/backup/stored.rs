//! What callers say of a generation: `ReportStored` and `AbortBackup`. Both change the host's books only.

use strongroom_proto::id::TenantId;
use strongroom_proto::limits::PAIRS_MAX;
use strongroom_proto::names;
use strongroom_proto::v1::{
    AbortBackupRequest, AbortBackupResponse, BackupReason, BackupState, ReportStoredRequest, ReportStoredResponse, Role,
};

use crate::clock::now_ms;
use crate::error::Error;
use crate::keys::Name;
use crate::rows::GenerationBook;
use crate::services::books::Stored;
use crate::services::{App, commits};
use crate::store::Write;

/// Gives up what waits. One that was aborted before is answered alike.
pub(super) async fn abort(
    app: &App,
    tenant: TenantId,
    message: &AbortBackupRequest,
) -> Result<AbortBackupResponse, Error> {
    let stored = Stored::find(app, &tenant, &message.wallet, &message.backup).await?;
    if stored.generations()?.reason(message.generation) == BackupReason::Aborted {
        return Ok(AbortBackupResponse { backup: Some(stored.show(app)?) });
    }
    let book = stored.open_generation(message.generation)?;
    let book = GenerationBook { closed: BackupReason::Aborted.into(), ..book };
    let stored = stored.change(app, book, Vec::new()).await?;
    Ok(AbortBackupResponse { backup: Some(stored.show(app)?) })
}

/// Notes that the caller stored its part of pairs, or could not.
pub(super) async fn report(
    app: &App,
    tenant: TenantId,
    message: &ReportStoredRequest,
) -> Result<ReportStoredResponse, Error> {
    check(message)?;
    let stored = Stored::find(app, &tenant, &message.wallet, &message.backup).await?;
    if message.method != stored.row.method {
        return Err(Error::MethodNotAllowed);
    }
    let pairs = named(&stored, message)?;
    let stored = match change(&stored, message, &pairs)? {
        Some((book, more)) => stored.change(app, book, more).await?,
        None => stored,
    };
    Ok(ReportStoredResponse { backup: Some(stored.show(app)?) })
}

fn check(message: &ReportStoredRequest) -> Result<(), Error> {
    if message.pairs.len() > PAIRS_MAX {
        return Err(Error::bad("pairs", format!("at most {PAIRS_MAX}")));
    }
    message.pairs.iter().try_for_each(|pair| Name::parse("pairs", pair).map(drop))?;
    if !names::is_method(&message.method) {
        return Err(Error::bad("method", "1 to 32 bytes of [A-Z0-9_-]"));
    }
    Ok(())
}

/// The pairs that a report is about.
fn named(stored: &Stored, message: &ReportStoredRequest) -> Result<Vec<String>, Error> {
    let all = stored.generations()?;
    if all.is_deleted() {
        return Err(Error::State("the backup was deleted"));
    }
    let pairs = all.pairs(message.generation).ok_or(Error::NotFound("generation"))?;
    if message.pairs.is_empty() {
        return Ok(pairs.iter().map(|pair| pair.id.clone()).collect());
    }
    if message.pairs.iter().any(|id| pairs.iter().all(|pair| pair.id != *id)) {
        return Err(Error::bad("pairs", "ids of pairs of the generation"));
    }
    Ok(message.pairs.clone())
}

/// What a report changes: the generation as it is from then on, and the rows that go with it; `None` where it says nothing new.
fn change(
    stored: &Stored,
    message: &ReportStoredRequest,
    pairs: &[String],
) -> Result<Option<(GenerationBook, Vec<Write>)>, Error> {
    const NOTHING: Error = Error::State("the host keeps the client's part: the caller has nothing to store");
    let generation = message.generation;
    let all = stored.generations()?;
    let known = stored.books.row.generations.iter().find(|book| book.generation == generation);
    let is_missing = |pair: &String| known.is_some_and(|book| book.missing.contains(pair));
    if !message.success {
        if !stored.row.is_self_managed() {
            return Err(NOTHING);
        }
        return Ok(failed(stored, stored.open_generation(generation)?, pairs));
    }
    // Clients of products that always report do so where the host keeps everything, too.
    if all.state(generation) != BackupState::Closed && !pairs.iter().any(is_missing) {
        return Ok(None);
    }
    let mut book = stored.open_generation(generation)?;
    if all.in_force().is_some_and(|in_force| in_force > generation) {
        return Err(Error::State("the generation is PENDING, and a newer one took its place"));
    }
    book.missing.retain(|pair| !pairs.contains(pair));
    book.failed.retain(|pair| !pairs.contains(pair));
    let waits = book.missing.is_empty() && all.waits(generation);
    let more = waits.then(|| commits::waiting(&stored.place(Role::Client), generation));
    Ok(Some((book, more.into_iter().collect())))
}

fn failed(stored: &Stored, mut book: GenerationBook, pairs: &[String]) -> Option<(GenerationBook, Vec<Write>)> {
    let before = book.clone();
    let mut more = Vec::new();
    if book.missing.is_empty() {
        book.missing_since_ms = now_ms();
        more.push(stored.unfinished(book.generation, book.missing_since_ms));
    }
    for list in [&mut book.missing, &mut book.failed] {
        list.extend_from_slice(pairs);
        list.sort_unstable();
        list.dedup();
    }
    (book != before).then_some((book, more))
}
