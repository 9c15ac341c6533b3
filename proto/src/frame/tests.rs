use std::vec;

use super::*;

fn frames(chunks: &[&[u8]]) -> Result<Vec<Frame>, FrameTooLong> {
    let mut decoder = Decoder::new();
    let mut out = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        while let Some(frame) = decoder.next_frame()? {
            out.push(frame);
        }
    }
    Ok(out)
}

fn three() -> (Vec<Frame>, Vec<u8>) {
    let expect: Vec<Frame> = [(1, &b"one"[..]), (u64::MAX, b""), (7, &[9; 300])]
        .map(|(id, payload)| Frame { id, payload: payload.to_vec() })
        .into();
    let mut bytes = Vec::new();
    for frame in &expect {
        encode(frame.id, &frame.payload, &mut bytes).unwrap();
    }
    (expect, bytes)
}

#[test]
fn frames_come_whole_however_the_bytes_are_cut() {
    let (expect, bytes) = three();
    assert_eq!(frames(&[&bytes]).unwrap(), expect);
    for cut in 0..bytes.len() {
        assert_eq!(frames(&[&bytes[..cut], &bytes[cut..]]).unwrap(), expect, "cut at {cut}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(frames(&single).unwrap(), expect);
}

#[test]
fn a_cut_frame_is_awaited_and_never_given() {
    let (expect, bytes) = three();
    let got = frames(&[&bytes[..bytes.len() - 1]]).unwrap();
    assert_eq!(got, expect[..2]);
}

#[test]
fn a_length_at_the_limit_passes_and_one_past_it_is_refused_by_its_header_alone() {
    let longest = vec![0; FRAME_BYTES_MAX];
    let mut bytes = Vec::new();
    encode(3, &longest, &mut bytes).unwrap();
    assert_eq!(frames(&[&bytes]).unwrap()[0].payload.len(), FRAME_BYTES_MAX);

    let mut out = Vec::new();
    assert_eq!(encode(3, &vec![0; FRAME_BYTES_MAX + 1], &mut out), Err(FrameTooLong(FRAME_BYTES_MAX + 1)));
    assert!(out.is_empty());
    let announced = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes();
    assert_eq!(frames(&[&announced]), Err(FrameTooLong(FRAME_BYTES_MAX + 1)));
}
