//! One enclave: its phase, and the answers to the control requests.
//!
//! Boot takes one manifest, measures it before any key exists, and only then makes the core and the
//! KMS client. Everything else goes to the core.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use strongroom_core::{Control, Deployment, Refusal, RoleCore, refuse};
use strongroom_proto::enclave::v1::response::Body;
use strongroom_proto::enclave::v1::{Boot, Booted, CredentialsSet, SetCredentials};
use strongroom_proto::v1::Reason;

use crate::clock::Clock;
use crate::entropy::{self, Pool};
use crate::error::RuntimeError;
use crate::health::{Facts, health};
use crate::kms::client::KmsClient;
use crate::kms::connector::Connector;
use crate::kms::credentials::CredentialStore;
use crate::kms::recipient::Recipients;
use crate::kms::service::KmsService;
use crate::kms::tls;
use crate::log::Log;
use crate::manifest::Manifest;
use crate::measure::measure;
use crate::nsm::Nsm;
use crate::phase::{Ask, Phase};
use crate::platform::RuntimePlatform;
use crate::transport::Dial;

/// How long the host should wait before it asks again for what is missing.
const MISSING_RETRY_MS: u32 = 500;

/// What exists once the manifest is measured.
pub(crate) struct Serving {
    pub(crate) core: RoleCore<RuntimePlatform>,
    pub(crate) kms: KmsService,
    manifest: Manifest,
    pcr16: Vec<u8>,
}

/// The state that all workers share.
pub(crate) struct Enclave<D> {
    nsm: Arc<dyn Nsm>,
    dial: Arc<D>,
    clock: Clock,
    credentials: CredentialStore,
    recipients: Recipients,
    log: Log,
    phase: Mutex<Phase>,
    serving: OnceLock<Serving>,
}

impl<D: Dial> Enclave<D> {
    /// An enclave in its first phase.
    pub(crate) fn new(nsm: Arc<dyn Nsm>, dial: Arc<D>, clock: Clock, log: Log) -> Result<Self, RuntimeError> {
        Ok(Self {
            credentials: CredentialStore::new(clock.clone()),
            recipients: Recipients::spawn(log.clone()).map_err(|error| RuntimeError::Thread("recipient", error))?,
            phase: Mutex::new(Phase::Entropy),
            serving: OnceLock::new(),
            nsm,
            dial,
            clock,
            log,
        })
    }

    /// Mixes in the module's entropy. Where that fails the enclave says what it lacks and why, and nothing else.
    pub(crate) fn gather_entropy(&self, pool: &dyn Pool) {
        match entropy::mix(self.nsm.as_ref(), pool) {
            Ok(()) => self.move_to(&mut self.lock_phase(), Phase::AwaitManifest),
            Err(error) => self.log.note(format_args!("refusing to serve: {error}")),
        }
    }

    /// The core and its KMS, or the refusal that names what is missing.
    pub(crate) fn serving(&self) -> Result<&Serving, Refusal> {
        self.serving.get().ok_or_else(|| self.missing())
    }

