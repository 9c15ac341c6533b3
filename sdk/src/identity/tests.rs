use super::*;
use crate::testing::{
    identity, identity_of, manifest, role_identity, role_identity_of, statement, tenant, verified_statement,
    verified_statement_of_both,
};
use prost::Message;
use strongroom_proto::v1::Development;

#[derive(Clone)]
struct Case {
    identity: Identity,
    user_data: Option<Vec<u8>>,
    public_key: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
    pcr16: Option<Pcr>,
    asked: Option<Vec<u8>>,
    development: bool,
}

impl Case {
    /// A document and an identity that fit each other.
    fn of(identity: Identity) -> Self {
        Self {
            user_data: Some(signed::identity_hash(&identity.encode_to_vec()).0.to_vec()),
            pcr16: Some(manifest_pcr16(&identity.manifest)),
            public_key: None,
            nonce: Some(vec![7; 32]),
            asked: Some(vec![7; 32]),
            development: false,
            identity,
        }
    }

    fn check(&self) -> Result<RoleIdentity, Error> {
        let vouched = Vouched {
            user_data: self.user_data.as_deref(),
            public_key: self.public_key.as_deref(),
            nonce: self.nonce.as_deref(),
            pcr16: self.pcr16.as_ref(),
        };
        check(&self.identity.encode_to_vec(), &vouched, self.asked.as_deref(), self.development)
    }
}

fn with(change: impl FnOnce(&mut Identity)) -> Case {
    let mut identity = identity();
    change(&mut identity);
    Case::of(identity)
}

fn with_manifest(change: impl FnOnce(&mut Manifest)) -> Case {
    let mut manifest = manifest();
    change(&mut manifest);
    with(|identity| identity.manifest = manifest.encode_to_vec())
}

#[test]
fn pcr16_is_the_extension_of_a_zero_register() {
    // Computed with Python's hashlib: sha384(bytes(48) + sha384(b"manifest").digest()).
    let expect = include_str!("pcr16.hex").trim();
    assert_eq!(hex::encode(manifest_pcr16(b"manifest")), expect);
}

#[test]
fn what_the_document_vouches_for_is_read() {
    let read = Case::of(identity()).check().unwrap();
    assert_eq!(read, role_identity());
    assert_eq!((read.tenant, read.role, read.epoch), (tenant(), Role::Client, 2));
    let unasked = Case { asked: None, nonce: None, ..Case::of(identity()) };
    assert!(unasked.check().is_ok());
    let development = with_manifest(|m| m.development = Some(Development { kms_root_der: vec![1] }));
    assert!(matches!(development.check(), Err(Error::DevelopmentManifest)));
    let asked_for = Case { development: true, ..development };
    assert!(asked_for.check().is_ok());
}

#[test]
fn each_field_that_does_not_fit_is_named() {
    let good = Case::of(identity());
    let cases = [
        (Case { user_data: None, ..good.clone() }, "attestation document's user_data is empty"),
        (Case { user_data: Some(vec![1; 32]), ..good.clone() }, "user_data is 0101"),
        (Case { public_key: Some(vec![1]), ..good.clone() }, "public_key is 01, not empty"),
        (Case { nonce: None, ..good.clone() }, "nonce is empty"),
        (Case { nonce: Some(vec![8; 32]), ..good.clone() }, "nonce is 0808"),
        (Case { pcr16: None, ..good.clone() }, "no PCR16"),
        (Case { pcr16: Some([1; 48]), ..good }, "PCR16 is 0101"),
        (with(|i| i.tenant.clear()), "tenant has 0 bytes, not 32"),
        (with(|i| i.role = 0), "role 0 is unknown"),
        (with(|i| i.role = 9), "role 9 is unknown"),
        (with(|i| i.role = 2), "manifest's role is client, not custodian"),
        (with(|i| i.epoch = 0), "epoch is 0"),
        (with(|i| i.kek_id.push(1)), "kek_id has 33 bytes"),
        (with(|i| i.channel_key.truncate(1215)), "channel_key has not 1216"),
        (with(|i| i.receipt_key.clear()), "receipt_key has 0 bytes"),
        (with(|i| i.release = 8), "manifest's release is 7, not 8"),
        (with(|i| i.manifest = vec![0xff]), "manifest is malformed"),
        (with(|i| i.manifest.extend([0xf8, 0x07, 1])), "manifest is malformed"),
        (with(|i| i.manifest = vec![0; MANIFEST_BYTES_MAX + 1]), "manifest is malformed: longer than 8192"),
        (with_manifest(|m| m.role = 2), "manifest's role is custodian, not client"),
        (with_manifest(|m| m.release = 1), "manifest's release is 1, not 7"),
    ];
    for (index, (case, expect)) in cases.iter().enumerate() {
        let error = case.check().unwrap_err().to_string();
        assert!(error.contains(expect), "case {index}: {error}");
    }
    let mut bytes = identity().encode_to_vec();
    bytes.extend([0xf8, 0x07, 1]);
    let hash = signed::identity_hash(&bytes);
    let vouched = Vouched { user_data: Some(&hash.0), public_key: None, nonce: None, pcr16: None };
    let error = check(&bytes, &vouched, None, false).unwrap_err().to_string();
    assert!(error.contains("identity is malformed: not in canonical encoding"), "{error}");
}

