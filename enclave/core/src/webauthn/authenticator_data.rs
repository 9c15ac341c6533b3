//! Authenticator data of an assertion: `rpIdHash` (32) ‖ flags (1) ‖ signature counter (4) ‖ extensions, if flagged.

use minicbor::Decoder;
use minicbor::data::Type;
use strongroom_proto::v1::Reason;

use super::rejected;
use crate::refusal::{Refusal, bad, refuse};

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const ATTESTED_CREDENTIAL: u8 = 0x40;
const EXTENSIONS: u8 = 0x80;

const COUNTER_BYTES: usize = 4;

/// Checks relying party, user presence and user verification, and that nothing stands there that an assertion has not. Gives flag BE.
pub(super) fn check(data: &[u8], rp_id_hash: &[u8; 32]) -> Result<bool, Refusal> {
    let short = || bad("assertion.authenticator_data: shorter than 37 bytes");
    let (rp, rest) = data.split_first_chunk::<32>().ok_or_else(short)?;
    let (flags, rest) = rest.split_first().ok_or_else(short)?;
    let extensions = rest.get(COUNTER_BYTES..).ok_or_else(short)?;
    if rp != rp_id_hash {
        return Err(rejected("authenticator_data.rpIdHash: another relying party than the record's"));
    }
    let has = |flag: u8| flags & flag != 0;
    if !has(USER_PRESENT) {
        return Err(refuse(Reason::UserNotVerified, "authenticator_data.flags: UP is not set"));
    }
    if !has(USER_VERIFIED) {
        return Err(refuse(Reason::UserNotVerified, "authenticator_data.flags: UV is not set"));
    }
    if has(BACKED_UP) && !has(BACKUP_ELIGIBLE) {
        return Err(rejected("authenticator_data.flags: BS without BE"));
    }
    if has(ATTESTED_CREDENTIAL) {
        return Err(rejected("authenticator_data.flags: AT in an assertion"));
    }
    let whole = if has(EXTENSIONS) { is_one_map(extensions) } else { extensions.is_empty() };
    if whole {
        Ok(has(BACKUP_ELIGIBLE))
    } else {
        Err(bad("assertion.authenticator_data: other bytes after the counter than its flags say"))
    }
}

fn is_one_map(bytes: &[u8]) -> bool {
    let mut decoder = Decoder::new(bytes);
    matches!(decoder.datatype(), Ok(Type::Map)) && decoder.skip().is_ok() && decoder.position() == bytes.len()
}
