//! The core, driven from outside: bytes in, bytes out, with a fake platform, a fake KMS, a tenant and a device around it.
//!
//! Each module of refusals changes one thing of a request that would pass, and names the reason and the field that it expects.
//! Nothing here is random but by a seed, which a failing test prints; only ES256 signatures differ from run to run.

mod acts;
mod assertions;
mod both;
mod changes;
mod commits;
mod consents;
mod creations;
mod custodian;
mod custodian_commits;
mod device;
mod due;
mod ejects;
mod events;
mod foreign;
mod forged_keys;
mod intents;
mod keks;
mod matrix;
mod mpc;
mod mutations;
mod orders;
mod passkeys;
mod puts;
mod releases;
mod reseals;
mod roles;
mod self_managed;
mod standing;
mod statements;
mod steps;
mod story;
mod tenant;
mod two_keks;
mod vault;
mod views;
mod waiting;
mod walk;
mod world;
