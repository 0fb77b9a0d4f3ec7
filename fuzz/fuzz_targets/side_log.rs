//! Feeds `side_log`, which says what must hold.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| piton_campaigns::side_log(bytes));
