//! Every epoch of a role, attested before a statement names it.

use strongroom_attestation::Image;
use strongroom_proto::id::TenantId;
use strongroom_proto::limits::EPOCHS_MAX;
use strongroom_proto::v1::{Manifest, Role};

use crate::attest::{self, AttestedIdentity};
use crate::client::Client;
use crate::error::{Error, expect, expect_bytes};
use crate::random;
use crate::trust::Trust;

/// Checks every epoch of a role that exists, up to the newest, each with a fresh nonce. All of them lie under one KMS key: a host that
/// has an enclave make one epoch under a key of its own opens that epoch itself.
///
/// # Errors
/// [`Error::Refused`], or as [`attest::by_images`]; [`Error::Mismatch`] for another tenant's identity, or an epoch under another KMS key
/// than the newest.
pub async fn attest_role(
    client: &Client,
    tenant: TenantId,
    role: Role,
    images: &[Image],
    trust: &Trust,
) -> Result<Vec<AttestedIdentity>, Error> {
    every_epoch(async |epoch| attest_epoch(client, tenant, role, epoch, images, trust).await).await
}

/// `attest` attests one epoch, the newest for 0.
async fn every_epoch(
    attest: impl AsyncFn(u64) -> Result<AttestedIdentity, Error>,
) -> Result<Vec<AttestedIdentity>, Error> {
    let newest = attest(0).await?;
    let number = newest.identity.epoch;
    if number > EPOCHS_MAX as u64 {
        return Err(Error::malformed(
            "identity",
            format_args!("epoch {number}; a statement names at most {EPOCHS_MAX}"),
        ));
    }
    let mut attested = Vec::new();
    for number in 1..number {
        let older = attest(number).await?;
        check_same_key(&older.identity.manifest, &newest.identity.manifest)?;
        attested.push(older);
    }
    attested.push(newest);
    Ok(attested)
}

async fn attest_epoch(
    client: &Client,
    tenant: TenantId,
    role: Role,
    epoch: u64,
    images: &[Image],
    trust: &Trust,
) -> Result<AttestedIdentity, Error> {
    let nonce: [u8; 32] = random::bytes()?;
    let answer = client.get_attestation(role, epoch, &nonce).await?;
    let attested = attest::by_images(&answer, images, role, &nonce, trust, crate::device::now())?;
    expect_bytes("identity", "tenant", attested.identity.tenant, tenant)?;
    if epoch != 0 {
        expect("identity", "epoch", attested.identity.epoch, epoch)?;
    }
    Ok(attested)
}

/// Refuses a manifest that differs from one of the same role in anything but the release: a role keeps its KMS key.
pub(super) fn check_same_key(manifest: &Manifest, of_role: &Manifest) -> Result<(), Error> {
    expect("manifest", "kms_key_arn", &manifest.kms_key_arn, &of_role.kms_key_arn)?;
    expect("manifest", "region", &manifest.region, &of_role.region)?;
    if manifest.development != of_role.development {
        let reason = "its development section is not that of the enclave that runs";
        return Err(Error::malformed("manifest", reason));
    }
    Ok(())
}

