//! The RSA-2048 key that KMS encrypts its answers to.
//!
//! Making one takes about 110 ms, so a thread of its own does it, and replaces the key in the
//! background; a call that has begun keeps the key that its document names. The private half never
//! leaves this module.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use strongroom_proto::secret::Secret;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::KmsError;
use crate::guard::guarded;
use crate::log::Log;

/// Time after which the key is replaced.
pub const RECIPIENT_KEY_AGE_MAX: Duration = Duration::from_hours(1);

/// Time before another try where making a key failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Longest time that a call waits for the first key.
pub const KEY_TIME_MAX: Duration = Duration::from_secs(5);

/// Longest plaintext of OAEP with RSA-2048; the buffer that it is decrypted into.
const PLAINTEXT_BYTES_MAX: usize = 256;

/// A key pair that KMS answers are for.
pub struct RecipientKey {
    private: OaepPrivateDecryptingKey,
    spki: Vec<u8>,
    id: [u8; digest::SHA256_OUTPUT_LEN],
}

impl RecipientKey {
    /// Makes a fresh key. Takes 40 to 250 ms.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] where the library fails.
    pub fn generate() -> Result<Self, KmsError> {
        Self::new(PrivateDecryptingKey::generate(KeySize::Rsa2048).ok())
    }

    /// Reads a PKCS#8 key, for published vectors.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] where it is not an RSA-2048 key.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KmsError> {
        let key = PrivateDecryptingKey::from_pkcs8(pkcs8).ok();
        Self::new(key.filter(|key| key.key_size_bits() == 2048))
    }

    /// The public key as SPKI DER (RFC 5280), 294 bytes: what an attestation document carries for KMS.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of [`Self::spki`]: how an answer names its recipient.
    #[must_use]
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// RSAES-OAEP with SHA-256. Nothing where it does not open, for whatever reason.
    pub(super) fn decrypt(&self, ciphertext: &[u8]) -> Option<Secret> {
        let mut buffer = Zeroizing::new([0; PLAINTEXT_BYTES_MAX]);
        let plaintext = self.private.decrypt(&OAEP_SHA256_MGF1SHA256, ciphertext, buffer.as_mut(), None).ok()?;
        Some(Secret::take(plaintext))
    }

    fn new(key: Option<PrivateDecryptingKey>) -> Result<Self, KmsError> {
        let failed = KmsError::Unavailable("no recipient key");
        let key = key.ok_or_else(|| failed.clone())?;
        let spki: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| failed.clone())?;
        let spki = spki.as_ref().to_vec();
        let mut id = [0; digest::SHA256_OUTPUT_LEN];
        id.copy_from_slice(digest::digest(&digest::SHA256, &spki).as_ref());
        Ok(Self { private: OaepPrivateDecryptingKey::new(key).map_err(|_| failed)?, spki, id })
    }
}

impl std::fmt::Debug for RecipientKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecipientKey([redacted])")
    }
}

/// The thread that makes keys, and the newest one.
#[derive(Clone, Debug)]
pub struct Recipients {
    start: mpsc::Sender<()>,
    begun: Arc<AtomicBool>,
    newest: watch::Receiver<Option<Arc<RecipientKey>>>,
}

impl Recipients {
    /// Starts the thread. It makes nothing before [`Self::begin`].
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn spawn(log: Log) -> std::io::Result<Self> {
        Self::replaced_after(RECIPIENT_KEY_AGE_MAX, log)
    }

    fn replaced_after(age_max: Duration, log: Log) -> std::io::Result<Self> {
        let (start, started) = mpsc::channel();
        let (publish, newest) = watch::channel(None);
        thread::Builder::new()
            .name("recipient".into())
            .spawn(move || guarded(|| run(&started, &publish, age_max, &log)))?;
        Ok(Self { start, begun: Arc::default(), newest })
    }

    /// Lets the thread make its first key. Later calls change nothing.
    pub fn begin(&self) {
        if !self.begun.swap(true, Ordering::AcqRel) {
            // The thread lives as long as a receiver of its keys does, so the send only fails where nobody is left to care.
            let _ = self.start.send(());
        }
    }

    /// The newest key, waited for where the first one is still being made.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] where the thread has ended, or has made none within [`KEY_TIME_MAX`].
    pub async fn newest(&self) -> Result<Arc<RecipientKey>, KmsError> {
        self.begin();
        let mut newest = self.newest.clone();
        let made = tokio::time::timeout(KEY_TIME_MAX, newest.wait_for(Option::is_some)).await;
        let key = made.ok().and_then(Result::ok).and_then(|key| key.clone());
        key.ok_or(KmsError::Unavailable("no recipient key"))
    }
}

