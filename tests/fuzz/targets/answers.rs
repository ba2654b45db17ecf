//! `relay_tests::fuzz::answers` under libFuzzer.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| relay_tests::fuzz::answers(input));
