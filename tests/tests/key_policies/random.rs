//! Policies put together at random from what policies are made of.

use serde_json::{Value, json};
use strongroom_sdk::key_policy::{Rule, Severity};

use super::super::check;

/// Policies per run in `make test`, and in `make soak`.
const POLICIES: usize = 500;
const POLICIES_SOAK: usize = 20_000;

/// A small generator (Marsaglia's xorshift), so that a printed seed brings the policy back.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())].clone()
    }
}

const OPERATORS: &[&str] = &[
    "StringEquals",
    "StringEqualsIgnoreCase",
    "StringEqualsIfExists",
    "StringEqualsIgnoreCaseIfExists",
    "StringNotEquals",
    "StringNotEqualsIfExists",
    "StringLike",
    "StringNotLike",
    "StringLikeIfExists",
    "ForAllValues:StringEquals",
    "ForAnyValue:StringEquals",
    "ForAllValues:StringNotLike",
    "ForAnyValue:StringNotEquals",
    "Null",
];

const ACTIONS: &[&str] = &[
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "kms:DescribeKey",
    "kms:PutKeyPolicy",
    "kms:Decrypt*",
    "kms:Gen*",
    "kms:*",
    "kms:Encrypt",
    "KMS:decrypt",
    "kms:GetKeyPolicy",
];

fn condition(dice: &mut Dice) -> Value {
    let pcr = |number: &str| format!("kms:RecipientAttestation:{number}");
    let keys = [
        pcr("PCR0"),
        pcr("ImageSha384"),
        pcr("PCR16"),
        pcr("pcr2"),
        pcr("PCR8"),
        "kms:EncryptionContext:role".to_owned(),
    ];
    // Mostly the right form, so that one wrong part stands alone.
    let mut all = json!({});
    let right = ["a0", "16", "client"];
    for (at, key) in [0, 2, 5].into_iter().enumerate() {
        if dice.roll(10) == 0 {
            continue;
        }
        let operator = if dice.roll(8) == 0 { dice.pick(OPERATORS) } else { "StringEquals" };
        let value = if dice.roll(12) == 0 {
            dice.pick(&["00", "a0", "99", "client", "custodian", "c*", "*"])
        } else {
            right[at]
        };
        all[operator][&keys[key]] = value_of(dice, operator, &keys[key], value);
    }
    if dice.roll(4) == 0 {
        let (operator, key) = (dice.pick(OPERATORS), dice.pick(&keys));
        let value = dice.pick(&["a0", "a2", "16", "client", "*", "A0"]);
        all[operator][&key] = value_of(dice, operator, &key, value);
    }
    all
}

fn value_of(dice: &mut Dice, operator: &str, key: &str, value: &str) -> Value {
    if operator == "Null" {
        return dice.pick(&[json!("true"), json!("false"), json!(true)]);
    }
    let long =
        |value: &str| if value.len() == 2 && !key.ends_with("role") { value.repeat(48) } else { value.to_owned() };
    match dice.roll(8) {
        0 => json!([long(value), long("a0")]),
        _ => json!(long(value)),
    }
}

fn statement(dice: &mut Dice) -> Value {
    let role = |name: &str| format!("arn:aws:iam::111122223333:role/{name}");
    let principals = [
        json!({ "AWS": role("client-enclave") }),
        json!({ "AWS": [role("client-enclave")] }),
        json!({ "AWS": role("operator") }),
        json!({ "AWS": role("key-administrator") }),
        json!({ "AWS": "111122223333" }),
        json!("*"),
    ];
    let weight = if dice.roll(3) == 0 { principals.len() } else { 2 };
    let mut statement = json!({
        "Effect": if dice.roll(8) == 0 { "Deny" } else { "Allow" },
        "Principal": principals[dice.roll(weight)],
        "Resource": "*",
    });
    let actions = match dice.roll(5) {
        0 => json!(dice.pick(ACTIONS)),
        1 => json!([dice.pick(ACTIONS), dice.pick(ACTIONS)]),
        _ => json!(["kms:Decrypt", "kms:GenerateDataKey"]),
    };
    statement[if dice.roll(20) == 0 { "NotAction" } else { "Action" }] = actions;
    if dice.roll(6) != 0 {
        statement["Condition"] = condition(dice);
    }
    statement
}

#[test]
fn lint_and_kms_agree_on_policies_made_at_random() {
    let start = std::env::var("STRONGROOM_SEED").ok().map_or(0x5eed_2026, |seed| seed.parse().unwrap());
    let policies = if std::env::var_os("STRONGROOM_SOAK").is_some() { POLICIES_SOAK } else { POLICIES };
    let (mut clean, mut open) = (0, 0);
    for seed in start..start + policies as u64 {
        // Neighbouring seeds start far apart.
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let who = |name: &str| json!({ "AWS": format!("arn:aws:iam::111122223333:role/{name}") });
        let administrator = json!({ "Effect": "Allow", "Principal": who("key-administrator"), "Action": "kms:PutKeyPolicy", "Resource": "*" });
        let describe = json!({ "Effect": "Allow", "Principal": who("client-enclave"), "Action": "kms:DescribeKey", "Resource": "*" });
        let mut statements = vec![administrator, describe];
        statements.extend((0..=dice.roll(2)).map(|_| statement(&mut dice)));
        let text = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        let findings = check(&format!("seed {seed}"), &text, &[0xa0], &[0x16]);
        clean += usize::from(findings.iter().all(|rule| rule.severity() == Severity::Warning));
        open += usize::from(findings.contains(&Rule::UnattestedCall));
    }
    println!("from seed {start}: {clean} of {policies} policies without errors, {open} open");
    assert!(clean > policies / 50 && open > policies / 10, "{clean} without errors, {open} open: the dice are loaded");
}
