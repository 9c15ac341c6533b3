//! What is missing before the enclave can serve.

use strongroom_proto::enclave::v1::Health;
use strongroom_proto::v1::Role;

use crate::kms::KmsError;
use crate::manifest::Manifest;

/// What the runtime knows of itself at one moment.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one line of the health answer")]
pub(crate) struct Facts {
    pub(crate) entropy: bool,
    pub(crate) manifest: bool,
    pub(crate) credentials: bool,
    pub(crate) kms: bool,
    /// Why the key is not usable, where KMS said something.
    pub(crate) kms_failure: Option<KmsError>,
    pub(crate) clock: bool,
}

impl Facts {
    /// The names of what is missing, in the order of boot, the KMS with the reason after a colon. Empty: ready.
    pub(crate) fn missing(&self) -> Vec<String> {
        let kms = self.kms_failure.as_ref().map_or_else(|| "kms".to_owned(), |failure| format!("kms: {failure}"));
        let facts = [
            (self.entropy, "entropy"),
            (self.manifest, "manifest"),
            (self.credentials, "credentials"),
            (self.kms, kms.as_str()),
            (self.clock, "clock"),
        ];
        facts.into_iter().filter(|(holds, _)| !holds).map(|(_, name)| name.to_owned()).collect()
    }
}

/// The health answer, with what the manifest says once there is one.
pub(crate) fn health(facts: &Facts, manifest: Option<&Manifest>, time_ms: Option<u64>) -> Health {
    Health {
        missing: facts.missing(),
        role: manifest.map_or(Role::Unspecified, |manifest| manifest.role).into(),
        release: manifest.map_or(0, |manifest| manifest.release),
        development: manifest.is_some_and(|manifest| manifest.development_root.is_some()),
        time_ms: time_ms.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_thing_has_its_name() {
        assert_eq!(Facts::default().missing(), ["entropy", "manifest", "credentials", "kms", "clock"]);
        let ready =
            || Facts { entropy: true, manifest: true, credentials: true, kms: true, clock: true, kms_failure: None };
        assert!(ready().missing().is_empty());
        assert_eq!(Facts { kms: false, ..ready() }.missing(), ["kms"]);
        assert_eq!(Facts { clock: false, ..ready() }.missing(), ["clock"]);
        let unguarded = Facts { kms: false, kms_failure: Some(KmsError::Unguarded("Decrypt")), ..ready() };
        assert_eq!(unguarded.missing(), ["kms: the key policy allows Decrypt without attestation"]);
    }
}
