//! Compiles the services of `strongroom.v1` for a server that offers few of their calls: whatever it does not write answers
//! `UNIMPLEMENTED`, also what the API gains later. Messages come from `strongroom-proto`.

use std::error::Error;

const PROTO: &str = "../../proto";
const FILES: &[&str] = &[
    "strongroom/v1/backup_service.proto",
    "strongroom/v1/passkey_service.proto",
    "strongroom/v1/recovery_service.proto",
    "strongroom/v1/tenant_backend_service.proto",
    "strongroom/v1/tenant_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}/strongroom");
    let services = tonic_prost_build::configure().build_client(false).generate_default_stubs(true).service_generator();
    prost_build::Config::new()
        .extern_path(".strongroom.v1", "::strongroom_proto::v1")
        .service_generator(services)
        .compile_fds(protox::compile(FILES, [PROTO])?)?;
    Ok(())
}
