use super::format::{HEADER_BYTES, Header, LANES_MAX, MEMORY_KIB, MEMORY_KIB_MAX, PASSES, PASSES_MAX, TAG_BYTES};
use super::password::encrypt_with;
use super::*;
use crate::testing::{WALLET, pairs, record_view, tenant};
use strongroom_proto::contents::Share;
use strongroom_proto::id::TenantId;
use strongroom_proto::limits::SHARE_BYTES_MAX;
use strongroom_proto::secret::Secret;

mod passwords;

const TEXT: &str = "violin granite otter 88 lampshade";

fn known() -> Known<'static> {
    Known { wallet: WALLET, backup: "main", rp_id: "wallet.example" }
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

fn strong() -> NewPassword {
    NewPassword::new(password(TEXT), &known()).unwrap()
}

fn belongs() -> Belongs<'static> {
    Belongs { tenant: tenant(), wallet: WALLET, backup: "main", method: PASSWORD, generation: 1 }
}

fn share(pair: &str, bytes: &[u8]) -> Share {
    Share { pair: pair.to_owned(), bytes: Secret::new(bytes.to_vec()) }
}

fn shares() -> Vec<Share> {
    vec![share("b", b"the ed25519 share"), share("a", b"the secp256k1 share")]
}

fn made() -> Ciphertexts {
    encrypt_with(Header::new([7; 16]), &belongs(), (&pairs(), &shares()), &strong()).unwrap()
}

fn refusal(result: Result<Vec<Share>, Error>) -> String {
    result.unwrap_err().to_string()
}

/// The ciphertexts with other bytes for each pair.
fn changed(made: &Ciphertexts, change: impl Fn(usize, &mut Vec<u8>)) -> Ciphertexts {
    let mut list = made.0.clone();
    list.iter_mut().enumerate().for_each(|(at, (_, bytes))| change(at, bytes));
    Ciphertexts(list)
}

#[test]
fn shares_open_under_their_password_and_each_time_under_another_salt() {
    let made = encrypt(&belongs(), &pairs(), &shares(), &strong()).unwrap();
    let again = encrypt(&belongs(), &pairs(), &shares(), &strong()).unwrap();
    let opened = open(&belongs(), &made, &password(TEXT)).unwrap();
    let opened: Vec<_> = opened.iter().map(|it| (it.pair.as_str(), it.bytes.expose())).collect();
    assert_eq!(opened, [("a", b"the secp256k1 share".as_slice()), ("b", b"the ed25519 share")]);
    for (pair, bytes) in made.iter() {
        let plain = shares().into_iter().find(|it| it.pair == pair.id).unwrap();
        assert_eq!(bytes.len(), HEADER_BYTES + plain.bytes.expose().len() + TAG_BYTES);
        assert_ne!(bytes, again.of(&pair.id).unwrap());
        assert_ne!(bytes[11..27], again.of(&pair.id).unwrap()[11..27], "the salt is new");
    }
    assert_eq!(
        refusal(open(&belongs(), &made, &password("violin granite otter 88 lampshadf"))),
        Error::Password.to_string()
    );
    assert_eq!(format!("{:?} {:?}", password(TEXT), strong()), "[redacted] NewPassword([redacted])");
}

#[test]
fn the_bytes_are_those_that_were_once_written() {
    // A change here is a change of what users have stored: their backups would not open any more.
    let header = Header::new([7; 16]);
    let aad = [
        b"strongroom/v1/password\0".as_slice(),
        &[1, 1, 0, 1, 0, 0, 0, 0, 0, 3, 1],
        &[7; 16],
        &tenant().0,
        b"\0\x08wallet-1\0\x04main\0\x08PASSWORD",
        &[0, 0, 0, 0, 0, 0, 0, 1],
        b"\0\x01a",
    ];
    assert_eq!(hex::encode(header.aad(&belongs(), "a")), hex::encode(aad.concat()));
    let made = made();
    for (pair, expect) in [("a", KNOWN_A), ("b", KNOWN_B)] {
        assert_eq!(hex::encode(made.of(pair).unwrap()), expect);
    }
}

/// As another implementation makes them, from the same parts: Python's `cryptography` 50.
const KNOWN_A: &str = "010100010000000000030107070707070707070707070707070707e90a53cd5d3e7c582a208132e14f6b5c272b581cc685eb5bebf80408b76710d5290f04";
const KNOWN_B: &str = "010100010000000000030107070707070707070707070707070707759b1848327030ec6540f0c2ec780b9ff2abf7b15453b79126233cae215a2c8080";

