use super::*;

/// A user ONE who calls Decrypt from 203.0.113.7 on 2026-11-22 at noon, with context {tenant: t, role: client}, unattested.
fn holds(condition: &str) -> bool {
    allows(&with_condition(condition), "kms:Decrypt", "user/ONE", false)
}

#[test]
fn keys_of_the_request_and_of_the_caller() {
    let user = "arn:aws:iam::111122223333:user/ONE";
    for (key, equal, other) in [
        ("kms:CallerAccount", ACCOUNT, "444455556666"),
        ("aws:PrincipalAccount", ACCOUNT, "444455556666"),
        ("aws:ResourceAccount", ACCOUNT, "444455556666"),
        ("aws:PrincipalArn", user, "arn:aws:iam::111122223333:user/TWO"),
        ("AWS:principalarn", user, "one"),
        ("aws:username", "ONE", "one"),
        ("aws:PrincipalType", "User", "AssumedRole"),
        ("aws:RequestedRegion", "eu-central-1", "us-east-1"),
        ("aws:SourceIp", "203.0.113.7", "203.0.113.8"),
        ("aws:SecureTransport", "true", "false"),
        ("aws:ViaAWSService", "false", "true"),
        ("aws:EpochTime", "1795348800", "1795348801"),
        ("aws:CurrentTime", "2026-11-22T12:00:00Z", "2026-11-22T12:00:01Z"),
        ("kms:KeySpec", "SYMMETRIC_DEFAULT", "RSA_2048"),
        ("kms:KeyUsage", "ENCRYPT_DECRYPT", "SIGN_VERIFY"),
        ("kms:KeyOrigin", "AWS_KMS", "EXTERNAL"),
        ("kms:MultiRegion", "false", "true"),
        ("kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_256"),
        ("kms:ScheduleKeyDeletionPendingWindowInDays", "30", "7"),
    ] {
        assert!(holds(&format!(r#"{{"StringEquals":{{"{key}":["x","{equal}"]}}}}"#)), "{key}");
        assert!(!holds(&format!(r#"{{"StringEquals":{{"{key}":"{other}"}}}}"#)), "{key}");
        assert!(!holds(&format!(r#"{{"StringNotEquals":{{"{key}":["{other}","{equal}"]}}}}"#)), "{key}");
        assert!(holds(&format!(r#"{{"Null":{{"{key}":"false"}}}}"#)), "{key}");
    }
    let algorithm = with_condition(r#"{"Null":{"kms:EncryptionAlgorithm":"true"}}"#).replace("kms:Decrypt", "kms:*");
    assert!(allows(&algorithm, "kms:DescribeKey", ENCLAVE, false));
    assert!(!allows(&algorithm, "kms:ReEncryptTo", ENCLAVE, false));
}

#[test]
fn keys_that_no_request_has() {
    for (key, plain) in [
        ("kms:ViaService", "StringEquals"),
        ("kms:GrantIsForAWSResource", "Bool"),
        ("kms:RequestAlias", "StringLike"),
        ("kms:ReEncryptOnSameKey", "Bool"),
        ("kms:BypassPolicyLockoutSafetyCheck", "Bool"),
        ("aws:PrincipalOrgID", "StringEquals"),
        ("aws:SourceVpce", "StringEquals"),
        ("aws:SourceArn", "ArnLike"),
        ("aws:MultiFactorAuthPresent", "Bool"),
        ("kms:EncryptionContext:missing", "ArnLike"),
        ("kms:RecipientAttestation:PCR0", "StringEqualsIgnoreCase"),
    ] {
        let value = if plain == "Bool" { "true" } else { "arn:a:b:c:d:e" };
        let condition = |operator: &str| format!(r#"{{"{operator}":{{"{key}":"{value}"}}}}"#);
        assert!(!holds(&condition(plain)), "{key}");
        assert!(holds(&condition(&format!("{plain}IfExists"))), "{key}");
        assert!(holds(&condition("StringNotEquals")), "{key}: a negated comparison holds where the key is missing");
        assert!(holds(&condition("StringNotEqualsIfExists")), "{key}");
        assert!(holds(&format!(r#"{{"Null":{{"{key}":true}}}}"#)), "{key}");
        assert!(!holds(&format!(r#"{{"Null":{{"{key}":false}}}}"#)), "{key}");
        assert!(holds(&condition(&format!("ForAllValues:{plain}"))), "{key}: nothing is all of nothing");
        assert!(!holds(&condition(&format!("ForAnyValue:{plain}"))), "{key}");
        assert!(!holds(&condition("ForAnyValue:StringNotEquals")), "{key}");
        assert!(holds(&condition(&format!("ForAnyValue:{plain}IfExists"))), "{key}");
    }
}

#[test]
fn operators() {
    for (condition, expect) in [
        (r#"{"NumericLessThanEquals":{"kms:ScheduleKeyDeletionPendingWindowInDays":30}}"#, true),
        (r#"{"NumericLessThan":{"kms:ScheduleKeyDeletionPendingWindowInDays":"30"}}"#, false),
        (r#"{"NumericNotEquals":{"kms:ScheduleKeyDeletionPendingWindowInDays":["7","30"]}}"#, false),
        (r#"{"NumericNotEquals":{"kms:ScheduleKeyDeletionPendingWindowInDays":"7"}}"#, true),
        (r#"{"NumericGreaterThanIfExists":{"aws:EpochTime":1795348799}}"#, true),
        (r#"{"DateGreaterThan":{"aws:CurrentTime":"2026-11-22"}}"#, true),
        (r#"{"DateLessThan":{"aws:CurrentTime":"2026-11-22T13:00:00+01:00"}}"#, false),
        (r#"{"DateLessThanEquals":{"aws:CurrentTime":"2026-11-22T13:00:00+01:00"}}"#, true),
        (r#"{"DateGreaterThanEquals":{"aws:EpochTime":"2026-11-23"}}"#, false),
        (r#"{"DateEquals":{"aws:EpochTime":"1795348800"}}"#, true),
        (r#"{"DateNotEquals":{"aws:CurrentTime":"1795348800"}}"#, false),
        (r#"{"Bool":{"aws:SecureTransport":true}}"#, true),
        (r#"{"Bool":{"aws:SecureTransport":"false"}}"#, false),
        (r#"{"BoolIfExists":{"aws:SecureTransport":"false"}}"#, false),
        (r#"{"IpAddress":{"aws:SourceIp":["198.51.100.0/24","203.0.113.0/24"]}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":"198.51.100.0/24"}}"#, false),
        (r#"{"NotIpAddress":{"aws:SourceIp":["198.51.100.0/24","203.0.113.0/24"]}}"#, false),
        (r#"{"NotIpAddress":{"aws:SourceIp":"2001:db8::/32"}}"#, true),
        (r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:user/O*"}}"#, true),
        (r#"{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:user/T*"}}"#, false),
        (r#"{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:user/*"}}"#, false),
        (r#"{"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/*"}}"#, true),
        (r#"{"ArnLike":{"kms:EncryptionContext:role":"arn:*:*:*:*:*"}}"#, false),
        (r#"{"ArnNotLike":{"kms:EncryptionContext:role":"arn:*:*:*:*:*"}}"#, true),
        (r#"{"StringNotLike":{"aws:username":["T*","O?E"]}}"#, false),
        (r#"{"StringLikeIfExists":{"aws:username":"T*"}}"#, false),
        (r#"{"StringNotEqualsIgnoreCase":{"aws:username":"one"}}"#, false),
        (r#"{"ForAllValues:StringLike":{"kms:EncryptionContextKeys":["t*","r*"]}}"#, true),
        (r#"{"ForAllValues:StringNotEquals":{"kms:EncryptionContextKeys":["epoch","role"]}}"#, false),
        (r#"{"ForAllValues:StringNotEquals":{"kms:EncryptionContextKeys":["epoch"]}}"#, true),
        (r#"{"ForAnyValue:StringNotEquals":{"kms:EncryptionContextKeys":["role"]}}"#, true),
        (r#"{"ForAnyValue:StringNotEquals":{"kms:EncryptionContextKeys":["role","tenant"]}}"#, false),
        (r#"{"ForAnyValue:StringEquals":{"kms:EncryptionContextKeys":"Role"}}"#, false),
        (r#"{"ForAnyValue:StringEqualsIgnoreCase":{"kms:EncryptionContextKeys":"ROLE"}}"#, true),
        (r#"{"ForAllValues:StringEquals":{"aws:CalledVia":"x"}}"#, true),
        // Two operators, two keys: all must hold.
        (r#"{"Bool":{"aws:SecureTransport":"true"},"StringEquals":{"aws:username":"TWO"}}"#, false),
        (r#"{"StringEquals":{"aws:username":"ONE","kms:CallerAccount":"444455556666"}}"#, false),
    ] {
        assert_eq!(holds(condition), expect, "{condition}");
    }
}

#[test]
fn an_empty_value_is_none_for_all_values_alone() {
    let context = EncryptionContext::from([("a".to_owned(), String::new())]);
    for (condition, expect) in [
        (r#"{"ForAllValues:StringEquals":{"kms:EncryptionContext:a":"x"}}"#, Decision::Allowed),
        (r#"{"StringEquals":{"kms:EncryptionContext:a":"x"}}"#, Decision::NotAllowed),
        (r#"{"StringEquals":{"kms:EncryptionContext:a":""}}"#, Decision::Allowed),
        (r#"{"Null":{"kms:EncryptionContext:a":"false"}}"#, Decision::Allowed),
    ] {
        let request = Request {
            action: "kms:Decrypt",
            caller: &caller("ONE"),
            account: ACCOUNT,
            key_arn: KEY,
            context: &context,
            pcrs: None,
            facts: &[],
            now_ms: NOW_MS,
        };
        assert_eq!(KeyPolicy::parse(&with_condition(condition)).unwrap().decide(&request), expect, "{condition}");
    }
}

#[test]
fn not_action_and_not_resource() {
    let base = statement("Allow", "\"kms:Decrypt\"", "{}");
    let other = "\"Resource\":\"arn:aws:kms:eu-central-1:111122223333:key/other\"";
    for (text, action, expect) in [
        (base.replace("\"Action\"", "\"NotAction\""), "kms:Decrypt", Decision::NotAllowed),
        (base.replace("\"Action\"", "\"NotAction\""), "kms:Encrypt", Decision::Allowed),
        (
            base.replace("\"Action\":\"kms:Decrypt\"", "\"NotAction\":[\"kms:D*\",\"kms:Put*\"]"),
            "kms:PutKeyPolicy",
            Decision::NotAllowed,
        ),
        (base.replace("\"Resource\"", "\"NotResource\""), "kms:Decrypt", Decision::NotAllowed),
        (
            base.replace("\"Resource\":\"*\"", &other.replace("Resource", "NotResource")),
            "kms:Decrypt",
            Decision::Allowed,
        ),
        (base.replace("\"Resource\":\"*\"", other), "kms:Decrypt", Decision::NotAllowed),
        (base.replace("\"Action\"", "\"NotAction\"").replace("Allow", "Deny"), "kms:Encrypt", Decision::Denied),
        (base.replace("\"Action\"", "\"NotAction\"").replace("Allow", "Deny"), "kms:Decrypt", Decision::NotAllowed),
    ] {
        assert_eq!(decide(&policy(std::slice::from_ref(&text)), action, ENCLAVE, false), expect, "{text}");
    }
}

#[test]
fn variables_are_plain_text_in_the_older_language() {
    let text = with_condition(r#"{"StringEquals":{"aws:username":"${aws:username}"}}"#);
    assert!(KeyPolicy::parse(&text).is_err());
    assert!(!allows(&text.replace("2012-10-17", "2008-10-17"), "kms:Decrypt", "user/ONE", false));
}
