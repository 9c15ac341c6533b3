//! `frame`: any payload, answered. What comes out was signed for, and every answer decodes.

use crate::oracle;
use crate::stage::{self, body};

/// One payload of a frame.
pub(crate) fn run(payload: &[u8]) {
    stage::with(|stage| {
        // What an input does must not depend on the one before it.
        stage.world.fake.forget();
        let Some(answer) = stage.answer(payload) else { return };
        match body(payload) {
            Some(asked) => {
                oracle::check(stage, &asked, &answer);
            }
            None => assert!(
                matches!(answer, strongroom_proto::enclave::v1::response::Body::Error(_)),
                "what does not decode is refused"
            ),
        }
    });
}

#[cfg(test)]
mod tests {
    use strongroom_proto::enclave::v1::{CreateKek, GetIdentity, GetView, request::Body as Ask};
    use strongroom_proto::v1::Reason;

    use super::*;
    use crate::acts::{creation, recover, recovery, rehearsal, rehearse, sealed_message, sign_creation, two_shares};
    use crate::device::honest;
    use crate::intent::whole;
    use crate::stage::Stage;
    use crate::world::{encode, keep::keep};
    use prost::Message;

    fn genuine(stage: &Stage) -> Vec<Ask> {
        let Stage { world, backup, recipient, .. } = stage;
        let tenant = world.tenant_id();
        let kek = Some(world.epoch.kek());
        let intent = creation(world, "wallet-2", &backup.passkey);
        let message = sealed_message(world, &intent, &two_shares());
        let release = stage.consent(&recovery(world, backup, recipient).encode_to_vec());
        let rehearsed = stage.consent(&rehearsal(world, backup).encode_to_vec());
        let view = GetView {
            tenant: tenant.clone(),
            kek: kek.clone(),
            wallet: "wallet-1".into(),
            nonce: vec![4; 32],
            records: vec![backup.record.clone()],
        };
        vec![
            Ask::CreateKek(CreateKek { tenant: tenant.clone(), epoch: 2 }),
            Ask::GetIdentity(GetIdentity { tenant, kek, nonce: Vec::new() }),
            Ask::GetView(view),
            Ask::CreateRecord(sign_creation(world, intent, message, &backup.passkey, &honest())),
            Ask::Recover(recover(world, release, backup, recipient)),
            Ask::Rehearse(rehearse(world, rehearsed, backup)),
        ]
    }

    /// So the oracle looks at answers of every kind, and not at refusals alone.
    #[test]
    fn genuine_requests_are_given_what_they_ask_for() {
        stage::with(|stage| {
            for ask in genuine(stage) {
                let mut ask = whole(stage, ask);
                if let (Some(statement), _) = crate::world::references(&mut ask) {
                    statement.signed = Some(stage.world.statement.clone());
                }
                let frame = encode(ask.clone());
                keep("frame", &frame);
                let answer = stage.answer(&frame).unwrap();
                assert!(oracle::check(stage, &ask, &answer), "{}", crate::world::told(&answer));
            }
        });
    }

    #[test]
    fn the_oracle_tells_a_refusal_from_an_answer() {
        stage::with(|stage| {
            let Some(Ask::Recover(mut ask)) = genuine(stage).into_iter().nth(4) else { panic!("the recovery") };
            ask.recipient_key[0] ^= 1;
            let ask = whole(stage, Ask::Recover(ask));
            let answer = stage.ask(ask.clone());
            assert!(!oracle::check(stage, &ask, &answer));
            let strongroom_proto::enclave::v1::response::Body::Error(error) = answer else { panic!("refused") };
            assert_eq!(error.reason(), Reason::RecipientNotAllowed);
        });
    }
}
