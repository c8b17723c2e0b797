//! The target `number` of tests/fuzz.rs for cargo-fuzz. Knows only its name.
#![no_main]

#[path = "../../tests/fuzz.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::once(input, targets::numbers_are_read_as_they_are_printed_and_never_grow_huge));
