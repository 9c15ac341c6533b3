use super::*;

#[test]
fn a_data_key_is_made_without_showing_it() {
    let f = Fixture::new();
    let made = f.call("U", Operation::CreateKey, &json!({})).unwrap();
    let key = made["KeyMetadata"]["Arn"].as_str().unwrap();
    for (field, value, length) in
        [("KeySpec", json!("AES_256"), 32), ("KeySpec", json!("AES_128"), 16), ("NumberOfBytes", json!(64), 64)]
    {
        let mut body = json!({"KeyId": key, "EncryptionContext": client()});
        body[field] = value;
        let answer = f.call("U", Operation::GenerateDataKeyWithoutPlaintext, &body).unwrap();
        let names: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!((names, answer["KeyId"].as_str()), (vec!["CiphertextBlob", "KeyId"], Some(key)));
        let opened = json!({"CiphertextBlob": answer["CiphertextBlob"], "EncryptionContext": client()});
        let opened = f.call("U", Operation::Decrypt, &opened).unwrap();
        assert_eq!(STANDARD.decode(opened["Plaintext"].as_str().unwrap()).unwrap().len(), length);
    }
    for (body, kind) in [
        (json!({"KeyId": key}), Kind::Validation),
        (json!({"KeyId": key, "KeySpec": "AES_256", "NumberOfBytes": 32}), Kind::Validation),
        (json!({"KeyId": key, "KeySpec": "RSA_2048"}), Kind::Validation),
        (json!({"KeyId": key, "NumberOfBytes": 1025}), Kind::Validation),
        (json!({"KeyId": key, "KeySpec": "AES_256", "Recipient": f.recipient()}), Kind::Serialization),
        (json!({"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": {"a": "1", "A": "2"}}), Kind::Validation),
        (json!({"KeyId": key, "KeySpec": "AES_256", "DryRun": true}), Kind::DryRunOperation),
    ] {
        f.refused("U", Operation::GenerateDataKeyWithoutPlaintext, &body, kind);
    }
    // To see a data key and to make one unseen are two permissions.
    let operations = [Operation::GenerateDataKey, Operation::GenerateDataKeyWithoutPlaintext];
    for (at, action) in ["kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext"].into_iter().enumerate() {
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": [action, "kms:PutKeyPolicy"], "Resource": "*"}]});
        let made = f.call("U", Operation::CreateKey, &json!({"Policy": policy.to_string()})).unwrap();
        let body = json!({"KeyId": made["KeyMetadata"]["KeyId"], "KeySpec": "AES_256"});
        f.call("U", operations[at], &body).unwrap();
        f.refused("U", operations[1 - at], &body, Kind::AccessDenied);
    }
}

#[test]
fn what_the_operation_says_of_itself_reaches_the_policy() {
    let f = Fixture::new();
    let statement = |condition: Value| {
        let rest =
            json!({"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": condition});
        let all = json!({"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"});
        json!({"Policy": json!({"Version": "2012-10-17", "Statement": [all, rest]}).to_string()})
    };
    let make = |condition: Value| {
        f.call("U", Operation::CreateKey, &statement(condition)).unwrap()["KeyMetadata"]["KeyId"].clone()
    };
    let window = "kms:ScheduleKeyDeletionPendingWindowInDays";
    let key = make(json!({"NumericLessThan": {window: "30"}}));
    f.refused(
        "U",
        Operation::ScheduleKeyDeletion,
        &json!({"KeyId": key, "PendingWindowInDays": 29}),
        Kind::AccessDenied,
    );
    f.call("U", Operation::ScheduleKeyDeletion, &json!({"KeyId": key})).unwrap();
    let key = make(json!({"Bool": {"kms:ReEncryptOnSameKey": "true"}}));
    let other = make(json!({"Bool": {"aws:SecureTransport": "false"}}));
    let blob =
        f.call("U", Operation::Encrypt, &json!({"KeyId": key, "Plaintext": "AAAA"})).unwrap()["CiphertextBlob"].clone();
    let to = |key: &Value| json!({"CiphertextBlob": blob, "DestinationKeyId": key});
    f.refused("U", Operation::ReEncrypt, &to(&key), Kind::AccessDenied);
    f.call("U", Operation::ReEncrypt, &to(&other)).unwrap();
    let key = make(json!({"Bool": {"kms:BypassPolicyLockoutSafetyCheck": "true"}}));
    let policy = statement(json!({"Bool": {"aws:SecureTransport": "false"}}))["Policy"].clone();
    let put = |bypass: bool| json!({"KeyId": key, "Policy": policy, "BypassPolicyLockoutSafetyCheck": bypass});
    f.refused("U", Operation::PutKeyPolicy, &put(true), Kind::AccessDenied);
    f.call("U", Operation::PutKeyPolicy, &put(false)).unwrap();
    let key = make(json!({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}, "StringEquals": {"aws:username": "OTHER"}}));
    f.call("U", Operation::DescribeKey, &json!({"KeyId": key})).unwrap();
    let denied = f.call("OTHER", Operation::DescribeKey, &json!({"KeyId": key})).unwrap_err();
    assert!(denied.message.contains("with an explicit deny"), "{}", denied.message);
    let denied = f.call("NOBODY", Operation::DisableKey, &json!({"KeyId": f.attested_key()})).unwrap_err();
    assert!(denied.message.contains("because no resource-based policy allows"), "{}", denied.message);
}
