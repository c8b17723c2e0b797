//! The target `checkpoint` of tests/fuzz.rs for cargo-fuzz. Knows only its name.
#![no_main]

#[path = "../../tests/fuzz.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::once(input, targets::checkpoints_are_read_back_and_damaged_ones_refused));
