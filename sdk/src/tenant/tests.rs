use super::*;
use crate::statement::sign;
use crate::testing::{NOW_MS, epoch, image, now, role_identity, role_identity_of, root, standby, statement, tenant};
use strongroom_proto::statement::check;

fn draft(previous: Option<&Statement>) -> Draft<'_> {
    Draft {
        keys: TenantKeys { root_key: *root().public_key(), standby_key: *standby().public_key() },
        previous,
        operational_key: [77; 32],
        now: now(),
        images: vec![Image { pcr0: [9; 48], pcr1: [8; 48], pcr2: [7; 48] }],
        attested: vec![AttestedIdentity { identity: role_identity(), checks: Vec::new(), image: image() }],
        manifests: Vec::new(),
        keep: false,
        lowest_epoch: None,
        rp_id: "wallet.example".to_owned(),
        origins: vec!["https://b.example".to_owned(), "https://a.example".to_owned()],
        top_origins: Vec::new(),
        mpc_recipients: vec![[2; 32], [1; 32]],
    }
}

#[test]
fn the_first_statement_says_what_was_attested() {
    let statement = draft(None).build();
    assert_eq!(check(&statement), Ok(()));
    assert_eq!(statement.serial, 1);
    let role = statement.client.as_ref().unwrap();
    assert_eq!((&role.epochs, role.lowest_epoch), (&vec![epoch(2)], 2));
    assert_eq!(role.pcr16, [role_identity().pcr16.to_vec()]);
    assert_eq!(statement.custodian, None);
    let [key] = statement.operational_keys.as_slice() else { panic!("one key") };
    assert!(key.not_before_ms < NOW_MS && key.not_after_ms - key.not_before_ms == OPERATIONAL_KEY_MS_MAX);
}

#[test]
fn a_later_statement_only_adds_epochs() {
    let mut before = statement();
    before.operational_keys[0].not_after_ms = NOW_MS + 1;
    before.operational_keys[0].not_before_ms = NOW_MS;
    let role = before.client.as_mut().unwrap();
    role.epochs.truncate(1);
    role.lowest_epoch = 1;
    role.pcr16 = vec![vec![6; 48]];
    let next = draft(Some(&before)).build();
    assert_eq!(check(&next), Ok(()));
    assert_eq!((next.serial, next.operational_keys.len(), next.images.len()), (4, 2, 1));
    let role = next.client.unwrap();
    assert_eq!((role.epochs, role.lowest_epoch), (vec![epoch(1), epoch(2)], 2));
    assert_eq!(role.pcr16, [role_identity().pcr16.to_vec()]);
    let kept = Draft { keep: true, ..draft(Some(&before)) }.build();
    assert_eq!(check(&kept), Ok(()));
    assert_eq!((kept.images.len(), kept.client.unwrap().pcr16.len()), (2, 2));

    before.operational_keys[0].not_after_ms = NOW_MS;
    assert_eq!(draft(Some(&before)).build().operational_keys.len(), 1);
    // Another key under a number that is listed already is not put beside it in silence.
    let mut changed = statement();
    changed.client.as_mut().unwrap().epochs[1].kek_id = vec![6; 32];
    assert!(check(&draft(Some(&changed)).build()).is_err());
}

#[test]
fn the_lowest_epoch_is_one_that_was_attested_and_never_goes_back() {
    let before = statement();
    let with = |lowest_epoch, previous| Draft { lowest_epoch, ..draft(previous) };
    for (lowest, previous, expect) in [
        (None, None, Ok(2)),
        (Some(2), Some(&before), Ok(2)),
        (Some(1), None, Ok(1)),
        (Some(3), None, Err("lowest epoch: 3; the newest of the client role is 2")),
        (Some(1), Some(&before), Err("lowest epoch: 1; the client role gave up all below 2")),
    ] {
        let draft = with(lowest, previous);
        let lowest = draft.check_lowest_epoch().map(|()| draft.build().client.unwrap().lowest_epoch);
        assert_eq!(lowest.map_err(|error| error.to_string()), expect.map_err(str::to_owned));
    }
}

#[test]
fn each_role_has_a_lowest_epoch_of_its_own() {
    let mut custodian = role_identity_of(Role::Custodian);
    custodian.epoch = 5;
    let both = || {
        let identities = [role_identity(), custodian.clone()];
        identities.map(|identity| AttestedIdentity { identity, checks: Vec::new(), image: image() }).to_vec()
    };
    for (client, custodian, expect) in [
        (None, None, Ok((2, 5))),
        (Some(1), None, Ok((1, 5))),
        (None, Some(4), Ok((2, 4))),
        (Some(2), Some(5), Ok((2, 5))),
        (Some(1), Some(1), Ok((1, 1))),
        (Some(3), Some(5), Err("lowest epoch: 3; the newest of the client role is 2")),
        (None, Some(6), Err("lowest epoch: 6; the newest of the custodian role is 5")),
    ] {
        let (draft, lowest) = (Draft { attested: both(), ..draft(None) }, LowestEpochs { client, custodian });
        let lowest = draft.check_lowest_epochs(lowest).map(|()| {
            let statement = draft.build_with(lowest);
            (statement.client.unwrap().lowest_epoch, statement.custodian.unwrap().lowest_epoch)
        });
        assert_eq!(lowest.map_err(|error| error.to_string()), expect.map_err(str::to_owned));
    }
}

#[test]
fn a_folder_keeps_keys_and_the_newest_statement() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(&dir.path().join("acme"));
    let weak = folder.init(&Passphrase::new("short".to_owned())).unwrap_err();
    assert!(matches!(weak, Error::Input { .. }) && !folder.0.exists());
    let passphrase = || Passphrase::new("correct horse battery".to_owned());
    let keys = folder.init(&passphrase()).unwrap();
    assert_eq!(folder.tenant_keys().unwrap(), keys);
    assert!(matches!(folder.init(&passphrase()), Err(Error::Exists(_))));
    for purpose in [KeyUse::Root, KeyUse::Standby, KeyUse::Operational] {
        assert!(SigningKey::read(&folder.key_file(purpose), purpose, || Ok(passphrase())).is_ok());
    }
    assert!(folder.statement(tenant()).unwrap().is_none());
    let signed = sign(&statement(), &root()).unwrap();
    folder.keep(&signed).unwrap();
    folder.keep(&signed).unwrap();
    assert_eq!(folder.statement(tenant()).unwrap().unwrap().serial(), 3);
    assert!(matches!(folder.statement(keys.tenant()), Err(Error::ForeignStatement { .. })));

    let path = folder.tenant_file();
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in [("\"version\": 1", "\"version\": 2"), ("root_key\": \"", "root_key\": \"00"), ("{", "")] {
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        assert!(matches!(folder.tenant_keys(), Err(Error::File { .. })), "{from}");
    }
}
