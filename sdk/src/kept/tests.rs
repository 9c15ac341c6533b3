use super::*;
use crate::testing::pairs;

const RECORD: RecordId = RecordId([7; 32]);

fn sealed(bytes: [&[u8]; 2]) -> Vec<StoredShare> {
    let of =
        |(pair, bytes): (&str, &[u8])| StoredShare { pair: pair.to_owned(), generation: 3, sealed: bytes.to_vec() };
    ["a", "b"].into_iter().zip(bytes).map(of).collect()
}

fn kept(bytes: [&[u8]; 2]) -> Result<Kept, Error> {
    let shares = sealed(bytes);
    let hashes: Vec<ContentHash> = shares.iter().map(|it| ContentHash::of(&it.sealed)).collect();
    check(shares, &Expected { record_id: RECORD, generation: 3, pairs: &pairs(), hashes: &hashes })
}

#[test]
fn shares_are_checked_one_by_one_against_their_hashes() {
    let whole = kept([b"one", b"two"]).unwrap();
    assert_eq!((whole.kind(), whole.record_id(), whole.generation()), (Kind::Shares, RECORD, 3));
    assert_eq!(whole.shares(), sealed([b"one", b"two"]));
    let longest = vec![0; CIPHERTEXT_BYTES_MAX];
    assert!(kept([&longest, b"x"]).is_ok());
    let longer = vec![0; CIPHERTEXT_BYTES_MAX + 1];
    for bad in [[b"".as_slice(), b"x"], [&longer, b"x"]] {
        assert!(kept(bad).unwrap_err().to_string().contains("1 to 263168 are allowed"));
    }
    let hash = |bytes: &[u8]| ContentHash::of(bytes);
    for (hashes, expect) in [
        (vec![], "number of hashes of sealed shares is 0, not 2"),
        (vec![hash(b"one")], "number of hashes of sealed shares is 1, not 2"),
        (vec![hash(b"one"), hash(b"two"), hash(b"two")], "number of hashes of sealed shares is 3, not 2"),
        (vec![hash(b"two"), hash(b"one")], "sealed share's SHA-256 is"),
    ] {
        let expected = Expected { record_id: RECORD, generation: 3, pairs: &pairs(), hashes: &hashes };
        let error = check(sealed([b"one", b"two"]), &expected).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

#[test]
fn ciphertexts_are_kept_beside_shares_and_given_back_for_their_pairs() {
    let list = pairs().into_iter().map(|it| (it.clone(), it.id.into_bytes())).collect();
    let ciphertexts = Ciphertexts::new(list).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(&dir.path().join("made when it is needed"));
    folder.keep(&Kept::of_ciphertexts(&ciphertexts, RECORD, 3)).unwrap();
    folder.keep(&kept([b"one", b"two"]).unwrap()).unwrap();
    let back = folder.bring(Kind::Ciphertexts, &RECORD, 3).unwrap();
    assert_eq!(back.ciphertexts(&pairs()).unwrap(), ciphertexts);
    assert!(back.ciphertexts(&pairs()[..1]).unwrap_err().to_string().contains("list of pairs is a, b, not a"));
    assert_eq!(folder.bring(Kind::Shares, &RECORD, 3).unwrap().shares()[0].sealed, b"one");
}

#[test]
fn a_folder_keeps_all_and_gives_up_only_what_something_newer_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path());
    let names = || {
        let name = |it: std::io::Result<std::fs::DirEntry>| it.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = std::fs::read_dir(dir.path()).unwrap().map(name).collect();
        names.sort();
        names.iter().map(|it| it.replace(&RECORD.to_string(), "R")).collect::<Vec<_>>()
    };
    assert!(folder.bring(Kind::Shares, &RECORD, 3).unwrap_err().to_string().contains("nothing of generation 3"));
    folder.opened(Kind::Shares, &RECORD, 3).unwrap();
    for bytes in [b"one".as_slice(), b"two", b"three"] {
        folder.keep(&kept([bytes, b"x"]).unwrap()).unwrap();
        assert_eq!(folder.bring(Kind::Shares, &RECORD, 3).unwrap().shares()[0].sealed, bytes);
    }
    // Others' files are neither read nor given up.
    for name in ["R.3.04.shares", "R.3.9.shares.next", "R.3.x.shares", "R.30.7.shares", "R.3.8.ciphertexts", "notes"] {
        std::fs::write(dir.path().join(name.replace('R', &RECORD.to_string())), b"x").unwrap();
    }
    assert_eq!(folder.bring(Kind::Shares, &RECORD, 3).unwrap().shares()[0].sealed, b"three");
    folder.opened(Kind::Shares, &RECORD, 3).unwrap();
    let mut left = names();
    left.retain(|it| it != "R.3.3.shares");
    let others = ["R.3.04.shares", "R.3.8.ciphertexts", "R.3.9.shares.next", "R.3.x.shares", "R.30.7.shares", "notes"];
    assert_eq!((left.len() + 1, left), (names().len(), others.map(str::to_owned).to_vec()));
    // A number is never used again while a newer one is there.
    folder.keep(&kept([b"four", b"x"]).unwrap()).unwrap();
    let path = |number: u32| dir.path().join(format!("{RECORD}.3.{number}.shares"));
    std::fs::rename(path(4), path(1000)).unwrap();
    assert!(folder.keep(&kept([b"five", b"x"]).unwrap()).unwrap_err().to_string().contains("there are 1000"));
}

type Change = fn(&mut KeptFile);

#[test]
fn a_kept_file_is_read_in_its_one_encoding_for_its_own_record_and_generation() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path());
    folder.keep(&kept([b"one", b"two"]).unwrap()).unwrap();
    let path = folder.newest(Kind::Shares, &RECORD, 3).unwrap().unwrap();
    let good = KeptFile::decode(std::fs::read(&path).unwrap().as_slice()).unwrap();
    let cases: [(Change, &str); 8] = [
        (|it| it.version = 2, "version is 2, not 1"),
        (|it| it.record_id[0] ^= 1, "kept file's record is"),
        (|it| it.record_id.clear(), "record_id has 0 bytes"),
        (|it| it.generation = 4, "generation is 4, not 3"),
        (|it| it.shares.clear(), "not one of each pair"),
        (|it| it.shares[1].pair = "a".to_owned(), "not one of each pair"),
        (|it| it.shares[0].generation = 4, "not one of each pair"),
        (|it| it.shares[0].sealed.clear(), "has 0 bytes"),
    ];
    for (change, expect) in cases {
        let mut file = good.clone();
        change(&mut file);
        std::fs::write(&path, file.encode_to_vec()).unwrap();
        let error = folder.bring(Kind::Shares, &RECORD, 3).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    for bytes in [&[good.encode_to_vec(), vec![0x28, 1]].concat()[..], &[], &[0xff]] {
        std::fs::write(&path, bytes).unwrap();
        assert!(folder.bring(Kind::Shares, &RECORD, 3).is_err(), "{bytes:?}");
    }
}
