//! Project Wycheproof's vectors for what seals at rest and what KMS answers with, by the same calls as our code makes.
//!
//! Stricter than Wycheproof: nonces of 12 bytes and tags of 16 only, RSA of 2,048 bits only, and no OAEP label.

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use strongroom_runtime::kms::recipient::RecipientKey;
use wycheproof::{HashFunction, TestResult, aead, hkdf, rsa_oaep};

/// As in `enclave/core/src/seal.rs`.
#[test]
fn aes_256_gcm() {
    let (mut opened, mut refused) = (0, 0);
    for group in aead::TestSet::load(aead::TestName::AesGcm).unwrap().test_groups {
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            continue;
        }
        for test in group.tests {
            let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &test.key).unwrap());
            let nonce = || Nonce::try_assume_unique_for_key(&test.nonce).unwrap();
            let sealed = [&test.ct[..], &test.tag].concat();
            let mut buffer = sealed.clone();
            let got =
                key.open_in_place(nonce(), Aad::from(&test.aad[..]), &mut buffer).ok().map(|plain| plain.to_vec());
            let valid = test.result == TestResult::Valid;
            assert_eq!(got, valid.then(|| test.pt.to_vec()), "test {}", test.tc_id);
            let mut buffer = test.pt.to_vec();
            key.seal_in_place_append_tag(nonce(), Aad::from(&test.aad[..]), &mut buffer).unwrap();
            assert_eq!(buffer == sealed, valid, "test {}: sealed", test.tc_id);
            if valid { opened += 1 } else { refused += 1 }
        }
    }
    assert_eq!((opened, refused), (39, 27));
}

struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// As every key of ours is derived.
#[test]
fn hkdf_sha_256() {
    let (mut derived, mut refused) = (0, 0);
    let tests =
        hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap().test_groups.into_iter().flat_map(|it| it.tests);
    for test in tests {
        let prk = Salt::new(HKDF_SHA256, &test.salt).extract(&test.ikm);
        let info = [&test.info[..]];
        let mut out = vec![0; test.size];
        let got = prk.expand(&info, Len(test.size)).and_then(|okm| okm.fill(&mut out)).is_ok();
        assert_eq!(got, test.result == TestResult::Valid, "test {}", test.tc_id);
        assert!(!got || out == test.okm[..], "test {}", test.tc_id);
        if got { derived += 1 } else { refused += 1 }
    }
    assert_eq!((derived, refused), (83, 3));
}

/// As in `enclave/runtime/src/kms/recipient.rs`, which takes keys of 2,048 bits and no label.
#[test]
fn rsa_oaep_sha_256() {
    use rsa_oaep::TestName;
    let (mut opened, mut refused, mut labelled, mut without_key) = (0, 0, 0, 0);
    for name in [TestName::Rsa2048Sha256Mgf1Sha256, TestName::Rsa4096Sha256Mgf1Sha256, TestName::RsaMisc] {
        for group in rsa_oaep::TestSet::load(name).unwrap().test_groups {
            if (group.hash, group.mgf_hash) != (HashFunction::Sha2_256, HashFunction::Sha2_256) {
                continue;
            }
            let takes = RecipientKey::from_pkcs8(&group.pkcs8).is_ok();
            assert_eq!(takes, group.key_size == 2048, "{name:?}: a key of {} bits", group.key_size);
            if !takes {
                without_key += group.tests.len();
                continue;
            }
            let key = PrivateDecryptingKey::from_pkcs8(&group.pkcs8).unwrap();
            let key = OaepPrivateDecryptingKey::new(key).unwrap();
            for test in group.tests {
                let mut buffer = [0; 256];
                let got = key.decrypt(&OAEP_SHA256_MGF1SHA256, &test.ct, &mut buffer, None).ok();
                let expect = (test.result != TestResult::Invalid && test.label.is_empty()).then_some(&test.pt[..]);
                assert_eq!(got.as_deref(), expect, "{name:?}, test {}", test.tc_id);
                match (expect, test.label.is_empty()) {
                    (Some(_), _) => opened += 1,
                    (None, true) => refused += 1,
                    (None, false) => labelled += 1,
                }
            }
        }
    }
    assert_eq!((opened, refused, labelled, without_key), (13, 19, 8, 68));
}
