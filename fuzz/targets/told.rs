#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hotswap_fuzz::told(data));
