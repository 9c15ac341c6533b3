//! `GetIdentity`: an attestation document over the identity of one epoch.

use strongroom_proto::enclave::v1::{GetIdentity, IdentityProven};
use strongroom_proto::limits::ATTESTATION_NONCE_BYTES_MAX;

use super::Scene;
use crate::platform::Platform;
use crate::refusal::{Refusal, bad};

pub(super) fn run<P: Platform>(scene: &Scene<'_, P>, request: &GetIdentity) -> Result<IdentityProven, Refusal> {
    if request.nonce.len() > ATTESTATION_NONCE_BYTES_MAX {
        return Err(bad(alloc::format!("nonce: more than {ATTESTATION_NONCE_BYTES_MAX} bytes")));
    }
    scene.platform.with_caches(|caches| caches.meter.count(scene.tenant, scene.now))?;
    let nonce = Some(request.nonce.as_slice()).filter(|nonce| !nonce.is_empty());
    let document = scene.platform.attest(&scene.kek.identity_hash.0, nonce)?;
    Ok(IdentityProven { identity: scene.kek.identity.clone(), document })
}
