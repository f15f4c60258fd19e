//! The compiling child process: this program itself, executed once more.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

#[path = "common/guest.rs"]
#[allow(
    dead_code,
    clippy::indexing_slicing,
    reason = "shared with other tests"
)]
mod guest;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use guest::Guest;
use routir_config::{ExtensionGrants, ExtensionLimits};
use routir_core::{ErrorCode, Result};
use routir_sandbox::{Admitted, Compiler, Sandbox, SandboxSettings, compile_child};
use tempfile::TempDir;

/// The argument that makes this program a compiler.
const CHILD: &str = "compiling-child";

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|first| first == CHILD) {
        return compile_child();
    }
    let tests: [(&str, fn()); 7] = [
        (
            "the_code_is_that_of_this_process",
            the_code_is_that_of_this_process,
        ),
        (
            "what_is_no_component_is_refused_in_words",
            what_is_no_component_is_refused_in_words,
        ),
        ("memory_ends_at_its_limit", memory_ends_at_its_limit),
        (
            "processor_time_ends_at_its_limit",
            processor_time_ends_at_its_limit,
        ),
        (
            "a_child_ends_with_who_waits_for_it",
            a_child_ends_with_who_waits_for_it,
        ),
        (
            "a_missing_compiler_is_the_operators_problem",
            a_missing_compiler_is_the_operators_problem,
        ),
        (
            "without_an_order_it_does_nothing",
            without_an_order_it_does_nothing,
        ),
    ];
    // The harness's own options, as cargo and others pass them: names filter, `--list` lists.
    let filters: Vec<_> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    for (name, test) in tests {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(*filter)) {
            continue;
        }
        if args.iter().any(|arg| arg == "--list") {
            println!("{name}: test");
            continue;
        }
        test();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

struct House {
    sandbox: Arc<Sandbox>,
    cache: TempDir,
}

impl House {
    fn new(change: impl FnOnce(&mut SandboxSettings)) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let mut settings = SandboxSettings {
            cache_dir: cache.path().to_owned(),
            instances: 4,
            compiler: child("usual"),
            compile_memory_mb: 2048,
            compile_cpu_s: 120,
            threads: 1,
        };
        change(&mut settings);
        Self {
            sandbox: Sandbox::new(settings).unwrap(),
            cache,
        }
    }

    async fn admit(&self, component: Vec<u8>) -> Result<Admitted> {
        let (limits, grants) = (ExtensionLimits::default(), ExtensionGrants::default());
        self.sandbox
            .admit(None, component.into(), &limits, &grants)
            .await
    }

    /// All that was compiled.
    fn code(&self) -> Vec<u8> {
        let mut files = fs::read_dir(self.cache.path()).unwrap();
        let code = fs::read(files.next().unwrap().unwrap().path()).unwrap();
        assert!(files.next().is_none());
        code
    }
}

/// This program as a compiler, with a mark to find it by.
fn child(mark: &str) -> Compiler {
    Compiler::Child {
        program: std::env::current_exe().unwrap(),
        args: vec![CHILD.into(), mark.into()],
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work)
}

/// What the admission of a component says is wrong with it.
fn complaint(house: &House, component: Vec<u8>) -> (ErrorCode, String) {
    match block_on(house.admit(component)) {
        Ok(_) => panic!("it was admitted"),
        Err(error) => {
            let problems = error.problems().iter().map(|problem| &*problem.message);
            let text = [error.message()].into_iter().chain(problems);
            (error.code(), text.collect::<Vec<_>>().join("; "))
        }
    }
}

