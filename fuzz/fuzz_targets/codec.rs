//! The target `codec` of tests/fuzz.rs for cargo-fuzz. Knows only its name.
#![no_main]

#[path = "../../tests/fuzz.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::once(input, targets::codec_finds_the_same_in_any_pieces_and_holds_no_more_than_its_limit));
