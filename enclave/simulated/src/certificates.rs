//! The chain of certificates, in the shape of AWS's: root, region (20 days), zone (5 days), instance (1
//! day), leaf (3 hours), all P-384 with ECDSA-SHA384 and the key usages and path lengths of the real
//! ones. Every name says that it is Strongroom's development chain.

use crate::authority::Authority;
use crate::error::SimulatedError;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use time::{Duration, OffsetDateTime};

const REGION: Duration = Duration::days(20);
const ZONE: Duration = Duration::days(5);
const INSTANCE: Duration = Duration::days(1);
const LEAF: Duration = Duration::hours(3);

/// A leaf is replaced when less than this is left of it.
const LEAF_RENEWAL: Duration = Duration::minutes(30);

/// Real leaves begin a few seconds before they are first used, real CA certificates an hour.
const LEAF_BACKDATE: Duration = Duration::seconds(3);
const CA_BACKDATE: Duration = Duration::hours(1);

/// The chain that an NSM signs with, and the leaf's key.
pub(crate) struct Chain {
    /// Region, zone, instance.
    authorities: Vec<Vec<u8>>,
    instance: Issuer<'static, KeyPair>,
    instance_end: OffsetDateTime,
    leaf: Leaf,
}

struct Leaf {
    der: Vec<u8>,
    key: EcdsaKeyPair,
    window: (OffsetDateTime, OffsetDateTime),
}

impl Chain {
    /// Issues a new chain under `authority` at `now`.
    pub(crate) fn issue(authority: &Authority, module_id: &str, now: OffsetDateTime) -> Result<Self, SimulatedError> {
        let root = root_parameters();
        let region = issue_ca(&Issuer::from_params(&root, authority.key()), "region", 2, now, REGION)?;
        let zone = issue_ca(&region.issuer, "zone", 1, now, ZONE)?;
        let instance = issue_ca(&zone.issuer, "instance", 0, now, INSTANCE)?;
        let leaf = Leaf::issue(&instance.issuer, module_id, now)?;
        Ok(Self {
            authorities: vec![region.der, zone.der, instance.der],
            instance: instance.issuer,
            instance_end: now + INSTANCE,
            leaf,
        })
    }

    /// Renews what nears its end: the leaf, or the whole chain where the instance's certificate would
    /// end before a new leaf.
    pub(crate) fn renew(
        &mut self,
        authority: &Authority,
        module_id: &str,
        now: OffsetDateTime,
    ) -> Result<(), SimulatedError> {
        let (start, end) = self.leaf.window;
        if start <= now && now + LEAF_RENEWAL <= end {
            return Ok(());
        }
        if now + LEAF > self.instance_end || now < start {
            *self = Self::issue(authority, module_id, now)?;
        } else {
            self.leaf = Leaf::issue(&self.instance, module_id, now)?;
        }
        Ok(())
    }

    /// Region, zone and instance certificates, DER, in this order.
    pub(crate) fn authorities(&self) -> &[Vec<u8>] {
        &self.authorities
    }

    /// The leaf certificate, DER.
    pub(crate) fn leaf(&self) -> &[u8] {
        &self.leaf.der
    }

    /// Signs with the leaf's key: r ‖ s, 96 bytes.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = self.leaf.key.sign(&SystemRandom::new(), message).ok()?;
        Some(signature.as_ref().to_vec())
    }
}

impl Leaf {
    fn issue(instance: &Issuer<'_, KeyPair>, module_id: &str, now: OffsetDateTime) -> Result<Self, SimulatedError> {
        let mut parameters = parameters(&format!("{module_id}.strongroom-development"));
        parameters.not_before = now - LEAF_BACKDATE;
        parameters.not_after = now + LEAF;
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::ContentCommitment];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
        let certificate = parameters.signed_by(&key, instance)?;
        // rcgen signs in ASN.1's form, COSE needs r ‖ s.
        let signing = &ECDSA_P384_SHA384_FIXED_SIGNING;
        let key = EcdsaKeyPair::from_pkcs8(signing, key.serialized_der(), &SystemRandom::new())
            .map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
        let window = (parameters.not_before, parameters.not_after);
        Ok(Self { der: certificate.der().to_vec(), key, window })
    }
}

struct Ca {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

fn issue_ca<S: rcgen::SigningKey>(
    issuer: &Issuer<'_, S>,
    name: &str,
    path_length: u8,
    now: OffsetDateTime,
    lifetime: Duration,
) -> Result<Ca, SimulatedError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
    // Each certificate has a name of its own, as real ones have, so that no other chain's fits in.
    let id = hex::encode(&key.public_key_raw()[1..9]);
    let mut parameters = parameters(&format!("{id}.{name}.strongroom-development"));
    parameters.not_before = now - CA_BACKDATE;
    parameters.not_after = now + lifetime;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    // The real instance certificate signs nothing but certificates, and names no authority's key.
    let instance = path_length == 0;
    parameters.key_usages = if instance { vec![KeyUsagePurpose::KeyCertSign] } else { ca_usages() };
    parameters.use_authority_key_identifier_extension = !instance;
    let certificate = parameters.signed_by(&key, issuer)?;
    Ok(Ca { der: certificate.der().to_vec(), issuer: Issuer::new(parameters, key) })
}

/// The root's content but for its key: always the same, so that a loaded key can go on issuing.
pub(crate) fn root_parameters() -> CertificateParams {
    let mut parameters = parameters("strongroom development root, not aws.nitro-enclaves");
    parameters.not_before = rcgen::date_time_ymd(2019, 10, 28);
    parameters.not_after = rcgen::date_time_ymd(2049, 10, 28);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = ca_usages();
    parameters
}

fn parameters(common_name: &str) -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Strongroom development");
    name.push(DnType::CommonName, common_name);
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = name;
    parameters
}

fn ca_usages() -> Vec<KeyUsagePurpose> {
    vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign]
}
