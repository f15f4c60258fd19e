//! A valid component with pieces of it changed: most of what a blind fuzzer makes is refused at the
//! first bytes; this is not.

#![no_main]

#[path = "../../../../tests/evil/wrap.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod wrap;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static BASES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let names = ["good", "host_list", "unknown_handle", "smuggle", "score_short", "decompose_flood", "log_flood"];
    names.into_iter().map(wrap::evil).collect()
});

// The first byte chooses the component; then each five bytes are one change: where (2), what (1),
// and up to two bytes of it.
fuzz_target!(|data: &[u8]| {
    let Some((base, changes)) = data.split_first() else {
        return;
    };
    let mut file = BASES[usize::from(*base) % BASES.len()].clone();
    for change in changes.chunks_exact(5) {
        if file.is_empty() {
            break;
        }
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % file.len();
        match change[2] % 5 {
            0 => file[at] = change[3],
            1 => file[at] ^= 1 << (change[3] % 8),
            2 => file.insert(at, change[3]),
            3 => drop(file.remove(at)),
            _ => {
                let from = usize::from(u16::from_le_bytes([change[3], change[4]])) % file.len();
                let end = file.len().min(from + 16);
                let piece = file[from..end].to_vec();
                file.splice(at..at, piece);
            }
        }
    }
    routir_sandbox::fuzzing::load(&file);
});
