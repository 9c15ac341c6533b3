//! Stored replies: the same request id and bytes get the same answer for 24 h, and a lost answer costs no second prompt.
//!
//! A reply is written in the same commit as what it answers for, under an expectation that lets one of several equal requests win.
//! The host's clock counts the 24 h: nothing that is trusted depends on them.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use strongroom_proto::id::{TenantId, sha256};

use crate::clock::now_ms;
use crate::error::Error;
use crate::keys::{self, Kind, Name};
use crate::rows::{ReplyRow, decode};
use crate::store::{Expect, Store, Write};

/// How long a reply is given again, in milliseconds.
pub(crate) const REPLY_MS_MAX: u64 = 24 * 3600 * 1000;
/// How often expired replies are looked for.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// Most replies deleted at once.
const SWEEP_ROWS_MAX: usize = 256;

/// What a request id leads to.
pub(super) enum Found<R> {
    /// The reply that was given before.
    Reply(R),
    /// None: the request is to be carried out.
    Fresh(Ticket),
}

/// The right to answer a request id once.
pub(super) struct Ticket {
    tenant: TenantId,
    request_id: Name,
    request_sha256: [u8; 32],
    expect: Expect,
}

impl Ticket {
    /// The row that [`find`] reads.
    pub(super) fn key(tenant: &TenantId, request_id: &Name) -> keys::Key {
        keys::reply(tenant, request_id)
    }
}

/// SHA-256 of a request: a request id of one rpc is no other's.
pub(super) fn request_hash(rpc: &str, request: &impl Message) -> [u8; 32] {
    sha256(&[rpc.as_bytes(), &[0], &request.encode_to_vec()])
}

/// Looks into the row of [`Ticket::key`].
///
/// # Errors
/// `REQUEST_ID_REUSED` where it answers another request.
pub(super) fn find<R: Message + Default>(
    tenant: &TenantId,
    request_id: &Name,
    request_sha256: [u8; 32],
    row: Option<&[u8]>,
) -> Result<Found<R>, Error> {
    if let Some(bytes) = row {
        let row: ReplyRow = decode(bytes)?;
        if now_ms().saturating_sub(row.created_ms) < REPLY_MS_MAX {
            if row.request_sha256 != request_sha256 {
                return Err(Error::RequestIdReused);
            }
            return Ok(Found::Reply(decode(&row.response)?));
        }
    }
    let (tenant, request_id) = (*tenant, request_id.clone());
    Ok(Found::Fresh(Ticket { tenant, request_id, request_sha256, expect: Expect::unchanged(row) }))
}

/// Makes the writes and stores the reply with them. Where an equal request was faster, its reply is the answer.
pub(super) async fn commit<R: Message + Default>(
    store: &dyn Store,
    ticket: &Ticket,
    response: R,
    writes: Vec<Write>,
) -> Result<R, Error> {
    let Ticket { tenant, request_id, request_sha256, expect } = ticket;
    let created_ms = now_ms();
    let row = ReplyRow { request_sha256: request_sha256.to_vec(), response: response.encode_to_vec(), created_ms };
    let key = keys::reply(tenant, request_id);
    // First, so that a reply which came first is the conflict that is named.
    let mut all = vec![
        Write { key: key.clone(), expect: *expect, put: Some(row.encode_to_vec()) },
        Write::new(keys::reply_time(created_ms, tenant, request_id), Vec::new()),
    ];
    all.extend(writes);
    match store.commit(all).await {
        Ok(()) => Ok(response),
        Err(Error::Conflict(Kind::Reply)) => {
            let row = store.get(key).await?;
            match find(tenant, request_id, *request_sha256, row.as_deref())? {
                Found::Reply(reply) => Ok(reply),
                Found::Fresh(_) => Err(Error::Conflict(Kind::Reply)),
            }
        }
        Err(error) => Err(error),
    }
}

