//! The shape of a request, looked at before it is decoded.
//!
//! A decoder makes a structure for every empty entry of a list: two bytes on the wire become sixty in memory. So fields are counted
//! first, where lists can be: in the request's body, and in the act inside it.

use prost::bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint};

/// Most fields of a request's body, and of an act: more than any list in them may have.
pub(crate) const FIELDS_MAX: usize = 64;

/// The field of a body that holds its act, in every request that has one.
const ACT: u32 = 4;

/// Whether a request has one body, and neither that nor its act more fields than [`FIELDS_MAX`]. Malformed bytes are for the decoder to
/// refuse.
pub(crate) fn is_bounded(request: &[u8]) -> bool {
    let mut bodies = fields(request);
    let Some(body) = bodies.next() else { return true };
    bodies.next().is_none()
        && count_is_bounded(body.1)
        && fields(body.1).all(|(tag, act)| tag != ACT || count_is_bounded(act))
}

fn count_is_bounded(message: &[u8]) -> bool {
    fields(message).nth(FIELDS_MAX).is_none()
}

/// The fields of a message: tag, and content where the field has a length. Ends at the first malformed one.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    core::iter::from_fn(move || {
        let (tag, wire_type) = decode_key(&mut rest).ok()?;
        let skipped = match wire_type {
            WireType::Varint => decode_varint(&mut rest).ok().map(|_| 0)?,
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => usize::try_from(decode_varint(&mut rest).ok()?).ok()?,
            // The decoder skips groups; a group's keys and fields count here as the message's own, so that they hide nothing.
            WireType::StartGroup | WireType::EndGroup => 0,
        };
        let content = rest.get(..skipped)?;
        rest.advance(skipped);
        Some((tag, content))
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use prost::Message;
    use strongroom_proto::enclave::v1::{GetView, Recover, Request, SealedRecord, SealedShare, request::Body};
    use strongroom_proto::v1::{Act, Assertion};

    use super::*;

    fn check(body: Body, expect: bool) {
        assert_eq!(is_bounded(&Request { body: Some(body) }.encode_to_vec()), expect);
    }

    fn shares(count: usize) -> Body {
        Body::Recover(Recover { shares: vec![SealedShare::default(); count], ..Recover::default() })
    }

    fn assertions(count: usize) -> Body {
        let act = Act { assertions: vec![Assertion::default(); count], ..Act::default() };
        Body::Recover(Recover { act: Some(act), ..Recover::default() })
    }

    #[test]
    fn lists_are_counted_before_they_are_decoded() {
        for make in [shares, assertions] {
            check(make(FIELDS_MAX), true);
            check(make(FIELDS_MAX + 1), false);
            check(make(500_000), false);
        }
        check(
            Body::GetView(GetView { records: vec![SealedRecord::default(); FIELDS_MAX + 1], ..GetView::default() }),
            false,
        );
        check(Body::GetView(GetView { nonce: vec![1; 32], wallet: "w".into(), ..GetView::default() }), true);
    }

    #[test]
    fn groups_hide_nothing() {
        let act = Act { assertions: vec![Assertion::default(); 500], ..Act::default() };
        let body = Recover { act: Some(act), ..Recover::default() }.encode_to_vec();
        let group = [0xa3, 0x06, 0xa4, 0x06];
        let recover = |content: &[u8]| {
            let mut out = vec![0xa2, 0x01];
            prost::encoding::encode_varint(u64::try_from(content.len()).unwrap(), &mut out);
            [out.as_slice(), content].concat()
        };
        for frame in [[&group[..], &recover(&body)].concat(), recover(&[&group[..], &body].concat())] {
            assert!(Request::decode(frame.as_slice()).unwrap().body.is_some(), "the decoder passes over groups");
            assert!(!is_bounded(&frame));
        }
    }

    #[test]
    fn a_request_has_one_body_and_malformed_ones_are_left_to_the_decoder() {
        let one = Request { body: Some(shares(1)) }.encode_to_vec();
        assert!(is_bounded(&one));
        assert!(!is_bounded(&one.repeat(2)), "bodies of one kind would be merged");
        for malformed in [&[][..], &[0xff; 9], &[0x0a, 0x7f], &[0x0b]] {
            assert!(is_bounded(malformed), "{malformed:?}");
        }
    }
}
