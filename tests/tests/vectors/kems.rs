//! Project Wycheproof's vectors for the two halves of X-Wing, by the crates that X-Wing is made of.
//!
//! Laxer than a strict X25519: points of low order and their shared secret of zeros are taken, as X-Wing's draft has it; the
//! secret is hashed together with ML-KEM's and both public values, so that it decides nothing alone.

use hpke::kem::MlKem768;
use hpke::{Deserializable, HpkeError, Kem, Serializable};
use wycheproof::mlkem::{Test, TestName, TestSet};
use wycheproof::{TestResult, xdh};

use crate::xwing::Given;

#[test]
fn x25519() {
    let mut low_order = 0;
    let tests = xdh::TestSet::load(xdh::TestName::X25519).unwrap().test_groups.into_iter().flat_map(|it| it.tests);
    for test in tests {
        let private: [u8; 32] = test.private_key[..].try_into().unwrap();
        let public: [u8; 32] = test.public_key[..].try_into().unwrap();
        let shared = x25519_dalek::x25519(private, public);
        assert_ne!(test.result, TestResult::Invalid, "test {}", test.tc_id);
        assert_eq!(shared, test.shared_secret[..], "test {}", test.tc_id);
        low_order += usize::from(shared == [0; 32]);
    }
    assert_eq!(low_order, 31);
}

fn ml_kem(name: TestName) -> Vec<Test> {
    TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|group| group.tests).collect()
}

/// Public key and shared secret.
fn decapsulate(test: &Test) -> Result<(Vec<u8>, Vec<u8>), HpkeError> {
    let key = <MlKem768 as Kem>::PrivateKey::from_bytes(test.seed.as_ref().unwrap())?;
    let enc = <MlKem768 as Kem>::EncappedKey::from_bytes(test.ct.as_ref().unwrap())?;
    let shared = MlKem768::decap(&key, None, &enc)?;
    Ok((MlKem768::sk_to_pk(&key).to_bytes().to_vec(), shared.0.to_vec()))
}

#[test]
fn ml_kem_768_decapsulates() {
    let (mut same, mut refused) = (0, 0);
    for test in ml_kem(TestName::MlKem768) {
        let got = decapsulate(&test);
        if test.result == TestResult::Valid {
            let expect = (test.encaps_key.unwrap().to_vec(), test.shared_secret.unwrap().to_vec());
            assert_eq!(got, Ok(expect), "test {}", test.tc_id);
            same += 1;
        } else {
            assert!(got.is_err(), "test {}", test.tc_id);
            refused += 1;
        }
    }
    assert_eq!((same, refused), (161, 40));
}

#[test]
fn ml_kem_768_makes_the_same_keys() {
    let tests = ml_kem(TestName::MlKem768KeyGenSeed);
    assert_eq!(tests.len(), 100);
    for test in tests {
        let key = <MlKem768 as Kem>::PrivateKey::from_bytes(test.seed.as_ref().unwrap()).unwrap();
        assert_eq!(MlKem768::sk_to_pk(&key).to_bytes()[..], test.encaps_key.unwrap()[..], "test {}", test.tc_id);
    }
}

/// Encapsulated key and shared secret.
fn encapsulate(test: &Test) -> Result<(Vec<u8>, Vec<u8>), HpkeError> {
    let key = <MlKem768 as Kem>::PublicKey::from_bytes(test.encaps_key.as_ref().unwrap())?;
    let (shared, enc) = MlKem768::encap_with_rng(&key, None, &mut Given(test.msg.as_ref().unwrap().to_vec()))?;
    Ok((enc.to_bytes().to_vec(), shared.0.to_vec()))
}

#[test]
fn ml_kem_768_encapsulates_to_keys_that_are_some() {
    let (mut same, mut refused) = (0, 0);
    for test in ml_kem(TestName::MlKem768Encaps) {
        let got = encapsulate(&test);
        if test.result == TestResult::Valid {
            let expect = (test.ct.unwrap().to_vec(), test.shared_secret.unwrap().to_vec());
            assert_eq!(got, Ok(expect), "test {}", test.tc_id);
            same += 1;
        } else {
            assert!(got.is_err(), "test {}", test.tc_id);
            refused += 1;
        }
    }
    assert_eq!((same, refused), (133, 132));
}