/// Deletes expired replies until it is dropped.
pub(crate) async fn sweep(store: Arc<dyn Store>) {
    loop {
        match sweep_once(&*store, now_ms()).await {
            Ok(deleted) if deleted >= SWEEP_ROWS_MAX => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(name: "expired replies not deleted", error = %error),
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

/// Deletes what has expired at `now_ms`, the oldest first, and says how many rows it looked at.
async fn sweep_once(store: &dyn Store, now_ms: u64) -> Result<usize, Error> {
    let times = store.scan(keys::reply_times(), None, SWEEP_ROWS_MAX).await?;
    let mut looked_at = 0_usize;
    for (key, value) in times {
        let (time, tenant, request_id) =
            keys::parse_reply_time(&key).ok_or(Error::Internal("a reply time's key does not parse"))?;
        if now_ms.saturating_sub(time) < REPLY_MS_MAX {
            break;
        }
        let reply = keys::reply(&tenant, &request_id);
        let row = store.get(reply.clone()).await?;
        let time_key = keys::reply_time(time, &tenant, &request_id);
        let mut writes = vec![Write { key: time_key, expect: Expect::unchanged(Some(&value)), put: None }];
        // A request id that was used again after 24 h has a newer reply under the same key.
        if let Some(row) = row.filter(|row| decode::<ReplyRow>(row).is_ok_and(|row| row.created_ms == time)) {
            writes.push(Write { key: reply, expect: Expect::unchanged(Some(&row)), put: None });
        }
        match store.commit(writes).await {
            // Somebody else deletes or replaces it.
            Ok(()) | Err(Error::Conflict(_)) => looked_at = looked_at.saturating_add(1),
            Err(error) => return Err(error),
        }
    }
    Ok(looked_at)
}

#[cfg(test)]
mod tests {
    use strongroom_proto::v1::GetWalletRequest;

    use super::*;
    use crate::store::SqliteStore;

    const TENANT: TenantId = TenantId([1; 32]);

    async fn found(store: &SqliteStore, id: &str, hash: u8) -> Result<Found<GetWalletRequest>, Error> {
        let id = Name::parse("request_id", id).unwrap();
        let row = store.get(Ticket::key(&TENANT, &id)).await.unwrap();
        find(&TENANT, &id, [hash; 32], row.as_deref())
    }

    async fn fresh(store: &SqliteStore, id: &str, hash: u8) -> Ticket {
        match found(store, id, hash).await {
            Ok(Found::Fresh(ticket)) => ticket,
            Ok(Found::Reply(reply)) => panic!("{reply:?}"),
            Err(error) => panic!("{error}"),
        }
    }

    fn response(text: &str) -> GetWalletRequest {
        GetWalletRequest { wallet: text.to_owned() }
    }

    #[tokio::test]
    async fn one_of_two_equal_requests_wins_and_both_get_its_reply() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("db")).unwrap();
        let (one, other) = (fresh(&store, "r", 1).await, fresh(&store, "r", 1).await);
        let stranger = fresh(&store, "r", 2).await;
        assert_eq!(commit(&store, &one, response("one"), Vec::new()).await.unwrap(), response("one"));
        assert_eq!(commit(&store, &other, response("other"), Vec::new()).await.unwrap(), response("one"));
        let refused = commit(&store, &stranger, response("stranger"), Vec::new()).await;
        assert!(matches!(refused, Err(Error::RequestIdReused)));
        assert!(matches!(found(&store, "r", 1).await, Ok(Found::Reply(reply)) if reply == response("one")));
        assert!(matches!(found(&store, "r", 2).await, Err(Error::RequestIdReused)));
    }

    #[tokio::test]
    async fn replies_expire_after_a_day_and_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("db")).unwrap();
        let id = Name::parse("request_id", "r").unwrap();
        let put = |age_ms: u64| {
            let created_ms = now_ms() - age_ms;
            let row = ReplyRow { request_sha256: vec![1; 32], response: response("old").encode_to_vec(), created_ms };
            vec![
                Write::new(keys::reply(&TENANT, &id), row.encode_to_vec()),
                Write::new(keys::reply_time(created_ms, &TENANT, &id), Vec::new()),
            ]
        };
        store.commit(put(REPLY_MS_MAX + 1)).await.unwrap();
        // Expired and not yet swept: another request takes the id, and the sweep leaves its reply alone.
        let ticket = fresh(&store, "r", 2).await;
        commit(&store, &ticket, response("new"), Vec::new()).await.unwrap();
        assert_eq!(sweep_once(&store, now_ms()).await.unwrap(), 1);
        assert!(matches!(found(&store, "r", 2).await, Ok(Found::Reply(reply)) if reply == response("new")));
        assert_eq!(sweep_once(&store, now_ms()).await.unwrap(), 0);
        assert_eq!(sweep_once(&store, now_ms() + REPLY_MS_MAX).await.unwrap(), 1);
        fresh(&store, "r", 3).await;
        assert!(store.scan(keys::reply_times(), None, 9).await.unwrap().is_empty());
    }

    #[test]
    fn a_request_id_of_one_rpc_is_no_other() {
        let request = response("w");
        assert_ne!(request_hash("CreateBackup", &request), request_hash("Recover", &request));
        assert_ne!(request_hash("Recover", &request), request_hash("Recover", &response("x")));
    }
}
