//! The target `framed` of tests/fuzz.rs for cargo-fuzz. Knows only its name.
#![no_main]

#[path = "../../tests/fuzz.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::once(input, targets::decoders_yield_the_same_in_any_pieces_and_hold_no_more_than_their_limit));
