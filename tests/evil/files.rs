//! Files that are not what they should be: broken, of another kind, wanting too much, or made to
//! keep the compiler busy.

use std::fmt::Write;
use std::time::Instant;

use routir_config::{ExtensionGrants, ExtensionLimits};

use crate::house::{
    End, House, PATIENCE, context, failed, fuse, limits, refused, try_component, try_evil,
};
use crate::wrap;

async fn refuse(file: impl Into<Vec<u8>>, reason: &'static str) {
    try_component(file.into(), End::Refused(reason), &limits()).await;
}

#[tokio::test]
async fn nothing_at_all() {
    refuse(b"", "the file is empty").await;
}

#[tokio::test]
async fn a_file_that_is_too_large() {
    let mut limits = limits();
    limits.component_mb = 1;
    let mut file = wrap::evil("good");
    file.resize((1 << 20) + 1, 0);
    try_component(file, End::Refused("1 MiB"), &limits).await;
}

#[tokio::test]
async fn truncated_files() {
    let file = wrap::evil("good");
    let house = House::new();
    for end in (1..file.len()).step_by(97) {
        let admitted = house.admit(file[..end].to_vec(), &limits()).await;
        let Err(error) = admitted else {
            panic!("the first {end} of {} bytes were let in", file.len());
        };
        refused(&error, "");
    }
    house.is_sound().await;
}

/// Each byte flipped in turn, in strides: whatever is let in must still be sound.
#[tokio::test]
async fn damaged_files() {
    let house = House::new();
    let good = wrap::evil("good");
    for at in (0..good.len()).step_by(41) {
        let mut file = good.clone();
        file[at] ^= 0x55;
        if let Ok(roles) = house.roles(file, &limits()).await
            && roles.fuse.is_some()
        {
            let _ = fuse(&roles, context(None)).await;
        }
    }
    house.is_sound().await;
}

#[tokio::test]
async fn random_bytes() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let noise: Vec<u8> = std::iter::repeat_with(&mut next)
        .take(4096)
        .flatten()
        .collect();
    refuse(noise.clone(), "not WebAssembly").await;
    let mut with_header = b"\0asm\x0d\0\x01\0".to_vec();
    with_header.extend(noise);
    refuse(with_header, "").await;
}

#[tokio::test]
async fn text_instead_of_binary() {
    refuse(b"(component)", "as text").await;
}

/// Machine code of the sandbox's own format, which it must never take from a stranger.
#[tokio::test]
async fn compiled_code() {
    refuse(b"\x7fELF\x02\x01\x01\xc8wasmtime".to_vec(), "native code").await;
}

#[tokio::test]
async fn a_core_module() {
    refuse(
        wrap::core_of(&wrap::text("good")),
        "core WebAssembly module",
    )
    .await;
}

#[tokio::test]
async fn an_empty_component() {
    refuse(wat::parse_str("(component)").unwrap(), "export").await;
}

#[tokio::test]
async fn a_component_of_no_world_of_ours() {
    let text = ";; parts: memory\n(func (export \"run\") (result i32) (i32.const 7))";
    refuse(
        wrap::component("nothing-useful", &wrap::core_of(text)),
        "export",
    )
    .await;
}

#[tokio::test]
async fn a_fusion_that_searches() {
    try_evil("wrong_world_host", End::Refused("routir:extension/host")).await;
}

#[tokio::test]
async fn imports_that_nobody_granted() {
    for (name, wanted) in [
        ("wants_files", "wasi:filesystem"),
        ("wants_sockets", "wasi:sockets"),
        ("wants_environment", "wasi:cli/environment"),
        ("wants_clock", "wasi:clocks"),
        ("wants_random", "wasi:random"),
        ("wants_exit", "wasi:cli/exit"),
        ("wants_host_admin", "routir:admin/server"),
    ] {
        try_evil(name, End::Refused(wanted)).await;
    }
}

/// What is granted with WASI is an empty world: no directory, no variable, no time, no way out of
/// the process.
#[tokio::test]
async fn granted_wasi_shows_nothing() {
    let house = House::new();
    let grants = ExtensionGrants {
        wasi: true,
        ..ExtensionGrants::default()
    };
    for name in [
        "wants_files",
        "wants_environment",
        "wants_clock",
        "wants_exit",
    ] {
        let file = wrap::asleep(name).into();
        let admitted = house
            .sandbox
            .admit(None, file, &limits(), &grants)
            .await
            .unwrap();
        let mut spec = house.spec(&limits());
        spec.grants = grants.clone();
        let roles = admitted.component.roles(spec);
        let answer = fuse(&roles, context(None)).await;
        if name == "wants_exit" {
            failed(answer, "exit");
        } else {
            answer.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        }
    }
    let file = wrap::evil("wants_host_admin").into();
    let admitted = house.sandbox.admit(None, file, &limits(), &grants).await;
    refused(&admitted.map(drop).unwrap_err(), "routir:admin/server");
    house.is_sound().await;
}