/// A component of a core module with so many functions of so many steps each.
fn large(functions: usize, steps: usize) -> Vec<u8> {
    fn number(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let low = (value & 0x7f) as u8;
            value >>= 7;
            if value == 0 {
                bytes.push(low);
                return bytes;
            }
            bytes.push(low | 0x80);
        }
    }
    fn sized(id: Option<u8>, content: &[u8]) -> Vec<u8> {
        let length = number(content.len());
        [id.as_slice(), &length, content].concat()
    }
    // local 0 = (local 0 * local 1) xor local 0, again and again.
    let step = [0x20, 0, 0x20, 1, 0x6c, 0x20, 0, 0x73, 0x21, 0];
    let body = [&[0][..], &step.repeat(steps), &[0x20, 0, 0x0b]].concat();
    let code = [number(functions), sized(None, &body).repeat(functions)].concat();
    let signatures = [number(functions), vec![0; functions]].concat();
    let module = [
        &b"\0asm\x01\0\0\0"[..],
        &sized(Some(1), &[1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f]),
        &sized(Some(3), &signatures),
        &sized(Some(10), &code),
    ]
    .concat();
    [&b"\0asm\x0d\0\x01\0"[..], &sized(Some(1), &module)].concat()
}

fn the_code_is_that_of_this_process() {
    let here = House::new(|settings| settings.compiler = Compiler::InProcess);
    let there = House::new(|_| {});
    for house in [&here, &there] {
        let admitted = block_on(house.admit(Guest::rrf().component())).unwrap();
        assert!(admitted.checks.iter().all(|check| check.passed));
    }
    assert!(here.code() == there.code());
}

fn what_is_no_component_is_refused_in_words() {
    let house = House::new(|_| {});
    // A body that leaves nothing on the stack where a number is due.
    let mut broken = large(1, 1);
    let end = broken.len();
    broken.splice(end - 3..end - 1, [0x01, 0x01]);
    let (code, text) = complaint(&house, broken);
    assert_eq!(code, ErrorCode::InvalidArgument);
    assert!(
        text.contains("cannot be compiled") && text.contains("type mismatch"),
        "{text}"
    );
    assert!(!text.contains('\n'));
}

fn memory_ends_at_its_limit() {
    let house = House::new(|settings| settings.compile_memory_mb = 384);
    let (code, text) = complaint(&house, large(1, 700_000));
    assert_eq!(code, ErrorCode::InvalidArgument, "{text}");
    assert!(text.contains("ran out of its 384 MiB"), "{text}");
    // The limit is not what fails everything.
    block_on(house.admit(Guest::rrf().component())).unwrap();
}

fn processor_time_ends_at_its_limit() {
    let house = House::new(|settings| settings.compile_cpu_s = 1);
    let (code, text) = complaint(&house, large(2_000, 1_000));
    assert_eq!(code, ErrorCode::InvalidArgument, "{text}");
    assert!(
        text.contains("ran out of its 1 s of processor time"),
        "{text}"
    );
}

fn a_child_ends_with_who_waits_for_it() {
    let mark = "given-up";
    let house = House::new(|settings| settings.compiler = child(mark));
    block_on(async {
        let admitting = house.admit(large(2_000, 1_000));
        tokio::pin!(admitting);
        tokio::select! {
            _ = &mut admitting => panic!("it was too fast"),
            () = until(|| running(mark)) => {}
        }
    });
    block_on(until(|| !running(mark)));
}

async fn until(what: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !what() {
        assert!(Instant::now() < end, "it did not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process with this argument is alive: a dead one has no command line.
fn running(mark: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0)
            .any(|arg| arg == mark.as_bytes())
    })
}

fn a_missing_compiler_is_the_operators_problem() {
    let house = House::new(|settings| {
        settings.compiler = Compiler::Child {
            program: Path::new("/nowhere/compiler").to_owned(),
            args: vec![],
        };
    });
    let (code, text) = complaint(&house, Guest::rrf().component());
    assert_eq!(code, ErrorCode::Internal, "{text}");
    assert!(text.contains("/nowhere/compiler"), "{text}");
}

fn without_an_order_it_does_nothing() {
    let output = Command::new(std::env::current_exe().unwrap())
        .arg(CHILD)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("ROUTIR_RT_COMPILE"), "{text}");
}
