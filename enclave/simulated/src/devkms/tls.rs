//! TLS of the development KMS: a root of its own, kept beside the keys, and at each start a new
//! certificate for `kms.<region>.amazonaws.com`. TLS 1.3 only, X25519MLKEM768 first, as its clients.

use super::Place;
use crate::certified_key::{CertifiedKey, Profile};
use crate::error::SimulatedError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::path::Path;
use std::sync::Arc;
use time::{Duration, OffsetDateTime};

/// How long the server's certificate is valid: longer than a development process runs.
const SERVER_LIFETIME: Duration = Duration::days(90);

/// For clients whose clock lags.
const SERVER_BACKDATE: Duration = Duration::hours(1);

/// The root that the service's certificate is issued under.
#[derive(Debug)]
pub struct TlsRoot(CertifiedKey);

impl TlsRoot {
    /// Loads the root of the folder `state`, or makes it there: `tls-root` (private), and the certificate as
    /// `tls-root.der`, which a manifest's development section names, and as `tls-root.pem` for AWS's clients.
    ///
    /// # Errors
    /// [`SimulatedError::File`], [`SimulatedError::Form`], [`SimulatedError::Certificate`].
    pub fn open(state: &Path) -> Result<Self, SimulatedError> {
        let root = CertifiedKey::open(&state.join("tls-root"), &profile())?;
        crate::private_file::replace(&state.join("tls-root.der"), &root.der)?;
        crate::private_file::replace(&state.join("tls-root.pem"), pem(&root.der).as_bytes())?;
        Ok(Self(root))
    }

    /// The root certificate, DER. Public.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// The server's configuration, with a new certificate for the endpoint of `place`, and for loopback,
    /// where clients that resolve names themselves find it.
    ///
    /// # Errors
    /// [`SimulatedError::Certificate`], [`SimulatedError::Tls`].
    pub fn server_config(&self, place: &Place) -> Result<ServerConfig, SimulatedError> {
        let root = profile().parameters;
        let mut parameters =
            CertificateParams::new([place.endpoint().as_str(), "localhost", "127.0.0.1", "::1"].map(str::to_owned))?;
        let now = OffsetDateTime::now_utc();
        parameters.distinguished_name = name(&place.endpoint());
        parameters.not_before = now - SERVER_BACKDATE;
        parameters.not_after = now + SERVER_LIFETIME;
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        parameters.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = parameters.signed_by(&key, &Issuer::from_params(&root, &self.0.key))?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = CryptoProvider {
            kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1],
            ..aws_lc_rs::default_provider()
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Always the same but for the key, so that a loaded key can go on issuing.
fn profile() -> Profile {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = name("strongroom development KMS root");
    parameters.not_before = rcgen::date_time_ymd(2025, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2049, 1, 1);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Profile { parameters, algorithm: &PKCS_ECDSA_P256_SHA256 }
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut lines = vec!["-----BEGIN CERTIFICATE-----"];
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        lines.push(line);
        rest = after;
    }
    lines.push("-----END CERTIFICATE-----\n");
    lines.join("\n")
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Strongroom development");
    name.push(DnType::CommonName, common_name);
    name
}
