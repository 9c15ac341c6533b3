//! Random changes of a signed file: none is believed; and where its publisher signed the changed bytes, they have one meaning or none.
//!
//! `STRONGROOM_MUTATIONS` says how many, `STRONGROOM_SEED` which.

use super::*;

const MUTATIONS: usize = 4_000;

/// splitmix64: enough to spread changes, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.next(256)).unwrap()
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        return bytes.push(random.byte());
    }
    let at = random.next(bytes.len());
    match random.next(6) {
        0 => bytes[at] ^= 1 << random.next(8),
        1 => bytes[at] = random.byte(),
        2 => bytes.insert(at, random.byte()),
        3 => drop(bytes.remove(at)),
        4 => bytes.truncate(at + 1),
        _ => {
            let piece = bytes[at..(at + 1 + random.next(60)).min(bytes.len())].to_vec();
            let to = random.next(bytes.len());
            bytes.splice(to..to, piece);
        }
    }
}

#[test]
fn no_random_change_is_believed() {
    let number = |name: &str, otherwise: usize| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let (count, seed) = (number("STRONGROOM_MUTATIONS", MUTATIONS), number("STRONGROOM_SEED", 5));
    println!("{count} mutations, STRONGROOM_SEED={seed}");
    let mut random = Random(seed as u64);
    let good = signed().encode_to_vec();
    let mut meant = 0;
    for round in 0..count {
        let mut bytes = good.clone();
        for _ in 0..=random.next(3) {
            mutate(&mut bytes, &mut random);
        }
        if let Ok(signed) = decode(&bytes) {
            let believed = verify(&signed).is_ok();
            assert!(!believed || bytes == good, "round {round} of seed {seed}: {}", hex::encode(&bytes));
        }
        // The publisher's own key over changed content.
        let mut content = signed().release_file;
        mutate(&mut content, &mut random);
        let mut signed = SignedReleaseFile { release_file: content, signature: Vec::new() };
        resign(&mut signed, prefix::RELEASE_FILE, &release_key());
        if let Ok(verified) = verify(&signed) {
            assert_eq!(form::write(verified.file()), signed.release_file, "round {round} of seed {seed}");
            assert!(verified.accept(&[]).unwrap().images().iter().all(|image| image.pcr0 != [0; 48]));
            meant += 1;
        }
    }
    // Changes of hashes and texts leave a file of the same form.
    assert!(meant > count / 20, "only {meant} of {count} changed files were read at all");
}
