use super::*;

const ACCOUNT: &str = "111122223333";
const ENCLAVE: &str = "arn:aws:iam::111122223333:user/ENCLAVE";
const ADMIN: &str = "arn:aws:iam::111122223333:user/ADMIN";
const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/k";

/// PCR0 is 48 times 0x0a, PCR16 48 times 0x16; context {tenant: t, role: client}.
fn allows(policy: &str, action: &str, principal: &str, attested: bool) -> bool {
    let pcrs = Pcrs::from([(0, [0x0a; 48]), (16, [0x16; 48])]);
    let context =
        EncryptionContext::from([("tenant".to_owned(), "t".to_owned()), ("role".to_owned(), "client".to_owned())]);
    KeyPolicy::parse(policy).unwrap().allows(&Request {
        action,
        principal,
        account: ACCOUNT,
        key_arn: KEY,
        context: &context,
        pcrs: attested.then_some(&pcrs),
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
        (r#"{"StringEquals":{"kms:EncryptionContext:Role":"client"}}"#, false, false),
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
        ("{}".to_owned(), "missing field `Version`"),
        (policy(&[]), "Statement is empty"),
        (policy(std::slice::from_ref(&good)).replace("2012-10-17", "2012-10-18"), "its Version"),
        (policy(std::slice::from_ref(&good)).replace("\"Version\"", "\"More\":1,\"Version\""), "unknown field `More`"),
        (edit("\"Allow\"", "\"Permit\""), "did not match"),
        (edit("\"Effect\"", "\"NotAction\":\"*\",\"Effect\""), "did not match"),
        (edit("\"Action\"", "\"Action\":\"kms:*\",\"Action\""), "did not match"),
        (edit("\"kms:Decrypt\"", "[]"), "Action is empty"),
        (edit("kms:Decrypt", "kms:Decrpt"), "matches no action"),
        (edit("kms:Decrypt", "s3:GetObject"), "matches no action"),
        (edit("kms:Decrypt", ""), "matches no action"),
        (edit("\"Resource\":\"*\"", "\"Resource\":\"arn:aws:s3:::x\""), "no resource"),
        (edit("\"Resource\":\"*\"", "\"Resource\":[]"), "Resource is empty"),
        (principal("\"111122223333\""), "no principal"),
        (principal("{}"), "did not match"),
        (principal("{\"AWS\":[]}"), "Principal is empty"),
        (principal("{\"Service\":\"ec2.amazonaws.com\"}"), "did not match"),
        (principal("{\"AWS\":\"arn:aws:iam::111122223333:user/*\"}"), "no principal"),
        (principal("{\"AWS\":\"arn:aws:iam::1111:root\"}"), "no principal"),
        (principal("{\"AWS\":\"nobody\"}"), "no principal"),
        (with_condition(r#"{"StringEqual":{"kms:EncryptionContext:a":"b"}}"#), "no operator"),
        (with_condition(r#"{"StringEqualsIfExists":{"kms:EncryptionContext:a":"b"}}"#), "no operator"),
        (with_condition(r#"{"ForSomeValues:StringEquals":{"kms:EncryptionContextKeys":"b"}}"#), "no operator"),
        (with_condition(r#"{"NumericEquals":{"kms:EncryptionContext:a":"1"}}"#), "no operator"),
        (with_condition(r#"{"StringEquals":{"kms:EncryptionContextKeys":"b"}}"#), "needs ForAnyValue"),
        (with_condition(r#"{"StringEquals":{"kms:EncryptionContext:":"b"}}"#), "no condition key"),
        (with_condition(r#"{"StringEquals":{"kms:RecipientAttestation:PCR32":"b"}}"#), "no condition key"),
        (with_condition(r#"{"StringEquals":{"kms:RecipientAttestation:PCR00":"b"}}"#), "no condition key"),
        (with_condition(r#"{"StringEquals":{"kms:RecipientAttestation:PCR":"b"}}"#), "no condition key"),
        (with_condition(r#"{"StringEquals":{"kms:RecipientAttestation:NitroTPMPCR4":"b"}}"#), "no condition key"),
        (with_condition(r#"{"StringEquals":{"aws:SourceIp":"b"}}"#), "no condition key"),
        (with_condition(r#"{"StringEquals":{"kms:EncryptionContext:a":[]}}"#), "a condition is empty"),
        (with_condition(r#"{"StringEquals":{"kms:EncryptionContext:a":1}}"#), "did not match"),
        (
            with_condition(r#"{"StringEquals":{"kms:EncryptionContext:a":"1","kms:EncryptionContext:a":"2"}}"#),
            "did not match",
        ),
        (with_condition(r#"{"Null":{"kms:EncryptionContext:a":"maybe"}}"#), "needs"),
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
    for (account, expect) in [(ACCOUNT, true), ("444455556666", false)] {
        let request =
            Request { action: "kms:Encrypt", principal: ADMIN, account, key_arn: KEY, context: &context, pcrs: None };
        assert_eq!((default.allows(&request), parsed.allows(&request)), (expect, expect));
    }
}
