//! Drives the target of this name, which is a function of `strongroom-fuzz-targets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| strongroom_fuzz_targets::run("statement", input));
