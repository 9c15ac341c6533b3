//! The attestation verifier judges what the module signs.

use super::*;
use std::sync::atomic::{AtomicU64, Ordering};
use strongroom_attestation::{AttestationError, Genuine, Image, ImagePolicy, Root, Time, verify};

/// 2026-11-22T12:00:00Z.
const NOON_MS: u64 = 1_795_348_800_000;
const MINUTE_MS: u64 = 60_000;

struct Fixture {
    nsm: SimulatedNsm,
    root: Root,
    image: Measurements,
    now: Arc<AtomicU64>,
}

impl Fixture {
    fn new(image: Measurements) -> Self {
        let authority = Authority::new().unwrap();
        let root = Root::development(authority.root_der());
        let now = Arc::new(AtomicU64::new(NOON_MS));
        let clock = Arc::clone(&now);
        let nsm = SimulatedNsm::with_clock(authority, &image, Arc::new(move || clock.load(Ordering::Relaxed))).unwrap();
        Self { nsm, root, image, now }
    }

    fn attest(&self, request: &AttestRequest<'_>) -> Vec<u8> {
        self.nsm.attest(request).unwrap()
    }

    fn verify(&self, document: &[u8]) -> Result<Genuine, AttestationError> {
        verify(document, &self.root, Time::from_unix_ms(self.now.load(Ordering::Relaxed)))
    }

    fn advance(&self, ms: u64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
    }
}

fn fixture() -> Fixture {
    Fixture::new(Measurements::of_bytes(b"executable"))
}

#[test]
fn a_document_is_genuine_in_both_map_encodings_and_carries_its_fields() {
    for encoding in [MapEncoding::Definite, MapEncoding::Indefinite] {
        let mut fixture = fixture();
        fixture.nsm = fixture.nsm.with_map_encoding(encoding);
        let manifest = fixture.nsm.extend_pcr(16, b"manifest").unwrap();
        for index in 16..32 {
            fixture.nsm.lock_pcr(index).unwrap();
        }
        let (key, data, nonce) = ([1; 1024], [2; 512], [3; 512]);
        let request = AttestRequest { public_key: Some(&key), user_data: Some(&data), nonce: Some(&nonce) };
        let document = fixture.attest(&request);
        let genuine = fixture.verify(&document).unwrap();
        assert_eq!(genuine.module_id(), fixture.nsm.module_id());
        assert_eq!(genuine.pcrs().len(), 32);
        let image = Image { pcr0: fixture.image.pcr0, pcr1: fixture.image.pcr1, pcr2: fixture.image.pcr2 };
        let policy = ImagePolicy::new(&[image], &[manifest.try_into().unwrap()]).unwrap();
        let attested = genuine.accept(&policy).unwrap();
        assert_eq!(attested.public_key(), Some(&key[..]));
        assert_eq!(attested.user_data(), Some(&data[..]));
        assert_eq!(attested.nonce(), Some(&nonce[..]));
        let empty = fixture.attest(&AttestRequest::default());
        let accepted = fixture.verify(&empty).unwrap().accept(&policy).unwrap();
        assert_eq!((accepted.public_key(), accepted.user_data(), accepted.nonce()), (None, None, None));
    }
}

#[test]
fn fields_that_are_too_long_are_refused() {
    let fixture = fixture();
    let long = [0; 1025];
    for (public_key, user_data, nonce, expect) in [
        (Some(&long[..]), None, None, NsmError::InputTooLarge),
        (None, Some(&long[..513]), None, NsmError::InputTooLarge),
        (None, None, Some(&long[..513]), NsmError::InputTooLarge),
        (Some(&long[..0]), None, None, NsmError::InvalidArgument),
    ] {
        assert_eq!(fixture.nsm.attest(&AttestRequest { public_key, user_data, nonce }), Err(expect));
    }
}

