//! A credential's key and whether a signature holds under it, without any rule about what a key must be.

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

use crate::cbor::{self, Value};

/// Whether `signature` holds over `message` under a `COSE_Key` of any algorithm taken.
pub(crate) fn holds(cose: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Some(key) = cbor::whole(cose) else { return false };
    let member = |label: &Value<'_>| {
        let entries = key.map()?;
        entries.iter().find(|(name, _)| name.value == *label)?.1.bytes()
    };
    let (n, x, y) = (member(&Value::Negative(0)), member(&Value::Negative(1)), member(&Value::Negative(2)));
    match (n, x, y) {
        (None, Some(x), Some(y)) => {
            let point = [&[4], x, y].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature).is_ok()
        }
        (None, Some(x), None) => UnparsedPublicKey::new(&ED25519, x).verify(message, signature).is_ok(),
        (Some(n), Some(e), None) => {
            RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
        }
        _ => false,
    }
}
