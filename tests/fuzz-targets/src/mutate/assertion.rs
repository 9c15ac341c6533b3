//! Assertions, with one thing changed: what was signed, the signature, the key, or what is asked for.

use super::Mutator;

/// An assertion with its key, and what a verifier would ask of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signed {
    /// `COSE_Key`.
    pub key: Vec<u8>,
    /// clientDataJSON.
    pub client_data: Vec<u8>,
    /// Authenticator data.
    pub authenticator_data: Vec<u8>,
    /// DER for ES256.
    pub signature: Vec<u8>,
    /// Asked for.
    pub challenge: Vec<u8>,
    /// Asked for.
    pub rp_id: String,
    /// Asked for.
    pub origin: String,
}

/// Pieces of JSON that may fit in at any comma.
const MEMBERS: &[&str] = &[
    r#","crossOrigin":false"#,
    r#","crossOrigin":true,"topOrigin":"https://wallet.example""#,
    r#","origin":"https://wallet.example""#,
    r#","type":"webauthn.get""#,
    r#","x":1"#,
    r#","\u0074ype":"webauthn.create""#,
    " ",
    "\n",
];

/// Bytes of the key's own numbers begin here, in every algorithm's form.
const KEY_NUMBERS: usize = 16;

/// Flags that an honest authenticator may set or not.
const FLAGS: [u8; 8] = [0x00, 0x01, 0x04, 0x05, 0x0d, 0x1d, 0x45, 0x85];

/// One mutation of `signed`, with pieces of `other`, which is of the same algorithm.
#[must_use]
pub fn mutated(random: &mut Mutator, signed: &Signed, other: &Signed) -> Signed {
    let mut out = signed.clone();
    match random.below(16) {
        0 => random.flip(&mut out.client_data),
        1 => random.change(&mut out.client_data),
        2 => {
            let commas: Vec<usize> =
                (0..out.client_data.len()).filter(|at| b",}".contains(&out.client_data[*at])).collect();
            let at = commas.get(random.below(commas.len().max(1))).copied().unwrap_or_default();
            out.client_data.splice(at..at, random.one_of(MEMBERS).bytes());
        }
        3 => random.flip(&mut out.authenticator_data),
        4 => random.change(&mut out.authenticator_data),
        5 => out.authenticator_data[32] = *random.one_of(&FLAGS),
        6 => out.authenticator_data.extend([0xa0]),
        7 => random.flip(&mut out.signature),
        8 => random.change(&mut out.signature),
        9 => signature(random, &mut out, other),
        10 => {
            let at = KEY_NUMBERS.min(out.key.len());
            random.flip(&mut out.key[at..]);
        }
        11 => out.key.clone_from(&other.key),
        12 => random.flip(&mut out.challenge),
        13 => out.client_data.clone_from(&other.client_data),
        14 => out.rp_id.push(*random.one_of(&['.', 'a', '\0'])),
        _ => out.origin.push(*random.one_of(&['/', ':', '.', '\0'])),
    }
    out
}

/// Forms of a signature that a careless verifier takes for the same.
fn signature(random: &mut Mutator, out: &mut Signed, other: &Signed) {
    let whole = out.signature.clone();
    let half = whole.len() / 2;
    match random.below(9) {
        0 => out.signature.clone_from(&other.signature),
        1 => out.signature.truncate(random.below(whole.len())),
        2 => out.signature.push(0),
        3 => out.signature.insert(0, 0),
        4 => out.signature.rotate_left(half),
        5 => out.signature.fill(*random.one_of(&[0, 1, 0xff])),
        // DER with a longer length than needed.
        6 => out.signature.splice(1..1, [0x81]).for_each(drop),
        7 => out.signature[half..].fill(0),
        _ => out.signature.splice(2..2, [0x02, 0x01, 0x00]).for_each(drop),
    }
}
