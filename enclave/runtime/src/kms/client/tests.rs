use aws_sdk_kms::types::builders::KeyMetadataBuilder;

use super::*;

mod forged;
mod guards;
mod stack;
mod wire;

const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn reply(
    key_id: Option<&str>,
    plaintext: Option<&[u8]>,
    for_recipient: Option<&[u8]>,
    expect: Result<&[u8], &'static str>,
) {
    let (plaintext, for_recipient) = (plaintext.map(Blob::new), for_recipient.map(Blob::new));
    let got = check_reply(ARN, key_id, plaintext.as_ref(), for_recipient.as_ref());
    assert_eq!(got, expect.map_err(KmsError::BadReply));
}

#[test]
fn a_reply_must_name_the_key_and_carry_nothing_in_plain() {
    reply(Some(ARN), None, Some(b"cms"), Ok(b"cms"));
    reply(Some(ARN), Some(b""), Some(b"cms"), Ok(b"cms"));
    reply(None, None, Some(b"cms"), Err("KeyId is another key's"));
    reply(Some("1234abcd-12ab-34cd-56ef-1234567890ab"), None, Some(b"cms"), Err("KeyId is another key's"));
    reply(Some("arn:aws:kms:eu-central-1:111122223333:key/other"), None, Some(b"cms"), Err("KeyId is another key's"));
    reply(Some(ARN), Some(b"x"), Some(b"cms"), Err("Plaintext is present"));
    reply(Some(ARN), None, None, Err("CiphertextForRecipient is absent"));
    reply(Some(ARN), None, Some(b""), Err("CiphertextForRecipient is absent"));
}

#[test]
fn wrapped_and_opened_keys_have_their_lengths() {
    let wrapped = |length: usize| wrapped_of(Some(&Blob::new(vec![1; length]))).is_ok();
    assert!(wrapped(1) && wrapped(WRAPPED_KEK_BYTES_MAX));
    assert!(!wrapped(0) && !wrapped(WRAPPED_KEK_BYTES_MAX + 1));
    assert!(wrapped_of(None).is_err());
    for (length, expect) in [(0, false), (16, false), (31, false), (32, true), (33, false), (64, false)] {
        assert_eq!(kek_of(Secret::new(vec![1; length])).is_ok(), expect, "{length}");
    }
}

fn key() -> KeyMetadataBuilder {
    KeyMetadata::builder()
        .key_id("1234abcd-12ab-34cd-56ef-1234567890ab")
        .arn(ARN)
        .origin(OriginType::AwsKms)
        .multi_region(false)
        .key_spec(KeySpec::SymmetricDefault)
        .key_usage(KeyUsageType::EncryptDecrypt)
        .key_state(KeyState::Enabled)
        .enabled(true)
}

fn facts(key: KeyMetadataBuilder, expect: Option<&'static str>) {
    assert_eq!(check_facts(&key.build().unwrap(), ARN).err(), expect.map(KmsError::BadReply));
}

#[test]
fn each_fact_of_the_key_is_checked() {
    facts(key(), None);
    facts(key().arn("arn:aws:kms:eu-central-1:111122223333:key/other"), Some("DescribeKey: another key"));
    facts(key().set_arn(None), Some("DescribeKey: another key"));
    for origin in [OriginType::External, OriginType::AwsCloudhsm, OriginType::ExternalKeyStore] {
        facts(key().origin(origin), Some("DescribeKey: Origin is not AWS_KMS"));
    }
    facts(key().set_origin(None), Some("DescribeKey: Origin is not AWS_KMS"));
    facts(key().multi_region(true), Some("DescribeKey: the key is multi-Region"));
    facts(key().set_multi_region(None), Some("DescribeKey: the key is multi-Region"));
    facts(key().key_spec(KeySpec::Rsa2048), Some("DescribeKey: KeySpec is not SYMMETRIC_DEFAULT"));
    facts(key().key_usage(KeyUsageType::SignVerify), Some("DescribeKey: KeyUsage is not ENCRYPT_DECRYPT"));
    for state in [KeyState::Disabled, KeyState::PendingDeletion, KeyState::Unavailable] {
        facts(key().key_state(state), Some("DescribeKey: the key is not enabled"));
    }
    facts(key().enabled(false), Some("DescribeKey: the key is not enabled"));
}
