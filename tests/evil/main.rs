//! Hostile guests against the sandbox: one test per evil. Each must be stopped within its limit,
//! with an error that names the extension and the limit; its memory must come back, and the next
//! call of a good extension must work.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test's helpers may fail loudly"
)]

mod answers;
mod files;
mod forged;
mod host;
mod house;
mod manifests;
mod memory;
mod neighbours;
mod state;
mod time;
mod wrap;

/// Writes every hostile guest as a component into a folder, for a fuzzer to start from.
#[test]
#[ignore = "for runtime/sandbox/fuzz/run.sh"]
fn seeds() {
    let folder = std::path::PathBuf::from(std::env::var_os("ROUTIR_FUZZ_SEEDS").unwrap());
    std::fs::create_dir_all(&folder).unwrap();
    for name in wrap::names() {
        std::fs::write(folder.join(format!("{name}.wasm")), wrap::evil(&name)).unwrap();
    }
}

/// A guest that no test runs is no evidence.
#[test]
fn every_guest_is_run_by_a_test() {
    let tests = [
        include_str!("answers.rs"),
        include_str!("files.rs"),
        include_str!("memory.rs"),
        include_str!("neighbours.rs"),
        include_str!("state.rs"),
        include_str!("time.rs"),
    ]
    .concat();
    for name in wrap::names() {
        let quoted = tests.contains(&format!("\"{name}\""));
        let listed = tests.contains(&format!("    {name}: End::"));
        assert!(quoted || listed, "`{name}.wat` is in no test");
    }
}