/// Refuses roles whose KMS keys are of one AWS account, whose owner would hold client and custodian shares alike; unless both enclaves'
/// manifests are for development, where one account will do.
///
/// # Errors
/// [`Error::Input`].
pub fn check_accounts(attested: &[AttestedIdentity]) -> Result<(), Error> {
    let of = |role| {
        let of_role = attested.iter().map(|attested| &attested.identity).filter(move |it| it.role == role);
        of_role.map(|identity| &identity.manifest)
    };
    for (client, custodian) in of(Role::Client).flat_map(|client| of(Role::Custodian).map(move |other| (client, other)))
    {
        let is_tried_out = client.development.is_some() && custodian.development.is_some();
        let [account, other] = [client, custodian].map(|it| it.kms_key_arn.split(':').nth(4));
        if !is_tried_out && account == other {
            let account = account.unwrap_or_default();
            let problem = format!("the client's and the custodian's are both of account {account}: each has its own");
            return Err(Error::input("KMS keys", problem));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use strongroom_proto::v1::Development;

    use super::*;
    use crate::testing::{image, role_identity, role_identity_of};

    type Change = fn(&mut Manifest);

    /// What a host shows that has three epochs, where the manifest of one is changed.
    async fn shown(epoch: u64, change: Change) -> Result<Vec<u64>, String> {
        let attest = async |asked: u64| {
            let mut identity = role_identity();
            identity.epoch = if asked == 0 { 3 } else { asked };
            if identity.epoch == epoch {
                change(&mut identity.manifest);
            }
            Ok(AttestedIdentity { identity, checks: Vec::new(), image: image() })
        };
        let attested = every_epoch(attest).await.map_err(|error| error.to_string())?;
        Ok(attested.iter().map(|attested| attested.identity.epoch).collect())
    }

    #[tokio::test]
    async fn every_epoch_of_a_role_lies_under_one_kms_key() {
        assert_eq!(shown(0, |_| {}).await, Ok(vec![1, 2, 3]));
        let cases: &[(Change, &str)] = &[
            (
                |m| m.kms_key_arn = "arn:aws:kms:eu-central-1:999988887777:key/x".to_owned(),
                "the manifest's kms_key_arn is ",
            ),
            (|m| m.kms_key_arn.push('0'), "the manifest's kms_key_arn is "),
            (|m| m.region = "eu-west-1".to_owned(), "the manifest's region is "),
            (|m| m.development = Some(Development::default()), "the manifest is malformed: its development section"),
        ];
        for (change, expect) in cases {
            for epoch in [1, 2, 3] {
                let error = shown(epoch, *change).await.unwrap_err();
                assert!(error.contains(expect), "{epoch}: {expect}: {error}");
            }
        }
        // The release may be another one, as long as a fleet changes over.
        for epoch in [1, 2, 3] {
            assert_eq!(shown(epoch, |m| m.release = 9).await, Ok(vec![1, 2, 3]));
        }
    }

    #[tokio::test]
    async fn more_epochs_than_a_statement_names_are_refused() {
        let attest = async |_| {
            let mut identity = role_identity();
            identity.epoch = EPOCHS_MAX as u64 + 1;
            Ok(AttestedIdentity { identity, checks: Vec::new(), image: image() })
        };
        assert!(matches!(every_epoch(attest).await, Err(Error::Malformed { part: "identity", .. })));
    }

    #[test]
    fn the_roles_keys_are_of_two_accounts() {
        let check = |change: fn(&mut Manifest, &mut Manifest), roles: &[Role]| {
            let [mut client, mut custodian] = [Role::Client, Role::Custodian].map(role_identity_of);
            change(&mut client.manifest, &mut custodian.manifest);
            let of = |role: &Role| if *role == Role::Client { client.clone() } else { custodian.clone() };
            let attested = |role| AttestedIdentity { identity: of(role), checks: Vec::new(), image: image() };
            check_accounts(&roles.iter().map(attested).collect::<Vec<_>>()).map_err(|error| error.to_string())
        };
        let both = [Role::Client, Role::Client, Role::Custodian];
        let refused: &[fn(&mut Manifest, &mut Manifest)] = &[
            |_, _| {},
            |client, _| client.development = Some(Development::default()),
            |_, custodian| custodian.development = Some(Development::default()),
        ];
        for change in refused {
            let error = check(*change, &both).unwrap_err();
            assert!(error.contains("are both of account 111122223333"), "{error}");
            // A statement of one role has one key.
            check(*change, &both[..2]).unwrap();
        }
        check(|_, it| it.kms_key_arn = "arn:aws:kms:eu-central-1:444455556666:key/1".to_owned(), &both).unwrap();
        let in_development: fn(&mut Manifest, &mut Manifest) = |client, custodian| {
            client.development = Some(Development::default());
            custodian.development = Some(Development::default());
        };
        check(in_development, &both).unwrap();
    }
}
