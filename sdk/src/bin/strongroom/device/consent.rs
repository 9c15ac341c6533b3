//! The tenant's consent by files: the intent goes into a folder, and the signature comes back there.
//!
//! It stands for the tenant's backend, which an app asks over its own connection.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use prost::Message;
use strongroom_sdk::device::{Consent, TenantBackend};
use strongroom_sdk::intent::INTENT_LIFE_MS;
use strongroom_sdk::proto::intent;
use strongroom_sdk::proto::v1::TenantSignature;
use strongroom_sdk::{Error, files};

use crate::show::Show;

/// Longest file with a signature in bytes.
const SIGNATURE_FILE_BYTES_MAX: usize = 256;
/// Longest wait: an intent does not live longer.
const CONSENT_WAIT_MAX: Duration = Duration::from_millis(INTENT_LIFE_MS);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A folder that a device and its tenant's backend share.
pub(super) struct Exchange {
    folder: PathBuf,
    show: Show,
}

impl Exchange {
    pub(super) fn new(folder: PathBuf, show: Show) -> Self {
        Self { folder, show }
    }

    async fn ask(&self, bytes: &[u8]) -> Result<TenantSignature, Error> {
        let name = intent::hash(bytes);
        let (asked, answered) =
            (self.folder.join(format!("{name}.intent")), self.folder.join(format!("{name}.signature")));
        // In one step: whoever waits for the file must not read half of it.
        files::replace(&asked, bytes)?;
        self.show.waiting(&format!("for the tenant: strongroom tenant sign-intent --intent {}", asked.display()));
        let started = Instant::now();
        while !answered.exists() {
            if started.elapsed() > CONSENT_WAIT_MAX {
                let problem = "the tenant did not sign in time".to_owned();
                return Err(Error::File { path: answered, problem });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let signature = files::read(&answered, SIGNATURE_FILE_BYTES_MAX)?;
        TenantSignature::decode(signature.as_slice())
            .map_err(|error| Error::File { path: answered, problem: format!("no tenant signature: {error}") })
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Exchange({})", self.folder.display())
    }
}

impl TenantBackend for Exchange {
    fn consent<'a>(&'a self, intent: &'a [u8]) -> Consent<'a> {
        Box::pin(self.ask(intent))
    }
}