#[test]
fn another_root_another_image_and_an_open_manifest_pcr_are_refused() {
    let (one, two) = (fixture(), fixture());
    let document = one.attest(&AttestRequest::default());
    assert!(matches!(two.verify(&document), Err(AttestationError::ForeignRoot { .. })));
    let at = Time::from_unix_ms(NOON_MS);
    assert!(matches!(verify(&document, &Root::aws(), at), Err(AttestationError::ForeignRoot { .. })));
    let other = Measurements::of_bytes(b"another executable");
    let policy = ImagePolicy::any_manifest(&[other.pcr0]).unwrap();
    let refused = one.verify(&document).unwrap().accept(&policy);
    assert!(matches!(refused, Err(AttestationError::NotAccepted { .. })));
    one.nsm.extend_pcr(16, b"manifest").unwrap();
    let image = Image { pcr0: one.image.pcr0, pcr1: one.image.pcr1, pcr2: one.image.pcr2 };
    let policy = ImagePolicy::new(&[image], &[[9; 48]]).unwrap();
    let open = one.verify(&one.attest(&AttestRequest::default())).unwrap().accept(&policy);
    assert_eq!(open.err(), Some(AttestationError::PcrNotLocked { index: 16 }));
}

#[test]
fn the_leaf_is_renewed_before_it_ends_and_an_old_document_expires() {
    let fixture = fixture();
    let first = fixture.attest(&AttestRequest::default());
    let end = |document: &[u8]| fixture.verify(document).unwrap().validity().1.unix_ms();
    let first_end = end(&first);
    assert_eq!(first_end, NOON_MS + 180 * MINUTE_MS);
    fixture.advance(150 * MINUTE_MS);
    assert_eq!(end(&fixture.attest(&AttestRequest::default())), first_end);
    fixture.advance(1000);
    assert!(end(&fixture.attest(&AttestRequest::default())) > first_end);
    fixture.advance(29 * MINUTE_MS + 59_000);
    assert!(fixture.verify(&first).is_ok(), "the last second counts");
    fixture.advance(1000);
    assert!(matches!(fixture.verify(&first), Err(AttestationError::CertificateExpired { .. })));
    // For a month the module goes on, with new certificates of every level.
    for _ in 0..31 {
        fixture.advance(24 * 60 * MINUTE_MS);
        let document = fixture.attest(&AttestRequest::default());
        assert!(end(&document) >= fixture.now.load(Ordering::Relaxed) + 30 * MINUTE_MS);
    }
}

#[test]
fn debug_mode_is_refused_wherever_one_pcr_is_zero() {
    let image = Measurements::of_bytes(b"executable");
    let zero = [0; 48];
    for (index, image) in [
        (0, Measurements::of_debug_mode()),
        (0, Measurements { pcr0: zero, ..image.clone() }),
        (1, Measurements { pcr1: zero, ..image.clone() }),
        (2, Measurements { pcr2: zero, ..image }),
    ] {
        let fixture = Fixture::new(image);
        let document = fixture.attest(&AttestRequest::default());
        assert_eq!(fixture.verify(&document).err(), Some(AttestationError::DebugMode { index }));
    }
}

#[test]
fn what_qemu_makes_is_refused() {
    let fixture = fixture();
    let document = fixture.attest(&AttestRequest::default());
    let payload_start = document.windows(10).position(|window| window == b"\x69module_id").unwrap() - 1;
    let payload = &document[payload_start..document.len() - 98];
    let zero_signed = |header: &[u8]| {
        let mut e = minicbor::Encoder::new(Vec::new());
        let made = e.array(4).and_then(|e| e.bytes(header)).and_then(|e| e.map(0));
        made.and_then(|e| e.bytes(payload)).and_then(|e| e.bytes(&[0; 96])).unwrap();
        e.into_writer()
    };
    // Its protected header is {1: -1}, its signature zero bytes.
    let refused = fixture.verify(&zero_signed(&[0xa1, 0x01, 0x20])).err();
    assert_eq!(refused, Some(AttestationError::NotEs384 { header: "a10120".to_owned() }));
    let refused = fixture.verify(&zero_signed(&[0xa1, 0x01, 0x38, 0x22])).err();
    assert_eq!(refused, Some(AttestationError::Signature));
}

#[test]
fn random_bytes_differ() {
    let nsm = fixture().nsm;
    let (one, two) = (nsm.random().unwrap(), nsm.random().unwrap());
    assert!(one.len() == RANDOM_BYTES && one != two);
}
