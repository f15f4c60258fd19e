//! A guest's answers, before the conversion layer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| routir_sandbox::fuzzing::convert(data));
