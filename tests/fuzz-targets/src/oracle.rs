//! What must be true of an answer that gives something: found again from the request alone, by other means than the core's.
//!
//! An answer that this module does not know to be right is wrong: it says what must stand in every field of record, event and receipt.

mod acts;
mod changes;
mod commit;
mod consents;
mod moved;
mod reseal;
mod scene;
mod shares;
mod views;

use strongroom_proto::enclave::v1::{request::Body as Ask, response::Body as Answer};

use crate::stage::Stage;
use crate::world::references;
use scene::Scene;

/// Asks, and checks the answer. True where the core gave what was asked for.
pub(crate) fn gives(stage: &Stage, ask: Ask) -> bool {
    let ask = stage.whole(ask);
    let answer = stage.ask(&ask);
    check(stage, &ask, &answer)
}

/// Checks an answer against what was asked. True where the core gave what was asked for.
pub(crate) fn check(stage: &Stage, asked: &Ask, answer: &Answer) -> bool {
    match answer {
        Answer::Error(error) => {
            assert!(error.reason != 0 && (1..400).contains(&error.detail.len()), "a refusal says why: {error:?}");
            return false;
        }
        Answer::Need(need) => {
            let mut asked = asked.clone();
            let (statement, kek, other) = references(&mut asked);
            assert!(need.statement || need.kek || need.other_kek, "nothing is needed");
            assert!(!need.statement || statement.is_some_and(|it| it.signed.is_none()), "the statement is there");
            assert!(!need.kek || kek.is_some_and(|it| it.wrapped.is_empty()), "the KEK is there");
            assert!(!need.other_kek || other.is_some_and(|it| it.wrapped.is_empty()), "the other KEK is there");
            return false;
        }
        _ => {}
    }
    if let (Ask::CreateKek(asked), Answer::KekCreated(made)) = (asked, answer) {
        assert!(asked.epoch > 0 && asked.tenant.len() == 32, "a KEK of nobody");
        assert_eq!((made.epoch, made.wrapped.as_slice()), (asked.epoch, &b"wrapped: new"[..]));
        return true;
    }
    let scene = Scene::of(stage, asked);
    match (asked, answer) {
        (Ask::GetIdentity(asked), Answer::IdentityProven(proven)) => views::identity(&scene, asked, proven),
        (Ask::GetView(asked), Answer::View(answer)) => views::view(&scene, asked, answer),
        (Ask::Rehearse(asked), Answer::Rehearsed(done)) => views::rehearsal(&scene, asked, done),
        (Ask::CreateRecord(asked), Answer::Moved(moved)) => acts::creation(&scene, asked, moved),
        (Ask::Recover(asked), Answer::Moved(moved)) => acts::recovery(&scene, asked, moved),
        (Ask::PutShares(asked), Answer::Moved(moved)) => acts::put(&scene, asked, moved),
        (Ask::CarryOut(asked), Answer::Moved(moved)) => acts::carried_out(&scene, asked, moved),
        (Ask::Change(asked), Answer::Moved(moved)) => changes::check(&scene, asked, moved),
        (Ask::Commit(asked), Answer::Moved(moved)) => commit::check(&scene, asked, moved),
        (Ask::Reseal(asked), Answer::Resealed(done)) => reseal::check(&scene, asked, done),
        _ => panic!("an answer to another request: {}", crate::world::told(answer)),
    }
    true
}
