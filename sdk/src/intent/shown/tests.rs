use super::*;
use crate::testing::creation;
use strongroom_proto::v1::{
    AddPasskeyAction, CancelAction, CarryOutAction, ChangePolicyAction, CreateBackupAction, OpenEjectWindowAction,
    PutSharesAction, RecoverAction, RehearseAction, RemovePasskeyAction, RenamePasskeyAction, StartRecoveryAction,
};

/// The part of the client role, which every case has.
fn part(intent: &mut Intent) -> &mut RolePart {
    intent.client.as_mut().unwrap()
}

fn created(intent: &mut Intent) -> &mut CreateBackupAction {
    let Some(Action::CreateBackup(it)) = &mut intent.action else { panic!("no creation") };
    it
}

fn credential(intent: &mut Intent) -> &mut CredentialRef {
    created(intent).credential.as_mut().unwrap()
}

fn client_policy(intent: &mut Intent) -> &mut Policy {
    created(intent).client_policy.as_mut().unwrap()
}

#[test]
fn each_field_but_the_nonce_changes_the_lines() {
    type Change = fn(&mut Intent);
    let cases: &[Change] = &[
        |i| i.tenant[0] ^= 1,
        |i| i.wallet.push('x'),
        |i| i.statement_serial += 1,
        |i| i.not_after_ms += 1000,
        |i| i.custodian = i.client.clone(),
        |i| part(i).record_id.push(1),
        |i| part(i).head.push(1),
        |i| part(i).message_hash[0] ^= 1,
        |i| part(i).recipient.push(1),
        |i| created(i).backup.push('x'),
        |i| created(i).method.push('x'),
        |i| created(i).secret = SecretKind::Key.into(),
        |i| created(i).generation += 1,
        |i| created(i).pairs[0].id.push('x'),
        |i| created(i).pairs[0].curve = 2,
        |i| created(i).custodian_policy = created(i).client_policy,
        |i| client_policy(i).passkey = false,
        |i| client_policy(i).tenant_signature = true,
        |i| client_policy(i).delay_seconds = 1,
        |i| client_policy(i).newest_head = true,
        |i| credential(i).id.push(1),
        |i| credential(i).key_hash[0] ^= 1,
        |i| credential(i).label.push('x'),
    ];
    let (genuine, _) = creation();
    for (index, change) in cases.iter().enumerate() {
        let mut intent = genuine.intent.clone();
        change(&mut intent);
        assert_ne!(lines(&intent), lines(&genuine.intent), "case {index}");
    }
    let nonce = Intent { nonce: vec![1; 32], ..genuine.intent.clone() };
    assert_eq!(lines(&nonce), lines(&genuine.intent));
}

#[test]
fn each_field_of_an_action_changes_the_lines() {
    let credential = |id: u8, key: u8, label: &str| {
        let (id, key_hash, label) = (vec![id], vec![key], label.to_owned());
        Action::AddPasskey(AddPasskeyAction { credential: Some(CredentialRef { id, key_hash, label }) })
    };
    let put = |generation, id: &str| {
        let pairs = vec![Pair { id: id.to_owned(), curve: 1 }];
        Action::PutShares(PutSharesAction { generation, pairs })
    };
    let rename = |id: u8, label: &str| {
        Action::RenamePasskey(RenamePasskeyAction { credential_id: vec![id], label: label.to_owned() })
    };
    let remove = |id: u8| Action::RemovePasskey(RemovePasskeyAction { credential_id: vec![id] });
    let change =
        |client_policy, custodian_policy| Action::ChangePolicy(ChangePolicyAction { client_policy, custodian_policy });
    let one = Some(Policy { passkey: true, ..Policy::default() });
    let cancel = |kind, hash: u8| Action::Cancel(CancelAction { kind, intent_hash: vec![hash] });
    let carry_out = |kind, hash: u8| Action::CarryOut(CarryOutAction { kind, intent_hash: vec![hash] });
    let recover = |generation, eject| Action::Recover(RecoverAction { generation, eject });
    let rehearse = |generation| Action::Rehearse(RehearseAction { generation });
    let start = |generation, eject| Action::StartRecovery(StartRecoveryAction { generation, eject });
    let window = |duration_seconds| Action::OpenEjectWindow(OpenEjectWindowAction { duration_seconds });
    let groups = [
        vec![credential(1, 1, "a"), credential(2, 1, "a"), credential(1, 2, "a"), credential(1, 1, "b")],
        vec![put(1, "a"), put(2, "a"), put(1, "b")],
        vec![rename(1, "a"), rename(2, "a"), rename(1, "b")],
        vec![remove(1), remove(2)],
        vec![change(one, None), change(None, one), change(one, one)],
        vec![cancel(1, 1), cancel(2, 1), cancel(1, 2)],
        vec![carry_out(1, 1), carry_out(2, 1), carry_out(1, 2)],
        vec![recover(1, false), recover(2, false), recover(1, true)],
        vec![rehearse(1), rehearse(2)],
        vec![start(1, false), start(2, false), start(1, true)],
        vec![window(60), window(61)],
    ];
    for group in &groups {
        for (at, action) in group.iter().enumerate() {
            for other in &group[at + 1..] {
                assert_ne!(action_lines(action), action_lines(other), "{action:?} and {other:?}");
            }
        }
    }
}
