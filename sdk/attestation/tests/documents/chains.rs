//! Chains of our own, wrong in one place each and signed for real all the same.

use super::parts::{bytes, cbor};
use keep::keep;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use strongroom_attestation::{Root, Time, verify};

#[path = "../../../../tests/fuzz-targets/src/keep.rs"]
mod keep;

/// 2026-11-22T12:00:00Z, and the validity of every certificate: an hour to each side.
const NOON_S: i64 = 1_795_348_800;

/// What a test changes: root, one authority below it, leaf, and the byte that fills each PCR.
struct Chain {
    root: CertificateParams,
    authority: CertificateParams,
    leaf: CertificateParams,
    leaf_algorithm: &'static rcgen::SignatureAlgorithm,
    timestamp_s: i64,
    pcrs: Vec<(u8, u8)>,
    sign_with_another_key: bool,
}

fn parameters(name: &str, is_ca: IsCa, usage: KeyUsagePurpose) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_before = date(NOON_S - 3600);
    parameters.not_after = date(NOON_S + 3600);
    parameters.is_ca = is_ca;
    parameters.key_usages = vec![usage];
    parameters
}

fn date(seconds: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

fn check(expect: &str, edit: impl FnOnce(&mut Chain)) {
    let ca = |length| IsCa::Ca(BasicConstraints::Constrained(length));
    let mut chain = Chain {
        root: parameters("root", IsCa::Ca(BasicConstraints::Unconstrained), KeyUsagePurpose::KeyCertSign),
        authority: parameters("authority", ca(0), KeyUsagePurpose::KeyCertSign),
        leaf: parameters("leaf", IsCa::ExplicitNoCa, KeyUsagePurpose::DigitalSignature),
        leaf_algorithm: &rcgen::PKCS_ECDSA_P384_SHA384,
        timestamp_s: NOON_S,
        pcrs: vec![(0, 1), (1, 1), (2, 1), (3, 0)],
        sign_with_another_key: false,
    };
    edit(&mut chain);
    let (document, root) = document(&chain);
    keep("document", &document);
    let now = Time::from_unix_ms(u64::try_from(NOON_S).unwrap() * 1000);
    let result = verify(&document, &Root::development(&root), now);
    let text = result.map_or_else(|error| error.to_string(), |_| "ok".to_owned());
    assert!(text.contains(expect), "wanted {expect:?}, got {text:?}");
}

/// The document of a chain, and its root's DER.
fn document(chain: &Chain) -> (Vec<u8>, Vec<u8>) {
    let generate = |algorithm| KeyPair::generate_for(algorithm).unwrap();
    let (root_key, authority_key) =
        (generate(&rcgen::PKCS_ECDSA_P384_SHA384), generate(&rcgen::PKCS_ECDSA_P384_SHA384));
    let leaf_key = generate(chain.leaf_algorithm);
    let root = chain.root.self_signed(&root_key).unwrap();
    let root_issuer = Issuer::from_params(&chain.root, &root_key);
    let authority = chain.authority.signed_by(&authority_key, &root_issuer).unwrap();
    let authority_issuer = Issuer::from_params(&chain.authority, &authority_key);
    let leaf = chain.leaf.signed_by(&leaf_key, &authority_issuer).unwrap();

    let payload = cbor(|e| {
        e.map(6).unwrap().str("module_id").unwrap().str("i-1").unwrap().str("digest").unwrap();
        e.str("SHA384")
            .unwrap()
            .str("timestamp")
            .unwrap()
            .u64(u64::try_from(chain.timestamp_s).unwrap() * 1000)
            .unwrap();
        e.str("pcrs").unwrap().map(chain.pcrs.len() as u64).unwrap();
        for (index, fill) in &chain.pcrs {
            e.u8(*index).unwrap().bytes(&[*fill; 48]).unwrap();
        }
        e.str("certificate").unwrap().bytes(leaf.der()).unwrap();
        e.str("cabundle").unwrap().array(2).unwrap().bytes(root.der()).unwrap().bytes(authority.der()).unwrap();
    });
    let content = cbor(|e| {
        e.array(4).unwrap().str("Signature1").unwrap().bytes(&[0xa1, 0x01, 0x38, 0x22]).unwrap();
        e.bytes(&[]).unwrap().bytes(&payload).unwrap();
    });
    let signer = if chain.sign_with_another_key || chain.leaf_algorithm != &rcgen::PKCS_ECDSA_P384_SHA384 {
        generate(&rcgen::PKCS_ECDSA_P384_SHA384)
    } else {
        leaf_key
    };
    let random = SystemRandom::new();
    let signer = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, signer.serialized_der(), &random).unwrap();
    let signature = signer.sign(&random, &content).unwrap();
    let mut document = vec![0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0];
    document.extend(bytes(&payload));
    document.extend(bytes(signature.as_ref()));
    (document, root.der().to_vec())
}

#[test]
fn a_chain_is_judged_in_every_certificate() {
    check("ok", |_| {});
    check("signature is wrong", |c| c.sign_with_another_key = true);
    check("root certificate lacks the key usage keyCertSign", |c| {
        c.root.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    });
    check("CA certificate 1 lacks the key usage keyCertSign", |c| {
        c.authority.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    });
    check("CA certificate 1 lacks the key usage keyCertSign", |c| c.authority.key_usages.clear());
    check("leaf certificate lacks the key usage digitalSignature", |c| c.leaf.key_usages.clear());
    check("leaf certificate lacks the key usage digitalSignature", |c| {
        c.leaf.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    });
    check("make no chain", |c| c.authority.is_ca = IsCa::ExplicitNoCa);
    check("make no chain", |c| c.authority.is_ca = IsCa::NoCa);
    check("make no chain", |c| c.leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    check("not a P-384 key", |c| c.leaf_algorithm = &rcgen::PKCS_ECDSA_P256_SHA256);
    check("not a P-384 key", |c| c.leaf_algorithm = &rcgen::PKCS_ED25519);
}

#[test]
fn every_certificate_must_be_valid_now_and_the_leaf_at_the_timestamp() {
    check("root certificate expired 30 min ago", |c| c.root.not_after = date(NOON_S - 1800));
    check("CA certificate 1 expired 1 s ago", |c| c.authority.not_after = date(NOON_S - 1));
    check("leaf certificate expired 1 s ago", |c| c.leaf.not_after = date(NOON_S - 1));
    check("ok", |c| c.leaf.not_after = date(NOON_S));
    check("ok", |c| c.leaf.not_before = date(NOON_S));
    check("leaf certificate is valid only in 1 s", |c| c.leaf.not_before = date(NOON_S + 1));
    check("CA certificate 1 is valid only in 40 min", |c| c.authority.not_before = date(NOON_S + 2400));
    check("document was made at 2026-11-22T10:59:59Z", |c| c.timestamp_s = NOON_S - 3601);
    check("ok", |c| c.timestamp_s = NOON_S - 3600);
    // A clock that lags a minute behind the document is excused, also where the leaf is as new.
    check("ok", |c| {
        c.timestamp_s = NOON_S + 60;
        c.leaf.not_before = date(NOON_S + 57);
    });
    check("in the future", |c| c.timestamp_s = NOON_S + 301);
}

#[test]
fn debug_mode_is_refused_in_each_of_the_three_pcrs() {
    for index in 0..3 {
        check(&format!("PCR{index} is all zero"), |c| c.pcrs[index].1 = 0);
        check(&format!("does not list PCR{index}"), |c| {
            c.pcrs.remove(index);
        });
    }
    check("does not list PCR0", |c| c.pcrs.clear());
}