#[test]
fn a_ciphertext_opens_nowhere_else() {
    let made = made();
    let elsewhere: [fn(&mut Belongs<'_>); 5] = [
        |it| it.tenant = TenantId([1; 32]),
        |it| it.wallet = "wallet-2",
        |it| it.backup = "second",
        |it| it.method = "PASSWORD-ED25519",
        |it| it.generation = 2,
    ];
    for change in elsewhere {
        let mut belongs = belongs();
        change(&mut belongs);
        assert!(matches!(open(&belongs, &made, &password(TEXT)), Err(Error::Password)), "{belongs:?}");
    }
    // One pair's in the place of the other's.
    let (a, b) = (made.of("a").unwrap().to_vec(), made.of("b").unwrap().to_vec());
    let swapped = changed(&made, |at, bytes| bytes.clone_from(if at == 0 { &b } else { &a }));
    assert!(matches!(open(&belongs(), &swapped, &password(TEXT)), Err(Error::Password)));
}

#[test]
fn what_the_host_changes_is_refused() {
    let made = made();
    // Within the bounds, and yet not as it was made: it is authenticated.
    for (name, change) in [
        ("passes", (|_, it| it[9] = 4) as fn(usize, &mut Vec<u8>)),
        ("lanes", |_, it| it[10] = 2),
        ("salt", |_, it| it[11] ^= 1),
        ("ciphertext", |_, it| it[HEADER_BYTES] ^= 1),
        ("tag", |_, it| *it.last_mut().unwrap() ^= 0x80),
        ("longer", |_, it| it.push(0)),
        ("shorter", |_, it| _ = it.pop()),
    ] {
        assert!(matches!(open(&belongs(), &changed(&made, change), &password(TEXT)), Err(Error::Password)), "{name}");
    }
}

#[test]
fn a_header_outside_its_bounds_costs_no_work() {
    let made = made();
    let with = |at: usize, bytes: &[u8]| {
        let header = |_: usize, it: &mut Vec<u8>| it.splice(at..at + bytes.len(), bytes.iter().copied()).for_each(drop);
        changed(&made, header)
    };
    let started = std::time::Instant::now();
    for (bad, expect) in [
        (with(0, &[2]), "format 2 is unknown; 1 is known"),
        (with(1, &[0]), "derivation 0 is unknown; 1, Argon2id, is known"),
        (with(2, &(MEMORY_KIB - 1).to_be_bytes()), "its memory in KiB is 65535; 65536 to 262144 are allowed"),
        (with(2, &(MEMORY_KIB_MAX + 1).to_be_bytes()), "its memory in KiB is 262145; 65536 to 262144 are allowed"),
        (with(2, &u32::MAX.to_be_bytes()), "its memory in KiB is 4294967295"),
        (with(6, &(PASSES - 1).to_be_bytes()), "its number of passes is 2; 3 to 10 are allowed"),
        (with(6, &(PASSES_MAX + 1).to_be_bytes()), "its number of passes is 11; 3 to 10 are allowed"),
        (with(10, &[0]), "its number of lanes is 0; 1 to 4 are allowed"),
        (with(10, &[u8::try_from(LANES_MAX).unwrap() + 1]), "its number of lanes is 5; 1 to 4 are allowed"),
        (changed(&made, |_, it| it.truncate(HEADER_BYTES + TAG_BYTES)), "a secret has 1 to 262144 bytes"),
        (changed(&made, |_, it| it.resize(HEADER_BYTES + TAG_BYTES + SHARE_BYTES_MAX + 1, 0)), "a secret has 1 to"),
        (changed(&made, |at, it| it[11] ^= u8::from(at == 1)), "those of one generation have different headers"),
        (Ciphertexts(Vec::new()), "there is none"),
    ] {
        let error = refusal(open(&belongs(), &bad, &password(TEXT)));
        assert!(error.starts_with("the ciphertext is malformed: ") && error.contains(expect), "{error}");
    }
    for length in 0..HEADER_BYTES {
        let error = refusal(open(&belongs(), &changed(&made, |_, it| it.truncate(length)), &password(TEXT)));
        assert!(error.contains("too short") || error.contains("a secret has 1 to"), "{length}: {error}");
    }
    // The greatest that is taken is read; nothing was derived so far.
    assert!(
        Header::read(
            &[
                &Header { memory_kib: MEMORY_KIB_MAX, passes: PASSES_MAX, lanes: LANES_MAX, salt: [0; 16] }.to_bytes()
                    [..],
                &[0; 17]
            ]
            .concat()
        )
        .is_ok()
    );
    assert!(started.elapsed() < std::time::Duration::from_millis(500), "{:?}", started.elapsed());
}

#[test]
fn random_headers_are_read_as_they_are_written_or_refused() {
    let seed: [u8; 8] = crate::random::bytes().unwrap();
    let mut state = u64::from_le_bytes(seed) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..20_000 {
        let mut bytes: Vec<u8> = (0..HEADER_BYTES + 17).map(|_| next().to_be_bytes()[0]).collect();
        // Mostly what passes the first checks.
        if next() % 4 > 0 {
            bytes[..10].copy_from_slice(&[1, 1, 0, 1, 0, 0, 0, 0, 0, 3]);
            bytes[usize::try_from(next() % 11).unwrap()] = u8::try_from(next() % 8).unwrap();
        }
        if let Ok((header, sealed)) = Header::read(&bytes) {
            assert_eq!([&header.to_bytes()[..], sealed].concat(), bytes, "seed {seed:?}");
            assert!((MEMORY_KIB..=MEMORY_KIB_MAX).contains(&header.memory_kib), "seed {seed:?}");
            assert!((PASSES..=PASSES_MAX).contains(&header.passes), "seed {seed:?}");
        }
    }
}

#[test]
fn ciphertexts_are_one_of_each_pair_within_their_limits() {
    let of = |ids: &[&str], bytes: usize| {
        let curve = pairs()[0].curve;
        Ciphertexts::new(ids.iter().map(|id| (Pair { id: (*id).to_owned(), curve }, vec![1; bytes])).collect())
    };
    let good = of(&["b", "a"], CIPHERTEXT_BYTES_MAX).unwrap();
    assert_eq!(good.pairs().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    for (result, expect) in [
        (of(&[], 1), "pairs: 0 are given"),
        (of(&["a", "b", "c", "d", "e"], 1), "pairs: 5 are given"),
        (of(&["a", "a"], 1), "pairs: one is there twice"),
        (of(&["a/b"], 1), "is no id"),
        (of(&["a"], 0), "ciphertext of pair a: has 0 bytes; 1 to 263168 are allowed"),
        (of(&["a"], CIPHERTEXT_BYTES_MAX + 1), "ciphertext of pair a: has 263169 bytes"),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    for shares in
        [vec![share("a", b"x")], vec![share("a", b"x"), share("c", b"x")], vec![share("a", b""), share("b", b"x")]]
    {
        assert!(encrypt(&belongs(), &pairs(), &shares, &strong()).is_err());
    }
}

fn generation() -> Generation {
    let prepared = crate::prepare::Prepared::of(vec![record_view()]);
    prepared.role(strongroom_proto::v1::Role::Client).unwrap().view.records()[0].generations[0].clone()
}

fn opaque() -> Ciphertexts {
    Ciphertexts::new(pairs().into_iter().map(|pair| (pair.clone(), pair.id.into_bytes())).collect()).unwrap()
}

type Change = fn(&mut GetClientCiphertextsResponse);

fn read(answer: GetClientCiphertextsResponse, kept: Option<&Ciphertexts>) -> Result<Ciphertexts, Error> {
    Ciphertexts::read(answer, &generation(), kept)
}

#[test]
fn what_a_host_gives_back_is_what_its_hash_names() {
    let answer =
        |storage| GetClientCiphertextsResponse { generation: 1, client_ciphertexts: opaque().to_wire(storage) };
    let (managed, own) = (answer(Storage::Managed), answer(Storage::SelfManaged));
    assert!(own.client_ciphertexts.iter().all(|it| it.ciphertext.is_empty() && it.sha256.len() == 32));
    assert_eq!(read(managed.clone(), None).unwrap(), opaque());
    assert_eq!(read(own.clone(), Some(&opaque())).unwrap(), opaque());
    let missing = read(own.clone(), None).unwrap_err();
    assert!(matches!(missing, Error::NotKept { ref pair } if pair == "a"), "{missing}");
    let other = Ciphertexts::new(pairs().into_iter().map(|pair| (pair, b"x".to_vec())).collect()).unwrap();
    assert!(read(own, Some(&other)).unwrap_err().to_string().contains("ciphertext's SHA-256 is"));
    let cases: [(Change, &str); 7] = [
        (|it| it.generation = 2, "answer's generation is 2, not 1"),
        (|it| _ = it.client_ciphertexts.pop(), "answer's list of pairs is a, not a, b"),
        (|it| it.client_ciphertexts.reverse(), "answer's list of pairs is b, a"),
        (|it| it.client_ciphertexts[1].pair = "a".to_owned(), "answer's list of pairs is a, a"),
        (|it| it.client_ciphertexts[0].ciphertext.push(0), "ciphertext's SHA-256 is"),
        (|it| it.client_ciphertexts[0].sha256[0] ^= 1, "ciphertext's SHA-256 is"),
        (|it| it.client_ciphertexts[0].ciphertext = vec![0; CIPHERTEXT_BYTES_MAX + 1], "it has more than 263168 bytes"),
    ];
    for (change, expect) in cases {
        let mut answer = managed.clone();
        change(&mut answer);
        let error = read(answer, None).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}