#[test]
fn the_statement_must_say_the_same() {
    type Change = fn(&mut RoleIdentity);
    let statement = verified_statement();
    assert!(role_identity().check_statement(&statement, Role::Client).is_ok());
    let cases: &[(Change, &str)] = &[
        (|i| i.tenant.0[0] ^= 1, "identity's tenant is"),
        (|i| i.role = Role::Custodian, "identity's role is custodian, not client"),
        (|i| i.epoch = 3, "does not name epoch 3"),
        (|i| i.kek_id.0[0] ^= 1, "identity's kek_id is"),
        (|i| i.channel_key[0] ^= 1, "identity's channel key hash is"),
        (|i| i.receipt_key[0] ^= 1, "identity's receipt_key is"),
    ];
    for (change, expect) in cases {
        let mut identity = role_identity();
        change(&mut identity);
        let error = identity.check_statement(&statement, Role::Client).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    let error = role_identity().check_statement(&statement, Role::Custodian).unwrap_err().to_string();
    assert!(error.contains("role is client, not custodian"), "{error}");
}

#[test]
fn nothing_is_sealed_to_an_epoch_that_the_tenant_gave_up() {
    let statement = verified_statement();
    assert!(role_identity().check_sealable(&statement).is_ok());
    let old = RoleIdentity { epoch: 1, ..role_identity() };
    assert!(old.check_statement(&statement, Role::Client).is_ok());
    let error = old.check_sealable(&statement).unwrap_err();
    assert!(matches!(error, Error::EpochTooOld { role: "client", epoch: 1, lowest: 2 }));
    assert_eq!(self::statement().client.unwrap().lowest_epoch, 2);
}

#[test]
fn an_identity_of_one_role_with_the_other_roles_manifest_is_none() {
    let custodian = identity_of(Role::Custodian);
    assert_eq!(Case::of(custodian.clone()).check().unwrap(), role_identity_of(Role::Custodian));
    // The client's manifest, measured into PCR16 as it is there.
    let with_clients = Identity { manifest: manifest().encode_to_vec(), ..custodian.clone() };
    let error = Case::of(with_clients.clone()).check().unwrap_err().to_string();
    assert!(error.contains("manifest's role is client, not custodian"), "{error}");
    // The custodian's own manifest beside the client's PCR16.
    let pcr16 = Some(manifest_pcr16(&manifest().encode_to_vec()));
    let error = Case { pcr16, ..Case::of(custodian) }.check().unwrap_err().to_string();
    assert!(error.contains("attestation document's PCR16 is"), "{error}");

    let statement = verified_statement_of_both();
    role_identity_of(Role::Custodian).check_statement(&statement, Role::Custodian).unwrap();
    for (identity, role, expect) in [
        (role_identity(), Role::Custodian, "identity's role is client, not custodian"),
        (role_identity_of(Role::Custodian), Role::Client, "identity's role is custodian, not client"),
        (RoleIdentity { role: Role::Custodian, ..role_identity() }, Role::Custodian, "identity's kek_id is"),
        (RoleIdentity { receipt_key: [1; 32], ..role_identity_of(Role::Custodian) }, Role::Custodian, "receipt_key is"),
    ] {
        let error = identity.check_statement(&statement, role).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    let error = role_identity_of(Role::Custodian).check_statement(&verified_statement(), Role::Custodian).unwrap_err();
    assert!(matches!(error, Error::RoleNotInStatement { role: "custodian" }), "{error}");
}
