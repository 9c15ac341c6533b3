use super::*;
use crate::devkms::Place;
use crate::devkms::authorization::Principal;

mod conditions;

const ACCOUNT: &str = "111122223333";
const ENCLAVE: &str = "arn:aws:iam::111122223333:user/ENCLAVE";
const ADMIN: &str = "arn:aws:iam::111122223333:user/ADMIN";
/// 2026-11-22T12:00:00Z.
const NOW_MS: u64 = 1_795_348_800_000;
const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/k";

/// PCR0 is 48 times 0x0a, PCR16 48 times 0x16; context {tenant: t, role: client}.
fn allows(policy: &str, action: &str, principal: &str, attested: bool) -> bool {
    decide(policy, action, principal, attested) == Decision::Allowed
}

fn caller(user: &str) -> Caller {
    let place = Place::new("eu-central-1", ACCOUNT).unwrap();
    Caller { principal: Principal::user(&place, user), source_ip: "203.0.113.7".parse().unwrap() }
}

fn decide(policy: &str, action: &str, principal: &str, attested: bool) -> Decision {
    let caller = caller(principal.rsplit('/').next().unwrap());
    let pcrs = Pcrs::from([(0, [0x0a; 48]), (16, [0x16; 48])]);
    let context =
        EncryptionContext::from([("tenant".to_owned(), "t".to_owned()), ("role".to_owned(), "client".to_owned())]);
    KeyPolicy::parse(policy).unwrap().decide(&Request {
        action,
        caller: &caller,
        account: ACCOUNT,
        key_arn: KEY,
        context: &context,
        pcrs: attested.then_some(&pcrs),
        facts: &[(Fact::PendingWindowInDays, "30".to_owned())],
        now_ms: NOW_MS,
    })
}

fn policy(statements: &[String]) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

