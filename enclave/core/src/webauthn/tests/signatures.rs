//! Project Wycheproof's signatures, through [`CredentialKey`]: what must hold holds, what must not does not.
//!
//! Stricter than Wycheproof: RSA keys with another exponent than 65537 or more than 4,096 bits are refused whole, and so is a
//! `DigestInfo` without its NULL, which Wycheproof calls acceptable.

use std::vec::Vec;

use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify};

use super::*;

/// What became of the signatures of one set.
#[derive(Debug, Default, Eq, PartialEq)]
struct Tally {
    /// Valid ones that held.
    held: usize,
    /// Invalid and acceptable ones that did not.
    refused: usize,
    /// Those whose key is none for us, valid or not.
    without_key: usize,
}

impl Tally {
    fn count(
        &mut self,
        key: Option<&CredentialKey<'_>>,
        message: &[u8],
        signature: &[u8],
        result: TestResult,
        id: usize,
    ) {
        let Some(key) = key else {
            self.without_key += 1;
            return;
        };
        let holds = key.verify(message, signature);
        assert_eq!(holds, result == TestResult::Valid, "test {id} is {result:?}");
        if holds { self.held += 1 } else { self.refused += 1 }
    }
}

/// A member of a `COSE_Key` that is a byte string.
fn part(label: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[label, 0x59], &len[..], content].concat()
}

/// Without the leading zero that DER's integers have.
fn unsigned(integer: &[u8]) -> &[u8] {
    integer.strip_prefix(&[0]).unwrap_or(integer)
}

#[test]
fn es256() {
    let mut tally = Tally::default();
    for group in ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap().test_groups {
        let (x, y) = group.key.key[1..].split_at(32);
        let cose = ec2(&[&[1, 2], &[3, 0x26], &[0x20, 1], &part(0x21, x), &part(0x22, y)]);
        let key = CredentialKey::parse(&cose).unwrap();
        for test in group.tests {
            tally.count(Some(&key), &test.msg, &test.sig, test.result, test.tc_id);
        }
    }
    assert_eq!(tally, Tally { held: 174, refused: 310, without_key: 0 });
}

#[test]
fn ed25519() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let cose = ec2(&[&[1, 1], &[3, 0x27], &[0x20, 6], &part(0x21, &group.key.pk)]);
        let key = CredentialKey::parse(&cose).unwrap();
        for test in group.tests {
            tally.count(Some(&key), &test.msg, &test.sig, test.result, test.tc_id);
        }
    }
    assert_eq!(tally, Tally { held: 88, refused: 63, without_key: 0 });
}

#[test]
fn rs256() {
    use rsa_pkcs1_verify::TestName;
    for (name, expect) in [
        (TestName::Rsa2048Sha256, Tally { held: 7, refused: 250, without_key: 2 }),
        (TestName::Rsa3072Sha256, Tally { held: 7, refused: 251, without_key: 1 }),
        (TestName::Rsa4096Sha256, Tally { held: 7, refused: 251, without_key: 0 }),
        (TestName::Rsa8192Sha256, Tally { held: 0, refused: 0, without_key: 258 }),
    ] {
        let mut tally = Tally::default();
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let (n, e) = (unsigned(&group.key.n), unsigned(&group.key.e));
            let cose = ec2(&[&[1, 3], &[3, 0x39, 1, 0], &part(0x20, n), &part(0x21, e)]);
            let key = CredentialKey::parse(&cose);
            assert_eq!(key.is_ok(), e == [1, 0, 1] && n.len() <= 512, "{name:?}");
            for test in group.tests {
                tally.count(key.as_ref().ok(), &test.msg, &test.sig, test.result, test.tc_id);
            }
        }
        assert_eq!(tally, expect, "{name:?}");
    }
}
