//! `relay_tests::fuzz::hook_answer` under libFuzzer.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| relay_tests::fuzz::hook_answer(input));
