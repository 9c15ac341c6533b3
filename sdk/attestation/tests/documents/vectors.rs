//! Genuine documents of AWS: they pass at their own time and in no other form.

use super::parts::{Parts, genuine, vectors};
use strongroom_attestation::{
    AttestationError, CLOCK_SKEW_MS_MAX, Genuine, Image, ImagePolicy, Pcrs, Root, Time, verify,
};

/// 2026-11-22T00:00:00Z.
const NOW_MS: u64 = 1_795_305_600_000;

fn at(ms: u64) -> Time {
    Time::from_unix_ms(ms)
}

fn verified(document: &[u8]) -> Genuine {
    let own_time = Parts::of(document).timestamp();
    verify(document, &Root::aws(), at(own_time)).unwrap()
}

#[test]
fn genuine_documents_pass_at_their_own_time_and_debug_ones_never() {
    let (mut passed, mut debug) = (0, 0);
    for vector in vectors() {
        let parts = Parts::of(&vector.bytes);
        let own_time = parts.timestamp();
        let now = verify(&vector.bytes, &Root::aws(), at(NOW_MS)).unwrap_err();
        assert!(matches!(now, AttestationError::CertificateExpired { .. }), "{} now: {now}", vector.name);
        match verify(&vector.bytes, &Root::aws(), at(own_time)) {
            Ok(document) => {
                passed += 1;
                assert_eq!(document.timestamp(), at(own_time));
                assert!(document.checks().len() > 7);
            }
            Err(AttestationError::DebugMode { index: 0 }) => debug += 1,
            Err(error) => panic!("{}: {error}", vector.name),
        }
    }
    assert!((passed, debug) == (12, 6) || (passed, debug) == (0, 0), "{passed} passed, {debug} debug");
}

#[test]
fn the_time_must_fit() {
    let Some(vector) = genuine() else { return };
    let own = Parts::of(&vector.bytes).timestamp();
    let minute = 60_000;
    for (time, expect) in [
        (own, "ok"),
        (own - CLOCK_SKEW_MS_MAX, "ok"),
        (own + 60 * minute, "ok"),
        (own - CLOCK_SKEW_MS_MAX - 1, "the document is 5 min in the future"),
        (own - 40 * minute, "your clock is off by 40 min?"),
        (0, "in the future"),
        (own + 4 * 60 * minute, "the leaf certificate expired 60 min ago"),
        (own + 30 * 24 * 60 * minute, "certificate 1 expired"),
        (u64::MAX, "the root certificate expired"),
    ] {
        let result = verify(&vector.bytes, &Root::aws(), at(time));
        let text = result.map_or_else(|error| error.to_string(), |_| "ok".to_owned());
        assert!(text.contains(expect), "at {time}: {text}");
    }
}

#[test]
fn the_root_must_be_the_one_asked_for() {
    let Some(vector) = genuine() else { return };
    let parts = Parts::of(&vector.bytes);
    let own = at(parts.timestamp());
    let mut one_bit_off = *Root::aws().fingerprint();
    one_bit_off[31] ^= 1;
    for root in [
        Root::development(b"another root"),
        Root::development_by_fingerprint([0; 32]),
        Root::development_by_fingerprint(one_bit_off),
        Root::development(&parts.cabundle()[1]),
    ] {
        let error = verify(&vector.bytes, &root, own).unwrap_err();
        assert!(matches!(error, AttestationError::ForeignRoot { .. }), "{error}");
    }
    // The same root under the development name: the caller wrote it, so it holds.
    let same = Root::development(&parts.cabundle()[0]);
    assert!(verify(&vector.bytes, &same, own).is_ok());
    assert!(same.is_development() && !Root::aws().is_development());
}

