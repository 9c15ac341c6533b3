//! The lint of key policies and the development KMS, which reads them by code of its own, agree: on the table of the sdk, on what the sdk
//! writes, and on policies put together at random.

mod key_policies {
    mod calls;
    mod random;
}

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use key_policies::calls::{Call, Kms};
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
        let shown = |pair: (u8, u8)| key_policies::calls::Shown::Image(pair.0, pair.1);
        let enclave =
            |action, pair| Call { caller: "client-enclave", action, shown: shown(pair), role: Some("client") };
        let is_let = |pair| key_policies::calls::ATTESTED.iter().all(|action| kms.allows(enclave(action, pair)));
        for image in images {
            assert!(manifests.iter().any(|manifest| is_let((*image, *manifest))), "{name}: an image is kept out");
        }
        let shown = key_policies::calls::Shown::Nothing;
        for (caller, action) in [("client-enclave", "kms:DescribeKey"), ("key-administrator", "kms:PutKeyPolicy")] {
            assert!(kms.allows(Call { caller, action, shown, role: None }), "{name}: {caller} may not {action}");
        }
    }
    if findings.contains(&Rule::EnclaveLockedOut) || findings.contains(&Rule::DenyLocksOut) {
        let locked = |call: &Call| !kms.allows(*call);
        let calls = right.iter().flat_map(|(image, manifest)| {
            key_policies::calls::ATTESTED.map(|action| Call {
                caller: "client-enclave",
                action,
                shown: key_policies::calls::Shown::Image(*image, *manifest),
                role: Some("client"),
            })
        });
        let describe = Call {
            caller: "client-enclave",
            action: "kms:DescribeKey",
            shown: key_policies::calls::Shown::Nothing,
            role: None,
        };
        println!(
            "{name}: locked out of {:?}",
            calls.chain([describe]).filter(locked).map(|call| call.action).collect::<BTreeSet<_>>()
        );
    }
    findings
}

#[test]
fn lint_and_kms_agree_on_every_policy_of_the_table() {
    let mut open = 0;
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
        assert_eq!(findings.contains(&Rule::UnattestedCall), lets_through, "{name}");
        open += usize::from(lets_through);
    }
    assert!(open >= 10, "only {open} policies of the table let an unattested call through");
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
            // PCR0 alone measures the whole image, so nobody has those PCRs of two; a policy of all three refuses them anyway.
            let wrong = kms.wrongly_attested(&right);
            let is_mixed = |call: &Call| call.shown == key_policies::calls::Shown::Mixed && !parts;
            assert!(wrong.iter().all(is_mixed), "{wrong:?}: {text}");
        }
    }
}
