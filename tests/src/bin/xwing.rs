//! Seals the plaintexts of a vector file anew and prints the same shape: `xwing FILE`, for another implementation to open.

use anyhow::{Context, Result};
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::{Deserializable, Kem, OpModeS, Serializable, single_shot_seal};
use serde_json::{Value, json};
use strongroom_core::XWing;

fn main() -> Result<()> {
    let path = std::env::args_os().nth(1).context("usage: xwing FILE")?;
    let file: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let vectors = file["vectors"].as_array().context("no vectors")?;
    let sealed: Vec<Value> = vectors.iter().map(seal).collect::<Result<_>>()?;
    println!("{}", json!({ "vectors": sealed }));
    Ok(())
}

fn seal(vector: &Value) -> Result<Value> {
    let member = |name: &str| hex::decode(vector[name].as_str().unwrap_or("no hex")).context(name.to_owned());
    let (plaintext, info, aad) = (member("plaintext")?, member("info")?, member("aad")?);
    let key = <XWing as Kem>::PublicKey::from_bytes(&member("public_key")?)?;
    let (enc, ciphertext) =
        single_shot_seal::<AesGcm256, HkdfSha256, XWing>(&OpModeS::Base, &key, &info, &plaintext, &aad)?;
    let mut sealed = vector.clone();
    sealed["enc"] = hex::encode(enc.to_bytes()).into();
    sealed["ciphertext"] = hex::encode(ciphertext).into();
    Ok(sealed)
}
