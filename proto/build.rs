//! Compiles the protobuf files without a system `protoc`.

use std::error::Error;

const FILES: &[&str] = &[
    "strongroom/v1/act.proto",
    "strongroom/v1/admin_service.proto",
    "strongroom/v1/attestation.proto",
    "strongroom/v1/backup_service.proto",
    "strongroom/v1/capsule.proto",
    "strongroom/v1/common.proto",
    "strongroom/v1/eject_service.proto",
    "strongroom/v1/error.proto",
    "strongroom/v1/intent.proto",
    "strongroom/v1/passkey_service.proto",
    "strongroom/v1/receipt.proto",
    "strongroom/v1/recovery_service.proto",
    "strongroom/v1/release.proto",
    "strongroom/v1/statement.proto",
    "strongroom/v1/tenant_backend_service.proto",
    "strongroom/v1/tenant_service.proto",
    "strongroom/v1/wallet_service.proto",
    "enclave/v1/frames.proto",
    "enclave/v1/record.proto",
];

/// Messages that hold a secret: their `Debug` is written by hand and prints `[redacted]`.
const SECRET_MESSAGES: &[&str] =
    &[".strongroom.enclave.v1.SetCredentials", ".strongroom.v1.Assertion", ".strongroom.v1.CreateApiKeyResponse"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=strongroom");
    println!("cargo:rerun-if-changed=enclave");
    let descriptors = protox::compile(FILES, ["."])?;
    let mut config = prost_build::Config::new();
    config.skip_debug(SECRET_MESSAGES);
    #[cfg(feature = "grpc")]
    {
        let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
        std::fs::write(out.join("descriptors.bin"), protox::prost::Message::encode_to_vec(&descriptors))?;
        config.service_generator(tonic_prost_build::configure().service_generator());
    }
    config.compile_fds(descriptors)?;
    Ok(())
}
