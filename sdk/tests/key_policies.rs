//! The table of key policies, good and bad: each file of `key-policies/` with the findings that `findings.txt` lists for it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use strongroom_sdk::key_policy::{Draft, Expected, ImagePcrs, POLICY_BYTES_MAX, Rule, Severity, lint, shared_accounts};
use strongroom_sdk::proto::v1::Role;

const ADMINISTRATOR: &str = "arn:aws:iam::111122223333:role/key-administrator";
const ENCLAVE: &str = "arn:aws:iam::111122223333:role/client-enclave";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/key-policies")
}

fn image(byte: u8) -> ImagePcrs {
    ImagePcrs { pcr0: [byte; 48], pcr1: Some([byte + 1; 48]), pcr2: Some([byte + 2; 48]) }
}

/// The release, and during an upgrade the next one with its manifest.
fn expected(upgrade: bool) -> Expected {
    let (images, manifests): (&[u8], &[u8]) = if upgrade { (&[0xa0, 0xb0], &[0x16, 0x17]) } else { (&[0xa0], &[0x16]) };
    Expected {
        role: Role::Client,
        images: images.iter().map(|byte| image(*byte)).collect(),
        manifests: manifests.iter().map(|byte| [*byte; 48]).collect(),
        administrators: vec![ADMINISTRATOR.to_owned()],
    }
}

/// `rule@statement` of every finding.
fn found(text: &[u8], expected: &Expected) -> String {
    let findings = lint(text, expected);
    let texts: Vec<_> = findings.iter().map(|it| format!("{}@{}", it.rule.name(), it.statement)).collect();
    let mut texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    texts.dedup();
    if texts.is_empty() { "clean".to_owned() } else { texts.join(" ") }
}

/// Lines `file findings…`; files that start with `upgrade` are held against two images.
#[test]
fn each_policy_of_the_table_has_its_findings() {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".json")?.to_owned()))
        .collect();
    names.sort();
    let line = |name: &String| {
        let text = fs::read(folder().join(format!("{name}.json"))).unwrap();
        format!("{name}: {}\n", found(&text, &expected(name.starts_with("upgrade"))))
    };
    let lines: String = names.iter().map(line).collect();
    let path = folder().join("findings.txt");
    if std::env::var_os("STRONGROOM_BLESS").is_some() {
        fs::write(&path, &lines).unwrap();
    }
    assert_eq!(lines, fs::read_to_string(path).unwrap());
}

#[test]
fn the_table_meets_every_rule_and_has_more_bad_policies_than_good_ones() {
    let table = fs::read_to_string(folder().join("findings.txt")).unwrap();
    let met: BTreeSet<&str> =
        table.split_whitespace().filter_map(|word| word.split_once('@')).map(|(rule, _)| rule).collect();
    let names: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    // Who the administrator is, the table knows; accounts have a test of their own.
    let unmet: Vec<_> = names.difference(&met).copied().collect();
    assert_eq!(unmet, [Rule::AdministratorNotChecked.name(), Rule::OneAccount.name()]);
    assert_eq!(names.len(), Rule::ALL.len(), "two rules have one name");
    let (good, bad): (Vec<_>, Vec<_>) = table.lines().partition(|line| line.ends_with(": clean"));
    assert!(good.len() >= 5 && bad.len() >= 5 * good.len(), "{} good, {} bad", good.len(), bad.len());
}

fn draft() -> Draft {
    Draft {
        role: Role::Client,
        enclaves: vec![ENCLAVE.to_owned()],
        administrators: vec![ADMINISTRATOR.to_owned()],
        images: vec![image(0xa0), image(0xb0)],
        manifests: vec![[0x16; 48], [0x17; 48]],
    }
}