#[cfg(test)]
impl Recipients {
    /// Whether the thread was told to begin.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }
}

/// The thread: waits for the word, then makes a key whenever the last one is too old, until nobody holds a handle.
fn run(started: &mpsc::Receiver<()>, publish: &watch::Sender<Option<Arc<RecipientKey>>>, age_max: Duration, log: &Log) {
    if started.recv().is_err() {
        return;
    }
    loop {
        let pause = match RecipientKey::generate() {
            Ok(key) => {
                publish.send_replace(Some(Arc::new(key)));
                age_max
            }
            Err(error) => {
                log.note(format_args!("recipient key: {error}"));
                RETRY_INTERVAL
            }
        };
        if is_abandoned(started, pause) {
            return;
        }
    }
}

/// Sleeps for `pause`; true as soon as no handle is left.
fn is_abandoned(started: &mpsc::Receiver<()>, pause: Duration) -> bool {
    // The word to begin is said once, so nothing else comes.
    matches!(started.recv_timeout(pause), Err(mpsc::RecvTimeoutError::Disconnected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_key_has_the_length_that_kms_takes_and_its_hash_is_the_id() {
        let key = RecipientKey::generate().unwrap();
        assert_eq!(key.spki().len(), 294);
        assert_eq!(key.id(), digest::digest(&digest::SHA256, key.spki()).as_ref());
        assert_eq!(format!("{key:?}"), "RecipientKey([redacted])");
        assert!(key.decrypt(&[7; 256]).is_none());
        assert!(key.decrypt(&[]).is_none());
        assert!(RecipientKey::from_pkcs8(&[]).is_err());
    }

    #[tokio::test]
    async fn the_thread_makes_nothing_before_it_is_told_and_ends_with_its_last_handle() {
        let recipients = Recipients::spawn(Log::to(|_| {})).unwrap();
        assert!(recipients.newest.borrow().is_none());
        let key = recipients.newest().await.unwrap();
        recipients.begin();
        assert_eq!(recipients.newest().await.unwrap().id(), key.id());
        let mut newest = recipients.newest.clone();
        newest.borrow_and_update();
        drop(recipients);
        assert!(newest.changed().await.is_err(), "the thread ended");
    }

    #[tokio::test]
    async fn an_old_key_is_replaced_and_a_call_that_has_begun_keeps_the_one_of_its_document() {
        let recipients = Recipients::replaced_after(Duration::from_millis(1), Log::to(|_| {})).unwrap();
        let first = recipients.newest().await.unwrap();
        let mut newest = recipients.newest.clone();
        let another = newest.wait_for(|key| key.as_ref().is_some_and(|key| key.id() != first.id()));
        let came = tokio::time::timeout(Duration::from_mins(1), another).await;
        assert!(came.is_ok(), "no key replaced the first");
        drop(came);
        let public = aws_lc_rs::rsa::PublicEncryptingKey::from_der(first.spki()).unwrap();
        let public = aws_lc_rs::rsa::OaepPublicEncryptingKey::new(public).unwrap();
        let mut buffer = [0; 256];
        let sealed = public.encrypt(&OAEP_SHA256_MGF1SHA256, b"for the first", &mut buffer, None).unwrap();
        assert_eq!(first.decrypt(sealed).unwrap().expose(), b"for the first");
        let second = recipients.newest().await.unwrap();
        assert!(second.decrypt(sealed).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_does_not_come_is_not_waited_for_without_end() {
        let (start, _started) = mpsc::channel();
        let (publish, newest) = watch::channel(None);
        let recipients = Recipients { start, begun: Arc::default(), newest };
        let key = Arc::new(RecipientKey::generate().unwrap());
        for (comes_after, expect) in [(KEY_TIME_MAX + Duration::from_millis(1), false), (KEY_TIME_MAX / 2, true)] {
            let publishing = async {
                tokio::time::sleep(comes_after).await;
                publish.send_replace(Some(Arc::clone(&key)));
            };
            let (got, ()) = tokio::join!(recipients.newest(), publishing);
            assert_eq!(got.is_ok(), expect, "{comes_after:?}");
            publish.send_replace(None);
        }
    }
}
