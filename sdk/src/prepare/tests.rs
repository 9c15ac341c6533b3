use super::*;
use crate::identity::RoleIdentity;
use crate::testing::{
    NOW_MS, WALLET, image, now, record_view, role_identity, role_identity_of, root, sign_view, sign_view_as,
    signed_statement, stages, tenant, verified_statement, verified_statement_of_both, wallet_view, wallet_view_of,
};
use strongroom_attestation::AttestationError;
use strongroom_proto::v1::{RecordView, RoleAttestation, Statement, WalletView};

const NONCE: &[u8; 32] = &[6; 32];

impl Prepared {
    /// A service that passed every check, with these records in the client role, and no other role.
    pub(crate) fn of(records: Vec<RecordView>) -> Self {
        let roles = vec![role_of(Role::Client, records)];
        Self { wallet: WALLET.to_owned(), statement: verified_statement(), roles }
    }

    /// A service of both roles that passed every check, with these records.
    pub(crate) fn of_both(client: Vec<RecordView>, custodian: Vec<RecordView>) -> Self {
        let roles = vec![role_of(Role::Client, client), role_of(Role::Custodian, custodian)];
        Self { wallet: WALLET.to_owned(), statement: verified_statement_of_both(), roles }
    }

    /// The same under a statement without operational keys.
    pub(crate) fn without_operational_keys(&mut self) {
        self.with_statement(|statement| statement.operational_keys.clear());
    }

    /// The same under a statement that lists no MPC server.
    pub(crate) fn without_mpc_recipients(&mut self) {
        self.with_statement(|statement| statement.mpc_recipients.clear());
    }

    pub(crate) fn with_statement(&mut self, change: impl FnOnce(&mut Statement)) {
        let mut statement = self.statement.statement().clone();
        change(&mut statement);
        self.statement =
            VerifiedStatement::verify(&crate::statement::sign(&statement, &root()).unwrap(), tenant()).unwrap();
    }
}

fn role_of(role: Role, records: Vec<RecordView>) -> PreparedRole {
    let view = WalletView { records, stages: Some(stages()), ..wallet_view_of(role, NONCE) };
    let asked = Asked { wallet: WALLET, nonce: NONCE, at: now() };
    let view = VerifiedView::verify(&sign_view_as(role, &view), &role_identity_of(role), &asked).unwrap();
    PreparedRole {
        attested: AttestedIdentity { identity: role_identity_of(role), checks: Vec::new(), image: image() },
        view,
    }
}

fn answer(role: Role) -> RolePreparation {
    RolePreparation {
        role: role.into(),
        attestation: Some(RoleAttestation { role: role.into(), identity: vec![1], document: vec![2] }),
        view: Some(sign_view(&wallet_view(NONCE))),
    }
}

fn response(roles: Vec<RolePreparation>) -> PrepareResponse {
    PrepareResponse { statement: Some(signed_statement()), roles }
}

fn ask(response: &PrepareResponse, tenant: TenantId, serial: u64) -> Result<Prepared, Error> {
    let asked = Asked { wallet: WALLET, nonce: NONCE, at: now() };
    check(response, &Question { tenant, serial, asked, trust: &Trust::aws() })
}

#[test]
fn an_answer_is_refused_at_its_first_fault() {
    let client = || answer(Role::Client);
    let no_attestation = RolePreparation { attestation: None, ..client() };
    let no_view = RolePreparation { view: None, ..client() };
    let other_role = RolePreparation { attestation: answer(Role::Custodian).attestation, ..client() };
    for (response, serial, expect) in [
        (PrepareResponse { statement: None, roles: Vec::new() }, 0, "it has no statement"),
        (response(vec![client()]), 4, "serial 3, but 4 is known"),
        (response(vec![client(), client()]), 3, "roles are not in order"),
        (response(vec![answer(Role::Custodian), client()]), 3, "roles are not in order"),
        (response(vec![no_attestation]), 3, "the client role has no attestation"),
        (response(vec![no_view]), 3, "the client role has no view"),
        (response(vec![other_role]), 3, "attestation's role is custodian, not client"),
        (response(vec![client()]), 3, "the attestation document is refused: this is no COSE_Sign1"),
    ] {
        let error = ask(&response, tenant(), serial).unwrap_err().to_string();
        assert!(error.contains(expect), "{expect}: {error}");
    }
    let foreign = ask(&response(vec![client()]), TenantId([0; 32]), 0).unwrap_err();
    assert!(matches!(foreign, Error::ForeignStatement { .. }));
}

#[test]
fn a_view_is_signed_under_an_epoch_in_force_and_shows_no_newer_statement() {
    let newer = |record: RecordView| RecordView { statement_serial: 4, ..record };
    let epoch = |number, record| WalletView { epoch: number, records: vec![record], ..wallet_view(NONCE) };
    for (view, expect) in [
        (epoch(2, record_view()), None),
        (epoch(1, record_view()), Some("epoch 1 of the client role is older than 2")),
        (epoch(2, newer(record_view())), Some("serial 3, but 4 is known")),
    ] {
        let identity = RoleIdentity { epoch: view.epoch, ..role_identity() };
        let attested = AttestedIdentity { identity, checks: Vec::new(), image: image() };
        let asked = Asked { wallet: WALLET, nonce: NONCE, at: now() };
        let checked = check_view(attested, &sign_view(&view), &verified_statement(), &asked);
        let error = checked.err().map(|error| error.to_string());
        assert!(
            expect.map_or(error.is_none(), |expect| error.as_ref().is_some_and(|error| error.contains(expect))),
            "{expect:?}: {error:?}"
        );
    }
}

#[test]
fn roles_that_nobody_signed_are_left_out() {
    let prepared = ask(&response(vec![answer(Role::Custodian)]), tenant(), 3).unwrap();
    assert!(prepared.roles().is_empty());
    assert!(matches!(prepared.role(Role::Client), Err(Error::RoleNotServed { role: "client" })));
    assert!(prepared.base(Role::Client).is_err());
}

#[test]
fn a_refusal_for_the_time_names_the_clock() {
    let expired = || {
        let not_after = Time::from_unix_ms(0);
        Error::from(AttestationError::CertificateExpired {
            certificate: "leaf".to_owned(),
            ago: Span::from_ms(1),
            not_after,
        })
    };
    let view = sign_view(&wallet_view(NONCE));
    let ahead = Time::from_unix_ms(NOW_MS + 5 * 60 * 60 * 1000);
    let blamed = blame_clock(expired(), &view, ahead).to_string();
    assert!(blamed.starts_with("your clock is off by 5 h: it says 2027-01-15T13:00:00Z"), "{blamed}");
    let stands = blame_clock(expired(), &view, now()).to_string();
    assert!(stands.contains("expired"), "{stands}");
    let other = blame_clock(Error::from(AttestationError::Signature), &view, ahead).to_string();
    assert!(other.contains("signature"), "{other}");
}

#[test]
fn intents_are_timed_by_the_enclave() {
    let prepared = Prepared::of(vec![record_view()]);
    let base = prepared.base(Role::Client).unwrap();
    assert_eq!((base.enclave_time, base.statement_serial, base.wallet), (now(), 3, WALLET));
}