/// A kilobyte that describes a million instances: each component holds the one before it twice.
#[tokio::test]
async fn instances_that_double() {
    let mut text = String::from(
        "(component (component $c0 (core module $m) (core instance (instantiate $m)))\n",
    );
    for i in 1..=40 {
        writeln!(
            text,
            "(component $c{i} (alias outer 1 $c{} (component $p)) \
             (instance (instantiate $p)) (instance (instantiate $p)))",
            i - 1
        )
        .unwrap();
    }
    text.push_str("(instance (instantiate $c40)))");
    refuse(wat::parse_str(text).unwrap(), "instances").await;
}

/// A kilobyte that describes a type of a trillion fields.
#[tokio::test]
async fn types_that_double() {
    let mut text = String::from("(component (type $t0 (tuple u8 u8))\n");
    for i in 1..=40 {
        writeln!(text, "(type $t{i} (tuple $t{0} $t{0}))", i - 1).unwrap();
    }
    text.push_str("(import \"f\" (func (param \"x\" $t40))))");
    refuse(wat::parse_str(text).unwrap(), "").await;
}

#[tokio::test]
async fn more_core_instances_than_allowed() {
    let text = "(component (core module $m) ".to_owned()
        + &"(core instance (instantiate $m))".repeat(100)
        + ")";
    refuse(wat::parse_str(text).unwrap(), "instances").await;
}

/// Thousands of long names, none of which belongs into an answer.
#[tokio::test]
async fn more_names_than_anybody_wants_to_read() {
    let long = "n".repeat(5_000);
    let (mut exports, mut imports) = (String::new(), String::new());
    for i in 0..500 {
        writeln!(exports, "(export \"{long}{i}\" (instance $i))").unwrap();
        writeln!(imports, "(import \"{long}{i}\" (instance))").unwrap();
    }
    let exporting = format!("(component (instance $i) {exports})");
    refuse(wat::parse_str(exporting).unwrap(), "export").await;
    let importing = format!("(component {imports})");
    refuse(wat::parse_str(importing).unwrap(), "import").await;
}

/// Components inside components, five thousand deep.
#[tokio::test]
async fn components_inside_components() {
    let mut file = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..5_000 {
        let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
        outer.extend(leb(file.len()));
        outer.extend(&file);
        file = outer;
    }
    refuse(file, "").await;
}

fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        bytes.push(if value == 0 { byte } else { byte | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

/// What keeps a compiler busy, in files of a megabyte or two: each is either compiled or refused,
/// and soon.
async fn compile_bomb(name: &str, fields: &str) {
    let text = format!("{}\n{fields}", wrap::text("good"));
    let file = wrap::component_of(&text);
    let house = House::new();
    let limits = ExtensionLimits {
        component_mb: 4,
        ..limits()
    };
    let started = Instant::now();
    let outcome = house.admit(file.clone(), &limits).await.map(drop);
    let took = started.elapsed();
    eprintln!("{name}: {} bytes, {took:?}, {outcome:?}", file.len());
    assert!(took < 3 * PATIENCE, "{took:?}");
    if let Err(error) = outcome {
        refused(&error, "");
    }
    house.is_sound().await;
}

#[tokio::test]
async fn a_huge_function() {
    let body =
        "(i32.store (local.get 0) (i32.mul (i32.load (local.get 0)) (i32.const 3)))".repeat(20_000);
    compile_bomb("huge function", &format!("(func (param i32) {body})")).await;
}

#[tokio::test]
async fn very_many_functions() {
    compile_bomb("many functions", &"(func)".repeat(20_000)).await;
}

#[tokio::test]
async fn deep_nesting() {
    let depth = 10_000;
    let text = format!("(func {} {})", "block ".repeat(depth), "end ".repeat(depth));
    compile_bomb("deep nesting", &text).await;
}

#[tokio::test]
async fn a_giant_branch_table() {
    let targets = "0 ".repeat(60_000);
    compile_bomb(
        "branch table",
        &format!("(func (param i32) block (br_table {targets} (local.get 0)) end)"),
    )
    .await;
}

/// Locals times blocks: what a compiler must keep for each block is what lives in it.
#[tokio::test]
async fn many_locals_over_many_blocks() {
    let locals = "i64 ".repeat(5_000);
    let block =
        "(loop (br_if 0 (local.get 0)) (local.set 7 (i64.add (local.get 7) (local.get 4000))))";
    compile_bomb(
        "locals",
        &format!("(func (param i32) (local {locals}) {})", block.repeat(500)),
    )
    .await;
}
