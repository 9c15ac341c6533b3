//! Attestation documents: of the simulated NSM, and of AWS where the vectors are there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use strongroom_attestation::{AttestationError, Genuine, ImagePolicy, Root, Time, verify};
use strongroom_fuzz_targets::mutate::document::mutated;
use strongroom_runtime::nsm::{AttestRequest, Nsm};
use strongroom_simulated::{Authority, MapEncoding, Measurements, SimulatedNsm};

use super::keep::keep;
use super::settings;

/// 2026-11-22T00:00:00Z.
const NOW_MS: u64 = 1_795_305_600_000;

struct Known {
    bytes: Vec<u8>,
    root: Root,
    time: Time,
    policy: ImagePolicy,
}

impl Known {
    /// A document that is accepted at its own time; `None` for what is not, as those of debug mode.
    fn new(bytes: Vec<u8>, root: Root) -> Option<Self> {
        // At the epoch every document is from the future, and the refusal names its time.
        let Err(AttestationError::FromTheFuture { timestamp: time, .. }) = verify(&bytes, &root, Time::from_unix_ms(0))
        else {
            return None;
        };
        let genuine = verify(&bytes, &root, time).ok()?;
        // No policy accepts a PCR that is all zero, and unused ones are.
        let pcrs = genuine.pcrs().iter().filter(|(_, value)| **value != [0; 48]).map(|(index, value)| (*index, *value));
        let policy = ImagePolicy::exact(pcrs.collect()).unwrap();
        genuine.accept(&policy).unwrap();
        Some(Self { bytes, root, time, policy })
    }

    /// Why the bytes are refused at this document's place.
    fn refusal(&self, bytes: &[u8]) -> Option<AttestationError> {
        let accept = |genuine: Genuine| genuine.accept(&self.policy);
        verify(bytes, &self.root, self.time).and_then(accept).err()
    }
}

/// Documents of two chains under one root, in both encodings, with and without the optional fields; and one under another root.
fn simulated() -> Vec<Known> {
    let folder = std::env::temp_dir().join(format!("strongroom-mutations-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (first, second) = (folder.join("first"), folder.join("second"));
    let mut out = Vec::new();
    for (path, encoding, time) in [
        (&first, MapEncoding::Indefinite, NOW_MS),
        (&first, MapEncoding::Definite, NOW_MS + 60_000),
        (&second, MapEncoding::Indefinite, NOW_MS),
    ] {
        let authority = Authority::open(path).unwrap();
        let root = Root::development(authority.root_der());
        let clock = Arc::new(move || time);
        let nsm = SimulatedNsm::with_clock(authority, &Measurements::of_bytes(b"image"), clock).unwrap();
        let nsm = nsm.with_map_encoding(encoding);
        nsm.extend_pcr(16, b"manifest").unwrap();
        (16..32).for_each(|index| nsm.lock_pcr(index).unwrap());
        for (public_key, user_data, nonce) in
            [(None, Some(&[1; 32][..]), None), (Some(&[2; 294][..]), None, Some(&[3; 32][..]))]
        {
            let bytes = nsm.attest(&AttestRequest { public_key, user_data, nonce }).unwrap();
            keep("document", &bytes);
            out.push(Known::new(bytes, root.clone()).expect("a document of the simulated NSM is accepted"));
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
    out
}

/// Those of AWS that are not of debug mode; nothing outside CI where the folder is not there.
fn published() -> Vec<Known> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/nitro-attestation");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        assert!(std::env::var_os("CI").is_none(), "no vectors at {}", folder.display());
        println!("skipped: no vectors at {}", folder.display());
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let documents = paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "bin"));
    documents.filter_map(|path| Known::new(std::fs::read(path).unwrap(), Root::aws())).collect()
}

#[test]
fn no_mutated_document_is_accepted() {
    let (count, mut random) = settings();
    let known: Vec<Known> = simulated().into_iter().chain(published()).collect();
    let mut reasons = BTreeMap::<String, usize>::new();
    let mut tried = 0;
    while tried < count {
        let (document, other) = (random.one_of(&known), random.one_of(&known));
        let mutation = mutated(&mut random, &document.bytes, &other.bytes);
        // Tag 18 in front is the other form of the same document.
        let untagged = mutation.strip_prefix(&[0xd2]).unwrap_or(&mutation);
        if known.iter().any(|known| known.bytes == untagged) {
            continue;
        }
        tried += 1;
        let refusal = document.refusal(&mutation);
        let refusal = refusal.unwrap_or_else(|| panic!("mutation {tried} is accepted: {mutation:02x?}"));
        let name = format!("{refusal:?}");
        *reasons.entry(name.split([' ', '(', '{']).next().unwrap().to_owned()).or_default() += 1;
    }
    println!("{tried} mutated documents of {} genuine ones: {reasons:?}", known.len());
    // A mutation that fails before any signature is looked at says little.
    let deep = reasons["Signature"] + reasons["Chain"];
    assert!(deep > count / 5, "only {deep} of {count} reached a signature");
}
