//! The target `resp` of tests/fuzz.rs for cargo-fuzz. Knows only its name.
#![no_main]

#[path = "../../tests/fuzz.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::once(input, targets::resp_is_answered_or_skipped_but_never_taken_for_a_line));
