//! Foreign bytes as a component: they are refused, or let in and called, within their limits.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| routir_sandbox::fuzzing::load(data));