#[test]
fn a_policy_decides_who_is_trusted() {
    let Some(vector) = genuine() else { return };
    let pcrs = verified(&vector.bytes).pcrs().clone();
    let image = Image { pcr0: pcrs[&0], pcr1: pcrs[&1], pcr2: pcrs[&2] };
    let other = [7; 48];
    let policy = |entries: &[(u8, [u8; 48])]| ImagePolicy::exact(entries.iter().copied().collect::<Pcrs>()).unwrap();
    let accept = |policy: &ImagePolicy| verified(&vector.bytes).accept(policy);

    let attested = accept(&ImagePolicy::any_manifest(&[other, pcrs[&0]]).unwrap()).unwrap();
    assert_eq!(attested.public_key().map(<[u8]>::len), Some(32));
    assert_eq!(attested.user_data().map(<[u8]>::len), Some(42));
    assert_eq!(attested.nonce(), None);
    assert_eq!(attested.pcr(4), Some(&pcrs[&4]));
    assert_eq!(attested.pcr(16), None);
    accept(&policy(&[(0, pcrs[&0]), (4, pcrs[&4])])).unwrap();

    // The vectors have no locked PCR16, so no policy with manifests takes them.
    for (policy, expect) in [
        (ImagePolicy::new(std::slice::from_ref(&image), &[other]).unwrap(), "PCR16, which"),
        (
            ImagePolicy::new(&[Image { pcr2: other, ..image }], &[other]).unwrap(),
            "not an accepted image: PCR0 is ea6ff0",
        ),
        (ImagePolicy::any_manifest(&[other]).unwrap(), "not an accepted image"),
        (policy(&[(0, pcrs[&0]), (4, other)]), "PCR4 is 4f646f"),
        (policy(&[(0, pcrs[&0]), (31, other)]), "PCR31, which"),
        (policy(&[(0, pcrs[&1])]), "not an accepted image"),
    ] {
        let text = accept(&policy).unwrap_err().to_string();
        assert!(text.contains(expect), "{text}");
    }
}

#[test]
fn a_policy_that_accepts_all_cannot_be_built() {
    let (value, zero) = ([1; 48], [0; 48]);
    let image = |pcr0, pcr1, pcr2| Image { pcr0, pcr1, pcr2 };
    let good = image(value, value, value);
    let exact = |entries: &[(u8, [u8; 48])]| ImagePolicy::exact(entries.iter().copied().collect::<Pcrs>());
    assert!(ImagePolicy::new(std::slice::from_ref(&good), &[value]).is_ok());
    for (policy, expect) in [
        (ImagePolicy::new(&[], &[value]), "accepted value of PCR0, PCR1 and PCR2"),
        (ImagePolicy::new(std::slice::from_ref(&good), &[]), "accepted value of PCR16"),
        (ImagePolicy::new(&[], &[]), "accepted value of PCR0"),
        (ImagePolicy::new(std::slice::from_ref(&good), &[value, zero]), "all-zero PCR16"),
        (ImagePolicy::new(&[good, image(zero, value, value)], &[value]), "all-zero PCR0"),
        (ImagePolicy::new(&[image(value, zero, value)], &[value]), "all-zero PCR1"),
        (ImagePolicy::new(&[image(value, value, zero)], &[value]), "all-zero PCR2"),
        (ImagePolicy::any_manifest(&[]), "accepted value of PCR0"),
        (ImagePolicy::any_manifest(&[value, zero]), "all-zero PCR0"),
        (exact(&[]), "accepted value of PCR0"),
        (exact(&[(16, value)]), "accepted value of PCR0"),
        (exact(&[(0, zero)]), "all-zero PCR0"),
        (exact(&[(0, value), (32, value)]), "names PCR32"),
    ] {
        let text = policy.unwrap_err().to_string();
        assert!(text.contains(expect), "{text}");
    }
}

#[test]
fn what_is_shown_gives_no_keys() {
    let Some(vector) = genuine() else { return };
    let genuine = verified(&vector.bytes);
    let shown = format!("{genuine:?}");
    assert!(shown.contains("i-058bac400e426cc24-enc018e0924a1c4673e"), "{shown}");
    assert!(!shown.contains("public_key"), "{shown}");
    let (from, to) = genuine.validity();
    assert!(from < genuine.timestamp() && genuine.timestamp() < to);
    for check in genuine.checks() {
        println!("{}: {}", check.name, check.value);
    }
}
