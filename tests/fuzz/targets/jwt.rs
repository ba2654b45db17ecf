//! `relay_tests::fuzz::jwt` under libFuzzer.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| relay_tests::fuzz::jwt(input));
