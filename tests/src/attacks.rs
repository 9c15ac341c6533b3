//! Five things that a hostile host would try first, each against the real enclave, KMS and device code. Every attack gives the words of
//! its refusal; one that is not refused is an error.

use anyhow::{Context, Result, ensure};
use strongroom_attestation::Time;
use strongroom_proto::enclave::v1::{CreateKek, GetIdentity, KekRef, request, response};
use strongroom_proto::id::ContentHash;
use strongroom_proto::v1::{Reason, Role, RoleAttestation};
use strongroom_sdk::attest;
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::seal::RecipientKey;

use crate::frames::Frames;
use crate::hostile::{Loot, Refused, loot, refused};
use crate::stack::{RP_ID, Stack, rogue::Rogue};
use crate::user::{User, tenant, trust};

/// A victim with one backup, and what the host holds of it.
pub struct Attack<'a> {
    stack: &'a Stack,
    victim: &'a User,
    loot: Loot,
    frames: Frames,
}

impl<'a> Attack<'a> {
    /// Begins: reads the database, connects to the enclave.
    pub async fn on(stack: &'a Stack, victim: &'a User) -> Result<Self> {
        let loot = loot(&stack.database(), tenant(stack)?, &victim.wallet).await?;
        ensure!(!loot.records.is_empty(), "the victim has no backup");
        Ok(Self { stack, victim, loot, frames: Frames::connect(&stack.enclave_socket(Role::Client))? })
    }

    /// The user's own recovery, with the host's key in place of the device's.
    pub async fn swapped_recipient(&mut self) -> Result<String> {
        let (act, _) = self.victim.recovery(&self.victim.prepare().await?)?;
        let own = RecipientKey::generate()?;
        let request = request::Body::Recover(self.loot.recover(act, own.public_key()));
        expect(&refused(&mut self.frames, request)?, Reason::RecipientNotAllowed)
    }

    /// The user's sealed message, in a creation that the host signs with a passkey of its own.
    pub async fn ciphertext_in_own_record(&mut self) -> Result<String> {
        let prepared = self.victim.prepare().await?;
        let seen = self.victim.creation(&prepared, &self.victim.creation_of("second"), [b"the user's", b"shares"])?;
        let host = User::returning(self.stack, &self.victim.wallet, Passkey::create(RP_ID)?).await?;
        let own = host.creation_around(&prepared, &host.creation_of("host-1"), seen.client_message)?;
        expect(&refused(&mut self.frames, request::Body::CreateRecord(self.loot.create(&own)))?, Reason::DecryptFailed)
    }

    /// One bit of the sealed record turned.
    pub async fn altered_record(&mut self) -> Result<String> {
        let (act, recipient) = self.victim.recovery(&self.victim.prepare().await?)?;
        let mut request = self.loot.recover(act, recipient.public_key());
        let sealed = &mut request.record.as_mut().context("no record")?.sealed;
        let middle = sealed.len() / 2;
        sealed[middle] ^= 1;
        expect(&refused(&mut self.frames, request::Body::Recover(request))?, Reason::DecryptFailed)
    }

    /// The genuine image, booted with a manifest that names a KMS key of the host's own. That key's policy admits it, so it makes a KEK
    /// and attests it; the device sees the manifest in PCR16.
    pub async fn genuine_image_on_another_key(&mut self) -> Result<String> {
        let rogue = Rogue::on_own_key(self.stack).await?;
        let mut frames = rogue.boot()?;
        let tenant = self.loot.tenant.0.to_vec();
        let created = frames.ask(request::Body::CreateKek(CreateKek { tenant: tenant.clone(), epoch: 1 }))?;
        let response::Body::KekCreated(created) = created else { anyhow::bail!("no KEK: {created:?}") };
        let kek = KekRef { epoch: 1, sha256: ContentHash::of(&created.wrapped).0.to_vec(), wrapped: created.wrapped };
        let proven =
            frames.ask(request::Body::GetIdentity(GetIdentity { tenant, kek: Some(kek), nonce: Vec::new() }))?;
        let response::Body::IdentityProven(proven) = proven else { anyhow::bail!("no identity: {proven:?}") };
        let offered =
            RoleAttestation { role: Role::Client.into(), identity: proven.identity, document: proven.document };
        let statement = self.victim.prepare().await?.statement().clone();
        let now = Time::from_unix_ms(u64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_millis())?);
        let checked = attest::by_statement(&offered, &statement, Role::Client, None, &trust(self.stack)?, now);
        let refusal = checked.err().context("the device took it")?.to_string();
        ensure!(refusal.contains("PCR16"), "refused for another reason: {refusal}");
        Ok(format!("the device: {refusal}"))
    }

    /// The executable with one byte more, under the genuine manifest: KMS sees another PCR0.
    pub fn another_image(&mut self) -> Result<String> {
        let rogue = Rogue::with_other_image(self.stack)?;
        let mut frames = rogue.boot()?;
        let nonce = [7; 32];
        let view = self.loot.view(&self.victim.wallet, &nonce);
        expect(&refused(&mut frames, request::Body::GetView(view))?, Reason::KmsUnavailable)
    }
}

fn expect(refused: &Refused, reason: Reason) -> Result<String> {
    ensure!(refused.reason == reason, "refused for another reason: {refused:?}");
    Ok(format!("the enclave: {} ({})", refused.detail, reason.as_str_name().trim_start_matches("REASON_")))
}
