//! WebAssembly components behind the engine traits: the only crate that links wasmtime.
