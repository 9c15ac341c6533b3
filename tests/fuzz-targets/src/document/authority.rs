//! A chain of three certificates, all of one published test key, so that a corpus signed once is signed for good.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;

use crate::cbor::{bytes, head, text};
use crate::device::unhex;

/// The key of RFC 6979, appendix A.2.6: private scalar, and the point without its leading 4.
const SCALAR: &str = "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5";
const POINT: &str = "ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc13\
                     8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720";
/// PKCS#8 (RFC 5208) around scalar and point of a P-384 key.
const BEFORE_SCALAR: &str = "3081b6020100301006072a8648ce3d020106052b8104002204819e30819b0201010430";
const BEFORE_POINT: &str = "a16403620004";

const ES384_HEADER: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];

/// Root, authority and leaf.
pub(crate) struct Authority {
    cabundle: Vec<u8>,
    leaf: Vec<u8>,
    signer: EcdsaKeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let pkcs8 = unhex(&[BEFORE_SCALAR, SCALAR, BEFORE_POINT, POINT].concat());
        let key = PrivatePkcs8KeyDer::from(pkcs8.as_slice());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P384_SHA384).expect("a P-384 key");
        let sign = KeyUsagePurpose::KeyCertSign;
        let root = parameters("root", IsCa::Ca(BasicConstraints::Unconstrained), sign);
        let authority = parameters("authority", IsCa::Ca(BasicConstraints::Constrained(0)), sign);
        let leaf = parameters("leaf", IsCa::ExplicitNoCa, KeyUsagePurpose::DigitalSignature);
        let signed = |what: &CertificateParams, by: &CertificateParams| {
            what.signed_by(&key, &Issuer::from_params(by, &key)).expect("signing works")
        };
        let der = |certificate: &Certificate| bytes(certificate.der());
        let root_der = root.self_signed(&key).expect("signing works");
        let signing = &ECDSA_P384_SHA384_FIXED_SIGNING;
        Self {
            cabundle: [head(4, 2), der(&root_der), der(&signed(&authority, &root))].concat(),
            leaf: der(&signed(&leaf, &authority)),
            signer: EcdsaKeyPair::from_pkcs8(signing, &pkcs8, &SystemRandom::new()).expect("a P-384 key"),
        }
    }

    /// The leaf, as CBOR.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.leaf.clone()
    }

    /// Root and authority, as CBOR.
    pub(crate) fn cabundle(&self) -> Vec<u8> {
        self.cabundle.clone()
    }

    /// The document of a payload.
    pub(crate) fn sign(&self, payload: &[u8]) -> Vec<u8> {
        let content = [head(4, 4), text("Signature1"), bytes(&ES384_HEADER), bytes(&[]), bytes(payload)].concat();
        let signature = self.signer.sign(&SystemRandom::new(), &content).expect("signing works");
        [head(4, 4), bytes(&ES384_HEADER), head(5, 0), bytes(payload), bytes(signature.as_ref())].concat()
    }
}

/// Valid for as long as any document's time is one that certificates can say.
fn parameters(name: &str, is_ca: IsCa, usage: KeyUsagePurpose) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_before = rcgen::date_time_ymd(1970, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(4000, 1, 1);
    parameters.is_ca = is_ca;
    parameters.key_usages = vec![usage];
    parameters
}