    /// Answers a control request.
    pub(crate) fn control(&self, control: Control) -> Result<Body, Refusal> {
        match control {
            Control::Boot(boot) => self.boot(&boot).map(Body::Booted),
            Control::SetCredentials(credentials) => self.set_credentials(credentials),
            Control::GetHealth => {
                let manifest = self.serving.get().map(|serving| &serving.manifest);
                Ok(Body::Health(health(&self.facts(), manifest, self.clock.now_ms())))
            }
            Control::GetEvents(asked) => Ok(Body::Events(self.log.events(asked.after))),
        }
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    fn facts(&self) -> Facts {
        let serving = self.serving.get();
        Facts {
            entropy: *self.lock_phase() != Phase::Entropy,
            manifest: serving.is_some(),
            credentials: self.credentials.is_present(),
            kms: serving.is_some_and(|serving| serving.kms.is_ready()),
            kms_failure: serving.and_then(|serving| serving.kms.failure()),
            clock: self.clock.is_fresh(),
        }
    }

    fn missing(&self) -> Refusal {
        let detail = format!("missing: {}", self.facts().missing().join(", "));
        Refusal { reason: Reason::EnclaveUnavailable, detail, retry_after_ms: MISSING_RETRY_MS }
    }

    fn set_credentials(&self, pushed: SetCredentials) -> Result<Body, Refusal> {
        if !self.lock_phase().answers(Ask::SetCredentials) {
            return Err(self.missing());
        }
        self.credentials.set(pushed).map_err(|field| refuse(Reason::BadRequest, field))?;
        Ok(Body::CredentialsSet(CredentialsSet {}))
    }

    /// Takes the one manifest. The same bytes again are told the same answer.
    fn boot(&self, boot: &Boot) -> Result<Booted, Refusal> {
        let mut phase = self.lock_phase();
        if let Some(serving) = self.serving.get() {
            return if serving.manifest.bytes == boot.manifest {
                Ok(Booted { pcr16: serving.pcr16.clone() })
            } else {
                Err(refuse(Reason::StateInvalid, "manifest: already booted with another one"))
            };
        }
        if *phase == Phase::Failed {
            return Err(refuse(Reason::EnclaveUnavailable, "PCR16 is spent: start another enclave"));
        }
        if !phase.answers(Ask::Boot) {
            drop(phase);
            return Err(self.missing());
        }
        let (manifest, connector) =
            self.prepare(&boot.manifest).map_err(|error| refuse(Reason::BadRequest, error.to_string()))?;
        match self.enter(manifest, connector) {
            Ok(serving) => {
                let pcr16 = serving.pcr16.clone();
                // The phase lock is held, so nobody has set it in between.
                let _ = self.serving.set(serving);
                self.move_to(&mut phase, Phase::Serving);
                // The module's entropy is mixed in and PCR16 is locked: the first key may be made.
                self.recipients.begin();
                Ok(Booted { pcr16 })
            }
            Err(error) => {
                self.move_to(&mut phase, Phase::Failed);
                self.log.note(format_args!("refusing to serve: {error}"));
                Err(refuse(Reason::EnclaveUnavailable, error.to_string()))
            }
        }
    }

    /// Everything that can refuse a manifest, before anything is measured.
    fn prepare(&self, bytes: &[u8]) -> Result<(Manifest, Connector<D>), RuntimeError> {
        let manifest = Manifest::read(bytes)?;
        let tls = tls::client_config(&self.clock, manifest.development_root.as_deref())?;
        let connector = Connector::new(Arc::clone(&self.dial), tls, &manifest.kms_host())?;
        Ok((manifest, connector))
    }

    /// Measures the manifest, then makes the core and the KMS client.
    fn enter(&self, manifest: Manifest, connector: Connector<D>) -> Result<Serving, RuntimeError> {
        let pcr16 = measure(&self.nsm, &manifest.bytes)?;
        let client = KmsClient::new(
            &manifest,
            connector,
            self.credentials.clone(),
            self.clock.clone(),
            Arc::clone(&self.nsm),
            self.recipients.clone(),
        );
        let kms = KmsService::spawn(client, self.credentials.clone(), self.log.clone())?;
        let platform = RuntimePlatform::new(self.clock.clone(), Arc::clone(&self.nsm));
        let deployment = Deployment { manifest: manifest.bytes.clone(), release: manifest.release };
        let core = RoleCore::new(manifest.role, platform, deployment)
            .ok_or(RuntimeError::Manifest("role: not a known one"))?;
        Ok(Serving { core, kms, manifest, pcr16 })
    }

    fn move_to(&self, phase: &mut Phase, next: Phase) {
        if let Some(next) = phase.to(next) {
            self.log.note(format_args!("phase: {next:?}"));
            *phase = next;
        }
    }

    /// A thread that panics ends the process, so the lock is never found poisoned.
    fn lock_phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
