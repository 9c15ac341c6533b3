//! The genuine documents of the vectors folder, and a document taken apart so that a test can put
//! it together wrongly.

use minicbor::{Decoder, Encoder};
use std::path::PathBuf;

/// A document of the vectors folder.
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// All documents, or nothing outside CI where the folder is not there.
pub(crate) fn vectors() -> Vec<Vector> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/nitro-attestation");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        assert!(std::env::var_os("CI").is_none(), "no vectors at {}", folder.display());
        eprintln!("skipped: no vectors at {}", folder.display());
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "bin"))
        .map(|path| Vector {
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            bytes: std::fs::read(&path).unwrap(),
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(found.len() >= 18, "only {} documents", found.len());
    found
}

/// A genuine document of an enclave that is not in debug mode, with all three optional fields but
/// the nonce.
pub(crate) fn genuine() -> Option<Vector> {
    vectors().into_iter().find(|vector| vector.name == "2c56d253c0d29a2f.bin")
}

/// A document taken apart; values are raw CBOR.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) head: Vec<u8>,
    pub(crate) protected: Vec<u8>,
    pub(crate) unprotected: Vec<u8>,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) indefinite: bool,
    /// In place of the payload that the fields make.
    pub(crate) raw_payload: Option<Vec<u8>>,
    pub(crate) after_payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) after: Vec<u8>,
}

impl Parts {
    pub(crate) fn of(document: &[u8]) -> Self {
        let mut outer = Decoder::new(document);
        assert_eq!(outer.array().unwrap(), Some(4));
        let protected = outer.bytes().unwrap().to_vec();
        assert_eq!(outer.map().unwrap(), Some(0));
        let payload = outer.bytes().unwrap();
        let signature = outer.bytes().unwrap().to_vec();
        let mut d = Decoder::new(payload);
        let count = d.map().unwrap().unwrap();
        let fields = (0..count)
            .map(|_| {
                let key = d.str().unwrap().to_owned();
                let start = d.position();
                d.skip().unwrap();
                (key, payload[start..d.position()].to_vec())
            })
            .collect();
        Self {
            head: vec![0x84],
            protected,
            unprotected: vec![0xa0],
            fields,
            indefinite: false,
            raw_payload: None,
            after_payload: Vec::new(),
            signature,
            after: Vec::new(),
        }
    }

    pub(crate) fn field(&self, name: &str) -> &[u8] {
        let found = self.fields.iter().find(|(key, _)| key == name);
        &found.unwrap().1
    }

    pub(crate) fn set(&mut self, name: &str, value: Vec<u8>) {
        let found = self.fields.iter_mut().find(|(key, _)| key == name);
        found.unwrap().1 = value;
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.fields.retain(|(key, _)| key != name);
    }

    pub(crate) fn timestamp(&self) -> u64 {
        Decoder::new(self.field("timestamp")).u64().unwrap()
    }

    pub(crate) fn cabundle(&self) -> Vec<Vec<u8>> {
        let mut d = Decoder::new(self.field("cabundle"));
        let count = d.array().unwrap().unwrap();
        (0..count).map(|_| d.bytes().unwrap().to_vec()).collect()
    }

    pub(crate) fn set_cabundle(&mut self, certificates: &[Vec<u8>]) {
        let raw = cbor(|e| {
            e.array(certificates.len() as u64).unwrap();
            for certificate in certificates {
                e.bytes(certificate).unwrap();
            }
        });
        self.set("cabundle", raw);
    }

    pub(crate) fn document(&self) -> Vec<u8> {
        let mut payload = cbor(|e| {
            if self.indefinite {
                e.begin_map().unwrap();
            } else {
                e.map(self.fields.len() as u64).unwrap();
            }
        });
        for (key, value) in &self.fields {
            payload.extend(cbor(|e| {
                e.str(key).unwrap();
            }));
            payload.extend(value);
        }
        if self.indefinite {
            payload.push(0xff);
        }
        payload.extend(&self.after_payload);
        if let Some(raw) = &self.raw_payload {
            payload.clone_from(raw);
        }
        let mut document = self.head.clone();
        document.extend(bytes(&self.protected));
        document.extend(&self.unprotected);
        document.extend(bytes(&payload));
        document.extend(bytes(&self.signature));
        document.extend(&self.after);
        document
    }
}

/// What `write` writes.
pub(crate) fn cbor(write: impl FnOnce(&mut Encoder<Vec<u8>>)) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    write(&mut encoder);
    encoder.into_writer()
}

/// A CBOR byte string.
pub(crate) fn bytes(content: &[u8]) -> Vec<u8> {
    cbor(|e| {
        e.bytes(content).unwrap();
    })
}