#[test]
fn what_is_generated_is_clean_and_always_the_same() {
    let text = draft().build().unwrap();
    assert_eq!(found(text.as_bytes(), &expected(true)), "clean");
    let mut other = draft();
    other.images = vec![image(0xb0), image(0xa0), image(0xb0)];
    other.manifests = vec![[0x17; 48], [0x16; 48], [0x16; 48]];
    assert_eq!(other.build().unwrap(), text);
    let golden = folder().join("../key-policy-generated.json");
    if std::env::var_os("STRONGROOM_BLESS").is_some() {
        fs::write(&golden, &text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(golden).unwrap());

    other.images = vec![ImagePcrs { pcr1: None, pcr2: None, ..image(0xa0) }];
    other.manifests.truncate(2);
    assert_eq!(found(other.build().unwrap().as_bytes(), &expected(true)), "image-not-let-in@0");
    // A key is made before its manifest can name it.
    let unused = Draft { images: Vec::new(), manifests: Vec::new(), ..draft() }.build().unwrap();
    assert_eq!(found(unused.as_bytes(), &expected(false)), "enclave-locked-out@0");
    // The longest policy fits KMS.
    let arn = |kind: &str, number: u8| format!("arn:aws:iam::11112222333{number}:role/{}", kind.repeat(64));
    let longest = Draft {
        role: Role::Custodian,
        enclaves: (0..8).map(|number| arn("e", number)).collect(),
        administrators: (0..8).map(|number| arn("a", number)).collect(),
        images: (1..9).map(|number| image(number * 3)).collect(),
        manifests: (1..9).map(|number| [number; 48]).collect(),
    };
    assert!(longest.build().unwrap().len() <= POLICY_BYTES_MAX);
}

#[test]
fn drafts_that_keep_nobody_out_are_refused() {
    let stranger = |text: &str| vec![text.to_owned()];
    for (draft, expect) in [
        (Draft { enclaves: Vec::new(), ..draft() }, "enclave role: 0 are given; 1 to 8"),
        (Draft { enclaves: stranger("*"), ..draft() }, "enclave role: \"*\" is not the ARN of one"),
        (Draft { enclaves: stranger("arn:aws:iam::111122223333:root"), ..draft() }, "enclave role: "),
        (Draft { enclaves: stranger("111122223333"), ..draft() }, "enclave role: "),
        (Draft { enclaves: vec![ENCLAVE.to_owned(); 9], ..draft() }, "enclave role: 9 are given"),
        (Draft { administrators: Vec::new(), ..draft() }, "key administrator: 0 are given"),
        (Draft { administrators: stranger("arn:aws:iam::111122223333:role/*"), ..draft() }, "key administrator: "),
        (
            Draft { administrators: stranger(ENCLAVE), ..draft() },
            "key administrator: arn:aws:iam::111122223333:role/client-enclave is the",
        ),
        (Draft { role: Role::Unspecified, ..draft() }, "role: is client or custodian"),
        (Draft { manifests: Vec::new(), ..draft() }, "PCR16: 0 are given; 1 to 8"),
        (Draft { manifests: vec![[0; 48]], ..draft() }, "PCR: is all zero"),
        (Draft { images: vec![ImagePcrs { pcr0: [0; 48], ..image(1) }], ..draft() }, "PCR: is all zero"),
        (Draft { images: vec![ImagePcrs { pcr2: Some([0; 48]), ..image(1) }], ..draft() }, "PCR: is all zero"),
        (Draft { images: vec![image(1); 9], ..draft() }, "image: 9 are given; 0 to 8"),
    ] {
        let error = draft.build().unwrap_err().to_string();
        assert!(error.starts_with(expect), "{expect}: {error}");
    }
}

#[test]
fn what_nobody_named_is_not_held_against_a_policy_but_said() {
    let text = draft().build().unwrap();
    let nobody = Expected { role: Role::Client, images: Vec::new(), manifests: Vec::new(), administrators: Vec::new() };
    assert_eq!(found(text.as_bytes(), &nobody), "administrator-not-checked@1");
    let custodian = Expected { role: Role::Custodian, ..expected(true) };
    assert!(found(text.as_bytes(), &custodian).contains("wrong-role@3"), "{}", found(text.as_bytes(), &custodian));
    let finding = &lint(text.as_bytes(), &nobody)[0];
    assert_eq!(finding.rule.severity(), Severity::Warning);
    let shown = finding.to_string();
    assert!(shown.starts_with("statement 1 \"KeyAdministrator\": ") && shown.ends_with(ADMINISTRATOR), "{shown}");
}

#[test]
fn an_administrator_of_the_enclaves_account_is_found() {
    let of = |account: &str, name: &str| format!("arn:aws:iam::{account}:{name}");
    let enclaves = vec![of("111122223333", "role/e"), of("222233334444", "role/e")];
    for (administrators, expect) in [
        (vec![of("444455556666", "role/a")], vec![]),
        (vec![of("111122223333", "role/a")], vec!["111122223333"]),
        (vec![of("444455556666", "role/a"), of("222233334444", "user/a")], vec!["222233334444"]),
        (vec![of("111122223333", "user/a"), of("222233334444", "role/a")], vec!["111122223333", "222233334444"]),
    ] {
        let text = Draft { enclaves: enclaves.clone(), administrators, ..draft() }.build().unwrap();
        let findings = shared_accounts(text.as_bytes());
        assert!(findings.iter().all(|it| it.rule == Rule::OneAccount && it.statement == 1), "{findings:?}");
        let found: Vec<_> = findings.iter().map(|it| it.found.split(':').nth(4).unwrap()).collect();
        assert_eq!(found, expect);
    }
    // Others of that account may look at the key, and what nobody understands is the lint's.
    assert_eq!(shared_accounts(b"{"), []);
    let text = draft().build().unwrap();
    assert_eq!(shared_accounts(text.replace("kms:PutKeyPolicy", "kms:ListGrants").as_bytes()), []);
    let whole = text.replace(ADMINISTRATOR, "arn:aws:iam::111122223333:root");
    assert_eq!(shared_accounts(whole.as_bytes()).len(), 1);
}

#[test]
fn a_policy_may_be_as_long_as_kms_takes_and_shows_no_control_characters() {
    let text = draft().build().unwrap();
    let padded = |length: usize| format!("{text}{}", " ".repeat(length - text.len()));
    assert_eq!(found(padded(POLICY_BYTES_MAX).as_bytes(), &expected(true)), "clean");
    assert_eq!(found(padded(POLICY_BYTES_MAX + 1).as_bytes(), &expected(true)), "invalid-json@0");
    assert_eq!(found(&[0xff], &expected(true)), "invalid-json@0");
    assert_eq!(found("[".repeat(20_000).as_bytes(), &expected(true)), "invalid-json@0");
    let hostile = text.replace("Image1", "\\u001b[2J").replace("kms:DescribeKey", "\\u001b]0;x");
    for finding in lint(hostile.as_bytes(), &expected(true)) {
        assert!(!finding.to_string().contains(char::is_control), "{finding:?}");
    }
}