fn statement(effect: &str, action: &str, condition: &str) -> String {
    format!(r#"{{"Effect":"{effect}","Principal":"*","Action":{action},"Resource":"*","Condition":{condition}}}"#)
}

/// A policy of one Allow with a condition; placeholders stand for PCR values.
fn with_condition(condition: &str) -> String {
    let condition = condition.replace("PCR0_VALUE", &"0a".repeat(48)).replace("PCR16_VALUE", &"16".repeat(48));
    policy(&[statement("Allow", "\"kms:Decrypt\"", &condition)])
}

#[test]
fn nothing_is_allowed_by_default_and_deny_wins() {
    let allow = statement("Allow", "[\"kms:Decrypt\",\"kms:Generate*\"]", "{}");
    let deny = statement("Deny", "\"kms:GenerateDataKey\"", "{}");
    for (statements, action, expect) in [
        (vec![allow.clone()], "kms:Decrypt", true),
        (vec![allow.clone()], "kms:GenerateDataKey", true),
        (vec![allow.clone()], "kms:Encrypt", false),
        (vec![allow.clone(), deny.clone()], "kms:GenerateDataKey", false),
        (vec![deny.clone(), allow.clone()], "kms:GenerateDataKey", false),
        (vec![deny.clone(), allow.clone()], "kms:Decrypt", true),
        (vec![deny], "kms:Decrypt", false),
        (vec![statement("Allow", "\"*\"", "{}")], "kms:PutKeyPolicy", true),
        (vec![statement("Allow", "\"KMS:decrypt\"", "{}")], "kms:Decrypt", true),
        (vec![allow.replace("\"Resource\":\"*\"", &format!("\"Resource\":\"{KEY}\""))], "kms:Decrypt", true),
        (vec![allow.replace("\"Resource\":\"*\"", "\"Resource\":\"arn:aws:kms:*:key/other\"")], "kms:Decrypt", false),
    ] {
        assert_eq!(allows(&policy(&statements), action, ENCLAVE, false), expect, "{action} {statements:?}");
    }
}

#[test]
fn principals() {
    for (principal, enclave, admin) in [
        ("\"*\"", true, true),
        ("{\"AWS\":\"*\"}", true, true),
        ("{\"AWS\":\"111122223333\"}", true, true),
        ("{\"AWS\":\"arn:aws:iam::111122223333:root\"}", true, true),
        ("{\"AWS\":\"arn:aws:iam::111122223333:user/ENCLAVE\"}", true, false),
        ("{\"AWS\":[\"arn:aws:iam::111122223333:user/ADMIN\",\"444455556666\"]}", false, true),
        ("{\"AWS\":\"444455556666\"}", false, false),
        ("{\"AWS\":\"arn:aws:iam::444455556666:user/ENCLAVE\"}", false, false),
        ("{\"AWS\":\"arn:aws:iam::111122223333:role/ENCLAVE\"}", false, false),
    ] {
        let text = policy(&[
            statement("Allow", "\"kms:*\"", "{}").replace("\"*\",\"Action\"", &format!("{principal},\"Action\""))
        ]);
        assert_eq!(allows(&text, "kms:Decrypt", ENCLAVE, false), enclave, "{principal}");
        assert_eq!(allows(&text, "kms:Decrypt", ADMIN, false), admin, "{principal}");
    }
}

#[test]
fn conditions() {
    // The condition; whether it lets an attested call through; and one without attestation.
    for (condition, attested, plain) in [
        (r#"{"StringEquals":{"kms:RecipientAttestation:ImageSha384":"PCR0_VALUE"}}"#, true, false),
        (r#"{"StringEqualsIgnoreCase":{"kms:RecipientAttestation:PCR0":"0APCR"}}"#, false, false),
        (r#"{"StringEqualsIgnoreCase":{"KMS:recipientattestation:pcr16":["x","PCR16_VALUE"]}}"#, true, false),
        (
            r#"{"StringEquals":{"kms:RecipientAttestation:PCR0":"PCR0_VALUE","kms:RecipientAttestation:PCR16":"PCR16_VALUE"}}"#,
            true,
            false,
        ),
        (
            r#"{"StringEquals":{"kms:RecipientAttestation:PCR0":"PCR0_VALUE","kms:RecipientAttestation:PCR16":"PCR0_VALUE"}}"#,
            false,
            false,
        ),
        (
            r#"{"StringEquals":{"kms:RecipientAttestation:PCR0":"PCR0_VALUE"},"StringLike":{"kms:EncryptionContext:role":"custodian"}}"#,
            false,
            false,
        ),
        (r#"{"StringEquals":{"kms:RecipientAttestation:PCR17":"PCR16_VALUE"}}"#, false, false),
        (r#"{"StringLike":{"kms:RecipientAttestation:PCR0":"*"}}"#, true, false),
        (r#"{"StringLike":{"kms:EncryptionContext:role":"cl?e*"}}"#, true, true),
        (r#"{"StringEquals":{"kms:EncryptionContext:role":"client"}}"#, true, true),
        (r#"{"StringEquals":{"kms:EncryptionContext:role":"cl*"}}"#, false, false),
        (r#"{"StringEquals":{"kms:EncryptionContext:role":"Client"}}"#, false, false),
        (r#"{"StringEqualsIgnoreCase":{"kms:EncryptionContext:role":"CLIENT"}}"#, true, true),
        (r#"{"StringEquals":{"kms:EncryptionContext:Role":"client"}}"#, true, true),
        (r#"{"StringNotEquals":{"kms:RecipientAttestation:PCR0":"PCR0_VALUE"}}"#, false, true),
        (r#"{"StringNotEqualsIgnoreCase":{"kms:EncryptionContext:role":["a","b"]}}"#, true, true),
        (r#"{"StringNotLike":{"kms:EncryptionContext:role":["a","c*"]}}"#, false, false),
        (r#"{"Null":{"kms:RecipientAttestation:PCR0":"false"}}"#, true, false),
        (r#"{"Null":{"kms:RecipientAttestation:PCR0":true}}"#, false, true),
        (r#"{"Null":{"kms:EncryptionContext:missing":"true"}}"#, true, true),
        (r#"{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["tenant","role","epoch"]}}"#, true, true),
        (r#"{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":"tenant"}}"#, false, false),
        (r#"{"ForAnyValue:StringEquals":{"kms:EncryptionContextKeys":"tenant"}}"#, true, true),
        (r#"{"ForAnyValue:StringEquals":{"kms:EncryptionContextKeys":"epoch"}}"#, false, false),
        // AWS's own trap: it holds where the key is missing.
        (r#"{"ForAllValues:StringEquals":{"kms:RecipientAttestation:PCR0":"PCR16_VALUE"}}"#, false, true),
    ] {
        let text = with_condition(condition);
        assert_eq!(allows(&text, "kms:Decrypt", ENCLAVE, true), attested, "attested: {condition}");
        assert_eq!(allows(&text, "kms:Decrypt", ENCLAVE, false), plain, "plain: {condition}");
    }
}

#[test]
fn deny_unless_attested() {
    let text = policy(&[
        statement("Allow", "\"kms:*\"", "{}"),
        statement(
            "Deny",
            "[\"kms:Decrypt\",\"kms:GenerateDataKey\"]",
            &format!(r#"{{"StringNotEquals":{{"kms:RecipientAttestation:PCR0":"{}"}}}}"#, "0a".repeat(48)),
        ),
    ]);
    assert!(allows(&text, "kms:Decrypt", ENCLAVE, true));
    assert!(!allows(&text, "kms:Decrypt", ENCLAVE, false));
    assert!(allows(&text, "kms:DescribeKey", ENCLAVE, false));
}

#[test]
fn what_is_not_understood_is_refused() {
    let good = statement("Allow", "\"kms:Decrypt\"", "{}");
    let edit = |from: &str, to: &str| policy(&[good.replace(from, to)]);
    let principal = |to: &str| edit("\"Principal\":\"*\"", &format!("\"Principal\":{to}"));
    for (text, expect) in [
        (String::new(), "EOF"),
        ("{}".to_owned(), "has no Version"),
        (policy(&[]), "Statement is empty"),
        (policy(std::slice::from_ref(&good)).replace("2012-10-17", "2012-10-18"), "its Version"),
        (
            policy(std::slice::from_ref(&good)).replace("\"Version\"", "\"More\":1,\"Version\""),
            "\"More\" is no field of the policy",
        ),
        (edit("\"Allow\"", "\"Permit\""), "\"Permit\" is no Effect"),
        (edit("\"Effect\"", "\"NotAction\":\"*\",\"Effect\""), "one of Action and NotAction"),
        (edit("\"Action\"", "\"Action\":\"kms:*\",\"Action\""), "\"Action\" is there twice"),
        (edit("\"kms:Decrypt\"", "[]"), "Action is empty"),
        (edit("kms:Decrypt", "kms:Decrpt"), "matches no action"),
        (edit("kms:Decrypt", "s3:GetObject"), "matches no action"),
        (edit("kms:Decrypt", ""), "matches no action"),
        (edit("\"Resource\":\"*\"", "\"Resource\":\"arn:aws:s3:::x\""), "no Resource"),
        (edit("\"Resource\":\"*\"", "\"Resource\":[]"), "Resource is empty"),
        (principal("\"111122223333\""), "no Principal"),
        (principal("{}"), "Principal has no AWS"),
        (principal("{\"AWS\":[]}"), "Principal is empty"),
        (principal("{\"Service\":\"ec2.amazonaws.com\"}"), "Principal has no AWS"),
        (principal("{\"AWS\":\"*\",\"Service\":\"ec2.amazonaws.com\"}"), "\"Service\" is no field of Principal"),
        (principal("{\"AWS\":\"arn:aws:iam::111122223333:user/*\"}"), "no principal"),
        (principal("{\"AWS\":\"arn:aws:iam::1111:root\"}"), "no principal"),
        (principal("{\"AWS\":\"nobody\"}"), "no principal"),
        (with_condition(r#"{"StringEqual":{"kms:EncryptionContext:a":"b"}}"#), "no operator"),
        (with_condition(r#"{"StringEqualsIfExist":{"kms:EncryptionContext:a":"b"}}"#), "no operator"),
        (with_condition(r#"{"ForSomeValues:StringEquals":{"kms:EncryptionContextKeys":"b"}}"#), "no operator"),
        (with_condition(r#"{"NumericEquals":{"kms:EncryptionContext:a":"1"}}"#), "does not go with"),
        (with_condition(r#"{"StringEquals":{"kms:EncryptionContextKeys":"b"}}"#), "needs ForAnyValue"),
        (with_condition(r#"{"StringEquals":{"kms:EncryptionContext:":"b"}}"#), "no condition key"),
        (with_condition(r#"{"StringEquals":{"kms:RecipientAttestation:PCR32":"b"}}"#), "no condition key"),
        (with_condition(r#"{"StringEquals":{"kms:RecipientAttestation:PCR00":"b"}}"#), "no condition key"),
        (with_condition(r#"{"StringEquals":{"kms:RecipientAttestation:PCR":"b"}}"#), "no condition key"),
        (with_condition(r#"{"StringEquals":{"kms:RecipientAttestation:NitroTPMPCR4":"b"}}"#), "no condition key"),
        (with_condition(r#"{"StringEquals":{"aws:PrincipalTag/team":"b"}}"#), "no condition key"),
        (with_condition(r#"{"StringEquals":{"kms:EncryptionContext:a":[]}}"#), "is empty"),
        (with_condition(r#"{"StringEquals":{"kms:EncryptionContext:a":{}}}"#), "a value of"),
        (
            with_condition(r#"{"StringEquals":{"kms:EncryptionContext:a":"1","kms:EncryptionContext:a":"2"}}"#),
            "\"kms:EncryptionContext:a\" is there twice",
        ),
        (with_condition(r#"{"Null":{"kms:EncryptionContext:a":"maybe"}}"#), "needs"),
        (with_condition(r#"{"Null":{"kms:EncryptionContext:a":["true","false"]}}"#), "needs"),
        (with_condition(r#"{"NullIfExists":{"kms:EncryptionContext:a":"true"}}"#), "no operator"),
        (with_condition(r#"{"ForAnyValue:Null":{"kms:EncryptionContext:a":"true"}}"#), "no operator"),
        (with_condition(r#"{"BinaryEquals":{"kms:EncryptionContext:a":"AA=="}}"#), "\"BinaryEquals\" is no operator"),
        (with_condition(r#"{"NumericLike":{"aws:EpochTime":"1"}}"#), "no operator"),
        (with_condition(r#"{"NumericEquals":{"aws:EpochTime":"1.5"}}"#), "is not an integer"),
        (with_condition(r#"{"DateLessThan":{"aws:CurrentTime":"soon"}}"#), "\"soon\" is not a date"),
        (with_condition(r#"{"DateLessThan":{"kms:CallerAccount":"2026-01-01"}}"#), "does not go with"),
        (with_condition(r#"{"Bool":{"aws:SecureTransport":"yes"}}"#), "is not \"true\" or \"false\""),
        (with_condition(r#"{"Bool":{"kms:EncryptionContext:a":"true"}}"#), "does not go with"),
        (with_condition(r#"{"IpAddress":{"aws:SourceIp":"203.0.113.0/33"}}"#), "is not an address range"),
        (with_condition(r#"{"IpAddress":{"kms:ViaService":"203.0.113.0/24"}}"#), "does not go with"),
        (with_condition(r#"{"ArnLike":{"aws:PrincipalArn":"*"}}"#), "is not an ARN"),
        (with_condition(r#"{"ArnLike":{"aws:SourceIp":"arn:aws:iam::1:x"}}"#), "does not go with"),
        (with_condition(r#"{"StringEquals":{"aws:CalledVia":"x"}}"#), "needs ForAnyValue"),
        (with_condition(r#"{"StringEquals":{"kms:EncryptionContext:a":"${aws:username}"}}"#), "policy variable"),
        (with_condition(r#"{"StringEquals":"x"}"#), "StringEquals is no object"),
        (edit("\"Resource\":\"*\"", "\"Resource\":\"arn:aws:kms:*:*:key/${aws:username}\""), "policy variable"),
        (edit("\"Principal\":\"*\"", "\"NotPrincipal\":{\"AWS\":\"*\"}"), "has no Principal"),
        (edit("\"Effect\"", "\"NotPrincipal\":{\"AWS\":\"*\"},\"Effect\""), "\"NotPrincipal\" is no field"),
        (edit("\"Resource\":\"*\",", ""), "one of Resource and NotResource"),
        (edit("\"Effect\"", "\"Sid\":1,\"Effect\""), "Sid is no string"),
        (edit("\"kms:Decrypt\"", "7"), "Action is no string"),
    ] {
        let error = KeyPolicy::parse(&text).unwrap_err();
        assert_eq!(error.kind, Kind::MalformedPolicyDocument);
        assert!(error.message.contains(expect), "wanted {expect:?}, got {:?}: {text}", error.message);
    }
}

#[test]
fn the_length_has_an_edge() {
    let good = policy(&[statement("Allow", "\"kms:Decrypt\"", "{}")]);
    let padded = |length: usize| format!("{good}{}", " ".repeat(length - good.len()));
    assert!(KeyPolicy::parse(&padded(POLICY_BYTES_MAX)).is_ok());
    let error = KeyPolicy::parse(&padded(POLICY_BYTES_MAX + 1)).unwrap_err();
    assert!(error.message.contains("more than"), "{}", error.message);
}

#[test]
fn the_default_policy_is_what_its_text_says() {
    let default = KeyPolicy::default_of(ACCOUNT);
    let parsed = KeyPolicy::parse(default.text()).unwrap();
    let context = EncryptionContext::new();
    for (account, expect) in [(ACCOUNT, Decision::Allowed), ("444455556666", Decision::NotAllowed)] {
        let request = Request {
            action: "kms:Encrypt",
            caller: &caller("ADMIN"),
            account,
            key_arn: KEY,
            context: &context,
            pcrs: None,
            facts: &[],
            now_ms: NOW_MS,
        };
        assert_eq!((default.decide(&request), parsed.decide(&request)), (expect, expect));
    }
}
