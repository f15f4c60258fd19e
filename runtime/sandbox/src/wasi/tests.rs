//! Components in text that call WASI, each for one thing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::timeout;
use wasmtime::{Engine, Store};

use super::*;

struct Context {
    wasi: WasiState,
    lines: Vec<String>,
}

impl Wasi for Context {
    fn wasi(&mut self) -> &mut WasiState {
        &mut self.wasi
    }

    fn line(&mut self, line: String) {
        self.lines.push(line);
    }
}

/// A component that exports `run`, which has `body` and these functions of its imports: a name, the
/// instance and function in the imports, and the core type.
fn guest(imports: &str, functions: &[(&str, &str, &str)], body: &str) -> Vec<u8> {
    let each = |f: &dyn Fn(&str, &str, &str) -> String| -> String {
        functions
            .iter()
            .map(|(name, path, ty)| f(name, path, ty))
            .collect()
    };
    let lower = each(&|name, path, _| {
        format!(
            "(core func ${name} (canon lower (func {path}) (memory (core memory $libc \"memory\"))
                (realloc (core func $libc \"realloc\"))))\n"
        )
    });
    let import = each(&|name, _, ty| format!("(import \"w\" \"{name}\" (func ${name} {ty}))\n"));
    let with = each(&|name, _, _| format!("(export \"{name}\" (func ${name}))\n"));
    let wat = format!(
        "(component
          {imports}
          (core module $libc
            (memory (export \"memory\") 2)
            (global $at (mut i32) (i32.const 4096))
            (func (export \"realloc\") (param i32 i32 i32 i32) (result i32)
              (local $p i32)
              (local.set $p (i32.and
                (i32.add (global.get $at) (i32.sub (local.get 2) (i32.const 1)))
                (i32.sub (i32.const 0) (local.get 2))))
              (global.set $at (i32.add (local.get $p) (local.get 3)))
              (local.get $p)))
          (core instance $libc (instantiate $libc))
          {lower}
          (core module $m
            (import \"libc\" \"memory\" (memory 2))
            {import}
            (data (i32.const 0) \"\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\ff\")
            (data (i32.const 64) \"hello\\nworld\\n\")
            (func (export \"run\") (result i64) {body}))
          (core instance $m (instantiate $m
            (with \"libc\" (instance $libc))
            (with \"w\" (instance {with}))))
          (func (export \"run\") (result u64) (canon lift (core func $m \"run\"))))"
    );
    wat::parse_str(&wat).unwrap_or_else(|error| panic!("{error}\n{wat}"))
}

/// What `run` answered, and what was written.
async fn run(component: &[u8], clock: bool, randomness: bool) -> Result<(u64, Vec<String>)> {
    let engine = Engine::new(&crate::engine::config(false))?;
    let component = Component::new(&engine, component)?;
    let mut linker = Linker::new(&engine);
    add_to_linker(&mut linker, &component)?;
    let context = Context {
        wasi: WasiState::new(&ExtensionGrants {
            wasi: true,
            clock,
            randomness,
        }),
        lines: Vec::new(),
    };
    let mut store = Store::new(&engine, context);
    store.set_epoch_deadline(1);
    let instance = linker.instantiate_async(&mut store, &component).await?;
    let run = instance.get_typed_func::<(), (u64,)>(&mut store, "run")?;
    let (answer,) = run.call_async(&mut store, ()).await?;
    Ok((answer, store.into_data().lines))
}

async fn answer(component: &[u8], clock: bool, randomness: bool) -> u64 {
    run(component, clock, randomness).await.unwrap().0
}

#[test]
fn what_is_there() {
    for there in [
        "wasi:cli/environment@0.2.0",
        "wasi:io/streams@0.2.12",
        "wasi:sockets/udp-create-socket@0.2.6",
    ] {
        assert!(provides(there), "{there}");
    }
    for absent in [
        "wasi:cli/environment",
        "wasi:cli/environment@0.2",
        "wasi:cli/environment@0.2.0-rc-2023-11-10",
        "wasi:cli/environment@0.3.0",
        "wasi:http/outgoing-handler@0.2.0",
        "other:cli/environment@0.2.0",
    ] {
        assert!(!provides(absent), "{absent}");
    }
}

#[tokio::test]
async fn there_is_no_environment_argument_directory_or_terminal() {
    let component = guest(
        r#"
        (import "wasi:cli/environment@0.2.6" (instance $env
          (export "get-environment" (func (result (list (tuple string string)))))
          (export "get-arguments" (func (result (list string))))
          (export "initial-cwd" (func (result (option string))))))
        (import "wasi:filesystem/types@0.2.6" (instance $types
          (export "descriptor" (type (sub resource)))))
        (alias export $types "descriptor" (type $descriptor))
        (import "wasi:filesystem/preopens@0.2.6" (instance $preopens
          (alias outer 1 $descriptor (type $outer))
          (export "descriptor" (type $d (eq $outer)))
          (export "get-directories" (func (result (list (tuple (own $d) string)))))))
        (import "wasi:cli/terminal-input@0.2.6" (instance $terminal
          (export "terminal-input" (type (sub resource)))))
        (alias export $terminal "terminal-input" (type $input))
        (import "wasi:cli/terminal-stdin@0.2.6" (instance $stdin
          (alias outer 1 $input (type $outer))
          (export "terminal-input" (type $t (eq $outer)))
          (export "get-terminal-stdin" (func (result (option (own $t)))))))
        "#,
        &[
            ("environment", "$env \"get-environment\"", "(param i32)"),
            ("arguments", "$env \"get-arguments\"", "(param i32)"),
            ("cwd", "$env \"initial-cwd\"", "(param i32)"),
            (
                "directories",
                "$preopens \"get-directories\"",
                "(param i32)",
            ),
            ("terminal", "$stdin \"get-terminal-stdin\"", "(param i32)"),
        ],
        "(local $sum i32)
         (call $environment (i32.const 0))
         (local.set $sum (i32.load offset=4 (i32.const 0)))
         (call $arguments (i32.const 8))
         (local.set $sum (i32.add (local.get $sum) (i32.load offset=4 (i32.const 8))))
         (i32.store8 (i32.const 0) (i32.const 255))
         (call $cwd (i32.const 0))
         (local.set $sum (i32.add (local.get $sum) (i32.load8_u (i32.const 0))))
         (i32.store (i32.const 4) (i32.const 255))
         (call $directories (i32.const 0))
         (local.set $sum (i32.add (local.get $sum) (i32.load offset=4 (i32.const 0))))
         (i32.store8 (i32.const 0) (i32.const 255))
         (call $terminal (i32.const 0))
         (i64.extend_i32_u (i32.add (local.get $sum) (i32.load8_u (i32.const 0))))",
    );
    assert_eq!(answer(&component, true, true).await, 0);
}

const CLOCKS: &str = r#"
    (import "wasi:io/poll@0.2.6" (instance $poll
      (export "pollable" (type $p (sub resource)))
      (export "[method]pollable.block" (func (param "self" (borrow $p))))
      (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))))
    (alias export $poll "pollable" (type $pollable))
    (import "wasi:clocks/monotonic-clock@0.2.6" (instance $mono
      (alias outer 1 $pollable (type $outer))
      (export "pollable" (type $p (eq $outer)))
      (export "now" (func (result u64)))
      (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
    (import "wasi:clocks/wall-clock@0.2.6" (instance $wall
      (type $t (record (field "seconds" u64) (field "nanoseconds" u32)))
      (export "datetime" (type $d (eq $t)))
      (export "now" (func (result $d)))))"#;

const CLOCK_FUNCTIONS: &[(&str, &str, &str)] = &[
    ("now", "$mono \"now\"", "(result i64)"),
    (
        "in",
        "$mono \"subscribe-duration\"",
        "(param i64) (result i32)",
    ),
    ("wall", "$wall \"now\"", "(param i32)"),
    ("block", "$poll \"[method]pollable.block\"", "(param i32)"),
    ("poll", "$poll \"poll\"", "(param i32 i32 i32)"),
];

fn clocks_guest(body: &str) -> Vec<u8> {
    guest(CLOCKS, CLOCK_FUNCTIONS, body)
}

#[tokio::test]
async fn clocks_stand_still_unless_granted() {
    let wall = clocks_guest("(call $wall (i32.const 0)) (i64.load (i32.const 0))");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert_eq!(answer(&wall, false, false).await, 946_684_800);
    assert!(answer(&wall, true, false).await.abs_diff(now) < 60);
    let passed = clocks_guest(
        "(local $start i64)
         (local.set $start (call $now))
         (call $block (call $in (i64.const 5000000)))
         (i64.sub (call $now) (local.get $start))",
    );
    assert_eq!(answer(&passed, false, false).await, 0);
    assert!(answer(&passed, true, false).await >= 5_000_000);
    // Go gives up on a clock that says 0.
    let start = clocks_guest("(call $now)");
    assert_eq!(answer(&start, false, false).await, 1_000_000_000);
}

#[tokio::test]
async fn waiting_ends_at_once_without_a_clock_and_can_be_given_up_with_one() {
    let sleeper = clocks_guest(
        "(i32.store (i32.const 128) (call $in (i64.const 3600000000000)))
         (i32.store (i32.const 132) (call $in (i64.const 0)))
         (call $poll (i32.const 128) (i32.const 1) (i32.const 0))
         (i64.load32_u offset=4 (i32.const 0))",
    );
    assert_eq!(answer(&sleeper, false, false).await, 1);
    let sleeping = timeout(Duration::from_millis(30), run(&sleeper, true, false));
    assert!(sleeping.await.is_err());
    // The second of two is ready.
    let first_ready = clocks_guest(
        "(i32.store (i32.const 128) (call $in (i64.const 3600000000000)))
         (i32.store (i32.const 132) (call $in (i64.const 0)))
         (call $poll (i32.const 128) (i32.const 2) (i32.const 0))
         (i64.add
           (i64.mul (i64.load32_u offset=4 (i32.const 0)) (i64.const 10))
           (i64.load32_u (i32.load (i32.const 0))))",
    );
    assert_eq!(answer(&first_ready, true, false).await, 11);
    let nothing = "(call $poll (i32.const 128) (i32.const 0) (i32.const 0)) i64.const 0";
    let nothing = clocks_guest(nothing);
    let error = run(&nothing, true, true).await.unwrap_err();
    assert!(error.root_cause().to_string().contains("waits for nothing"));
}

fn random_guest(body: &str) -> Vec<u8> {
    let imports = r#"
        (import "wasi:random/random@0.2.12" (instance $random
          (export "get-random-bytes" (func (param "len" u64) (result (list u8))))
          (export "get-random-u64" (func (result u64)))))
        (import "wasi:random/insecure-seed@0.2.12" (instance $seed
          (export "insecure-seed" (func (result (tuple u64 u64))))))"#;
    let functions = [
        ("bytes", "$random \"get-random-bytes\"", "(param i64 i32)"),
        ("number", "$random \"get-random-u64\"", "(result i64)"),
        ("seed", "$seed \"insecure-seed\"", "(param i32)"),
    ];
    guest(imports, &functions, body)
}

#[tokio::test]
async fn random_numbers_are_the_same_everywhere_unless_granted() {
    let guests = [
        "(call $number)",
        "(call $bytes (i64.const 13) (i32.const 0)) (i64.load (i32.load (i32.const 0)))",
        "(call $seed (i32.const 0)) (i64.load offset=8 (i32.const 0))",
    ]
    .map(random_guest);
    for guest in &guests {
        let fixed = answer(guest, true, false).await;
        assert_eq!(answer(guest, false, false).await, fixed);
        let random = answer(guest, false, true).await;
        assert_ne!(random, fixed);
        assert_ne!(answer(guest, false, true).await, random);
    }
    // They change from call to call all the same.
    let two = random_guest("(i64.sub (call $number) (call $number))");
    assert_ne!(answer(&two, false, false).await, 0);
    let length = random_guest(
        "(call $bytes (i64.const 13) (i32.const 0)) (i64.load32_u offset=4 (i32.const 0))",
    );
    assert_eq!(answer(&length, false, true).await, 13);
    let greedy = random_guest("(call $bytes (i64.const -1) (i32.const 0)) i64.const 0");
    for randomness in [false, true] {
        let error = run(&greedy, false, randomness).await.unwrap_err();
        assert!(
            error
                .root_cause()
                .to_string()
                .contains("random bytes at once")
        );
    }
}

const STREAMS: &str = r#"
    (import "wasi:io/error@0.2.6" (instance $error (export "error" (type (sub resource)))))
    (alias export $error "error" (type $io-error))
    (import "wasi:io/streams@0.2.6" (instance $streams
      (alias outer 1 $io-error (type $outer))
      (export "error" (type $e (eq $outer)))
      (type $stream-error (variant (case "last-operation-failed" (own $e)) (case "closed")))
      (export "stream-error" (type $se (eq $stream-error)))
      (export "input-stream" (type $in (sub resource)))
      (export "output-stream" (type $out (sub resource)))
      (export "[method]input-stream.blocking-read"
        (func (param "self" (borrow $in)) (param "len" u64)
          (result (result (list u8) (error $se)))))
      (export "[method]output-stream.check-write"
        (func (param "self" (borrow $out)) (result (result u64 (error $se)))))
      (export "[method]output-stream.blocking-write-and-flush"
        (func (param "self" (borrow $out)) (param "contents" (list u8))
          (result (result (error $se)))))))
    (alias export $streams "input-stream" (type $input))
    (alias export $streams "output-stream" (type $output))
    (import "wasi:cli/stdin@0.2.6" (instance $stdin
      (alias outer 1 $input (type $outer))
      (export "input-stream" (type $s (eq $outer)))
      (export "get-stdin" (func (result (own $s))))))
    (import "wasi:cli/stdout@0.2.6" (instance $stdout
      (alias outer 1 $output (type $outer))
      (export "output-stream" (type $s (eq $outer)))
      (export "get-stdout" (func (result (own $s))))))
    (import "wasi:cli/stderr@0.2.6" (instance $stderr
      (alias outer 1 $output (type $outer))
      (export "output-stream" (type $s (eq $outer)))
      (export "get-stderr" (func (result (own $s))))))"#;

const READ: &str = "$streams \"[method]input-stream.blocking-read\"";
const ROOM: &str = "$streams \"[method]output-stream.check-write\"";
const WRITE: &str = "$streams \"[method]output-stream.blocking-write-and-flush\"";

fn streams_guest(body: &str) -> Vec<u8> {
    let functions = [
        ("stdin", "$stdin \"get-stdin\"", "(result i32)"),
        ("stdout", "$stdout \"get-stdout\"", "(result i32)"),
        ("stderr", "$stderr \"get-stderr\"", "(result i32)"),
        ("read", READ, "(param i32 i64 i32)"),
        ("room", ROOM, "(param i32 i32)"),
        ("write", WRITE, "(param i32 i32 i32 i32)"),
    ];
    guest(STREAMS, &functions, body)
}

#[tokio::test]
async fn input_is_at_its_end_and_output_comes_in_lines() {
    let reader = streams_guest(
        "(call $read (call $stdin) (i64.const 10) (i32.const 0))
         ;; An error, and of its cases the second.
         (i64.add
           (i64.mul (i64.load8_u (i32.const 0)) (i64.const 10))
           (i64.load8_u offset=4 (i32.const 0)))",
    );
    assert_eq!(answer(&reader, false, false).await, 11);
    let writer = streams_guest(
        "(call $write (call $stdout) (i32.const 64) (i32.const 8) (i32.const 0))
         (call $write (call $stderr) (i32.const 65) (i32.const 5) (i32.const 0))
         (call $write (call $stdout) (i32.const 72) (i32.const 4) (i32.const 0))
         (call $room (call $stdout) (i32.const 0))
         (i64.load offset=8 (i32.const 0))",
    );
    let (room, lines) = run(&writer, false, false).await.unwrap();
    assert!(room > 0);
    assert_eq!(lines, ["hello", "ello", "world"]);
}

#[tokio::test]
async fn a_line_without_end_is_cut() {
    let endless = streams_guest(
        "(memory.fill (i32.const 128) (i32.const 97) (i32.const 60000))
         (call $write (call $stdout) (i32.const 128) (i32.const 60000) (i32.const 0))
         (call $write (call $stdout) (i32.const 128) (i32.const 60000) (i32.const 0))
         (call $write (call $stdout) (i32.const 69) (i32.const 1) (i32.const 0))
         i64.const 0",
    );
    let (_, lines) = run(&endless, false, false).await.unwrap();
    assert_eq!(lines, ["a".repeat(4096)]);
}

#[tokio::test]
async fn exit_ends_the_guest() {
    let component = guest(
        r#"(import "wasi:cli/exit@0.2.6" (instance $exit
             (export "exit" (func (param "status" (result))))))"#,
        &[("exit", "$exit \"exit\"", "(param i32)")],
        "(call $exit (i32.const 1)) i64.const 0",
    );
    let error = run(&component, true, true).await.unwrap_err();
    let Some(Refused(why)) = error.downcast_ref() else {
        panic!("{error:?}");
    };
    assert_eq!(why, "it exited with failure instead of answering");
}

#[tokio::test]
async fn what_the_sandbox_does_not_have_ends_the_guest_by_name() {
    let component = guest(
        r#"(import "wasi:clocks/wall-clock@0.2.99" (instance $wall
             (export "new-thing" (func (param "x" string) (result u64)))))"#,
        &[("new", "$wall \"new-thing\"", "(param i32 i32) (result i64)")],
        "(call $new (i32.const 64) (i32.const 5))",
    );
    let error = run(&component, true, true).await.unwrap_err();
    let text = error.root_cause().to_string();
    assert!(
        text.contains("`new-thing` of `wasi:clocks/wall-clock`"),
        "{text}"
    );
}

#[tokio::test]
async fn sockets_are_denied() {
    let component = guest(
        r#"
        (import "wasi:sockets/network@0.2.6" (instance $network
          (type $codes (enum "unknown" "access-denied" "not-supported"))
          (export "error-code" (type (eq $codes)))
          (type $families (enum "ipv4" "ipv6"))
          (export "ip-address-family" (type (eq $families)))))
        (alias export $network "error-code" (type $code))
        (alias export $network "ip-address-family" (type $family))
        (import "wasi:sockets/tcp@0.2.6" (instance $tcp
          (export "tcp-socket" (type (sub resource)))))
        (alias export $tcp "tcp-socket" (type $socket))
        (import "wasi:sockets/tcp-create-socket@0.2.6" (instance $create
          (alias outer 1 $code (type $c))
          (export "error-code" (type $code (eq $c)))
          (alias outer 1 $family (type $f))
          (export "ip-address-family" (type $family (eq $f)))
          (alias outer 1 $socket (type $s))
          (export "tcp-socket" (type $socket (eq $s)))
          (export "create-tcp-socket" (func (param "address-family" $family)
            (result (result (own $socket) (error $code)))))))"#,
        &[("create", "$create \"create-tcp-socket\"", "(param i32 i32)")],
        "(call $create (i32.const 0) (i32.const 0))
         (i64.add
           (i64.mul (i64.load8_u (i32.const 0)) (i64.const 10))
           (i64.load8_u offset=4 (i32.const 0)))",
    );
    assert_eq!(answer(&component, true, true).await, 11);
}
