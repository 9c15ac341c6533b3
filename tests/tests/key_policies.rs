//! The lint of key policies and the development KMS, which reads them by code of its own, agree: on the table of the sdk, on what the sdk
//! writes, and on policies put together at random.

mod key_policies {
    pub(crate) mod calls;
    mod random;
}

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use key_policies::calls::{ATTESTED, Call, Kms, Shown};
use strongroom_proto::v1::Role;
use strongroom_sdk::key_policy::{Draft, Expected, ImagePcrs, Rule, Severity, lint};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/tests/key-policies")
}

fn image(byte: u8) -> ImagePcrs {
    ImagePcrs { pcr0: [byte; 48], pcr1: Some([byte + 1; 48]), pcr2: Some([byte + 2; 48]) }
}

/// What the lint holds the policy against, and the pairs of image and manifest that this lets in.
fn expected(images: &[u8], manifests: &[u8]) -> (Expected, Vec<(u8, u8)>) {
    let expected = Expected {
        role: Role::Client,
        images: images.iter().map(|byte| image(*byte)).collect(),
        manifests: manifests.iter().map(|byte| [*byte; 48]).collect(),
        administrators: vec!["arn:aws:iam::111122223333:role/key-administrator".to_owned()],
    };
    (expected, images.iter().flat_map(|image| manifests.iter().map(|manifest| (*image, *manifest))).collect())
}

fn shown(pair: (u8, u8)) -> Shown {
    Shown::Image(pair.0, pair.1)
}

/// What an enclave must do, and may not.
fn refused(kms: &Kms, right: &[(u8, u8)]) -> Vec<Call> {
    let caller = "client-enclave";
    let describe = Call { caller, action: "kms:DescribeKey", shown: Shown::Nothing, role: None };
    let call = |action, pair: &(u8, u8)| Call { caller, action, shown: shown(*pair), role: Some("client") };
    let calls = right.iter().flat_map(|pair| ATTESTED.map(|action| call(action, pair)));
    calls.chain([describe]).filter(|call| !kms.allows(*call)).collect()
}

/// Holds lint and development KMS against each other; gives the rules that the policy breaks.
fn check(name: &str, text: &str, images: &[u8], manifests: &[u8]) -> BTreeSet<Rule> {
    let (expected, right) = expected(images, manifests);
    let findings: BTreeSet<Rule> = lint(text.as_bytes(), &expected).into_iter().map(|finding| finding.rule).collect();
    let is_refused = findings.iter().any(|rule| rule.severity() == Severity::Error);
    let Some(kms) = Kms::read(text) else {
        assert!(is_refused, "{name}: the development KMS does not understand what the lint takes: {text}");
        return findings;
    };
    let unattested = kms.unattested();
    if findings.contains(&Rule::UnattestedCall) {
        assert!(!unattested.is_empty(), "{name}: no unattested call gets through: {text}");
    }
    for (calls, what) in
        [(unattested, "unattested"), (kms.wrongly_attested(&right), "wrongly attested"), (kms.forbidden(), "forbidden")]
    {
        assert!(is_refused || calls.is_empty(), "{name}: {what} calls get through: {calls:?}: {text}");
    }
    if findings.is_empty() {
        let refused = refused(&kms, &right);
        let is_let = |image: &u8| {
            right.iter().any(|pair| pair.0 == *image && !refused.iter().any(|call| call.shown == shown(*pair)))
        };
        assert!(images.iter().all(is_let), "{name}: {refused:?}: {text}");
        let changes =
            Call { caller: "key-administrator", action: "kms:PutKeyPolicy", shown: Shown::Nothing, role: None };
        assert!(kms.allows(changes), "{name}: nobody may change the policy: {text}");
    }
    findings
}

#[test]
fn lint_and_kms_agree_on_every_policy_of_the_table() {
    let (mut open, mut kept_out) = (0, 0);
    let mut names: Vec<_> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in names.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_upgrade = name.starts_with("upgrade");
        let (images, manifests): (&[u8], &[u8]) =
            if is_upgrade { (&[0xa0, 0xb0], &[0x16, 0x17]) } else { (&[0xa0], &[0x16]) };
        let text = std::fs::read_to_string(path).unwrap();
        let findings = check(name, &text, images, manifests);
        let lets_through = Kms::read(&text).is_some_and(|kms| !kms.unattested().is_empty());
        // A condition that the lint does not know, such as on an address, holds for some and not for others.
        let is_known = !findings.contains(&Rule::UnknownCondition);
        assert!(findings.contains(&Rule::UnattestedCall) == lets_through || !is_known, "{name}: {lets_through}");
        // Who is kept out may be somebody else in the others.
        let others = [Rule::PolicyChange, Rule::AccountPrincipal, Rule::WildcardPrincipal];
        let is_out = findings.contains(&Rule::EnclaveLockedOut) || findings.contains(&Rule::DenyLocksOut);
        if let Some(kms) = Kms::read(&text).filter(|_| is_out && !others.iter().any(|rule| findings.contains(rule))) {
            assert!(!refused(&kms, &expected(images, manifests).1).is_empty(), "{name}: the enclave is not kept out");
            kept_out += 1;
        }
        open += usize::from(lets_through);
    }
    assert!(open >= 10, "only {open} policies of the table let an unattested call through");
    assert!(kept_out >= 8, "only {kept_out} policies of the table keep the enclave out");
}

#[test]
fn lint_and_kms_agree_on_what_is_generated() {
    for (images, manifests) in
        [(&[0xa0][..], &[0x16][..]), (&[0xa0, 0xb0], &[0x16, 0x17]), (&[0xb0, 0xa0, 0x40], &[0x17])]
    {
        for parts in [true, false] {
            let image = |byte: u8| {
                if parts { image(byte) } else { ImagePcrs { pcr1: None, pcr2: None, ..image(byte) } }
            };
            let draft = Draft {
                role: Role::Client,
                enclaves: vec!["arn:aws:iam::111122223333:role/client-enclave".to_owned()],
                administrators: expected(&[], &[]).0.administrators,
                images: images.iter().map(|byte| image(*byte)).collect(),
                manifests: manifests.iter().map(|byte| [*byte; 48]).collect(),
            };
            let text = draft.build().unwrap();
            let kms = Kms::read(&text).unwrap();
            let (mut known, right) = expected(images, manifests);
            known.images.clone_from(&draft.images);
            assert_eq!(lint(text.as_bytes(), &known), [], "{text}");
            assert_eq!(kms.unattested().len() + kms.forbidden().len(), 0, "{text}");
            assert_eq!(kms.wrongly_attested(&right).len(), 0, "{text}");
            assert_eq!(
                kms.mixed().is_empty(),
                parts || !images.contains(&0xa0) || !manifests.contains(&0x16),
                "{text}"
            );
        }
    }
}
