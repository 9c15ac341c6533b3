//! The tenant's consent by files: the intent goes into a folder, and the signature comes back there.
//!
//! It stands for the tenant's backend, which an app asks over its own connection.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use prost::Message;
use strongroom_sdk::device::{Answer, Consent, TenantBackend};
use strongroom_sdk::exchange::{CustodianSeal, EXCHANGE_BYTES_MAX, OwnCiphertexts, SentAlone, SentDraft, SignedDraft};
use strongroom_sdk::intent::INTENT_LIFE_MS;
use strongroom_sdk::proto::id::ContentHash;
use strongroom_sdk::proto::intent;
use strongroom_sdk::{Error, files};

use crate::show::Show;

/// Longest file with a signature in bytes.
const SIGNATURE_FILE_BYTES_MAX: usize = 256;
/// Longest wait: an intent does not live longer.
const CONSENT_WAIT_MAX: Duration = Duration::from_millis(INTENT_LIFE_MS);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// One question to the backend: the ends of the two files' names, and who answers.
#[derive(Clone, Copy)]
struct Ask {
    asked: &'static str,
    answered: &'static str,
    command: &'static str,
    what: &'static str,
    max: usize,
}

const SIGNATURE: Ask = Ask {
    asked: "intent",
    answered: "signature",
    command: "sign-intent --intent",
    what: "tenant signature",
    max: SIGNATURE_FILE_BYTES_MAX,
};
const SEAL: Ask = Ask {
    asked: "draft",
    answered: "seal",
    command: "seal-custodian --draft",
    what: "custodian's seal",
    max: SIGNATURE_FILE_BYTES_MAX,
};
const SENT: Ask = Ask {
    asked: "signed",
    answered: "sent",
    command: "send --signed",
    what: "answer of the host",
    max: EXCHANGE_BYTES_MAX,
};

const ALONE: Ask = Ask {
    asked: "own",
    answered: "sent",
    command: "backup-custodian --from-device",
    what: "answer of the host",
    max: EXCHANGE_BYTES_MAX,
};

/// A folder that a device and its tenant's backend share.
pub(super) struct Exchange {
    folder: PathBuf,
    show: Show,
}

impl Exchange {
    pub(super) fn new(folder: PathBuf, show: Show) -> Self {
        Self { folder, show }
    }

    /// Writes `NAME.asked` and waits for `NAME.answered`, which `command` writes.
    async fn ask<M: Message + Default>(&self, ask: Ask, bytes: &[u8], name: impl Display) -> Result<M, Error> {
        let (asked, answered) =
            (self.folder.join(format!("{name}.{}", ask.asked)), self.folder.join(format!("{name}.{}", ask.answered)));
        // In one step: whoever waits for the file must not read half of it.
        files::replace(&asked, bytes)?;
        self.show.waiting(&format!("for the tenant: strongroom tenant {} {}", ask.command, asked.display()));
        let started = Instant::now();
        while !answered.exists() {
            if started.elapsed() > CONSENT_WAIT_MAX {
                let problem = "the tenant did not answer in time".to_owned();
                return Err(Error::File { path: answered, problem });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let answer = files::read(&answered, ask.max)?;
        M::decode(answer.as_slice())
            .map_err(|error| Error::File { path: answered, problem: format!("no {}: {error}", ask.what) })
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Exchange({})", self.folder.display())
    }
}

impl TenantBackend for Exchange {
    fn consent<'a>(&'a self, intent: &'a [u8]) -> Consent<'a> {
        Box::pin(self.ask(SIGNATURE, intent, intent::hash(intent)))
    }

    fn seal<'a>(&'a self, draft: &'a [u8]) -> Answer<'a, CustodianSeal> {
        Box::pin(self.ask(SEAL, draft, intent::hash(draft)))
    }

    fn send(&self, signed: SignedDraft) -> Answer<'_, SentDraft> {
        Box::pin(async move { self.ask(SENT, &signed.encode_to_vec(), intent::hash(&signed.intent)).await })
    }

    fn send_alone(&self, own: OwnCiphertexts) -> Answer<'_, SentAlone> {
        Box::pin(async move {
            let bytes = own.encode_to_vec();
            self.ask(ALONE, &bytes, ContentHash::of(&bytes)).await
        })
    }
}
