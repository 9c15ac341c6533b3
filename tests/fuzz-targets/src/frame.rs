//! `frame`: any payload, answered. What comes out was signed for, and every answer decodes.

#[cfg(test)]
mod tests;

use strongroom_proto::enclave::v1::response::Body as Answer;

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
            None => assert!(matches!(answer, Answer::Error(_)), "what does not decode is refused"),
        }
    });
}
