//! What is let in, and what the others are told.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Guest, House, limits};
use routir_config::ExtensionLimits;
use routir_core::{Error, ErrorCode, Role};

async fn refusal(bytes: Vec<u8>) -> Error {
    let error = House::new().admit(bytes, &limits()).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::InvalidArgument, "{error:?}");
    assert!(!error.problems().is_empty());
    error
}

fn says(error: &Error, expected: &str) {
    assert!(error.message().contains(expected), "{error}");
}

#[tokio::test]
async fn a_good_one_is_let_in_with_figures() {
    let house = House::new();
    let bytes = Guest::rrf().component();
    let admitted = house.admit(bytes.clone(), &limits()).await.unwrap();
    let names: Vec<_> = admitted.checks.iter().map(|check| check.name).collect();
    let steps = [
        "size", "format", "shape", "compile", "imports", "exports", "describe", "manifest", "fuse",
    ];
    assert_eq!(names, steps);
    assert!(
        admitted
            .checks
            .iter()
            .all(|check| check.passed && !check.detail.is_empty())
    );
    let component = admitted.component;
    assert_eq!(component.manifest().name, "test");
    assert_eq!(component.role_list(), [Role::Fuse]);
    assert_eq!(component.size(), bytes.len() as u64);
    assert_eq!(component.sha256().len(), 64);
    house.holds_nothing(None).await;
}

#[tokio::test]
async fn files_of_other_kinds() {
    says(&refusal(b"hello".to_vec()).await, "not WebAssembly");
    says(
        &refusal(wat::parse_str("(module)").unwrap()).await,
        "wrap it",
    );
    let mut cut = Guest::rrf().component();
    cut.truncate(cut.len() / 2);
    says(&refusal(cut).await, "compile");
}

#[tokio::test]
async fn a_file_that_is_too_large() {
    let house = House::new();
    let small = ExtensionLimits {
        component_mb: 0,
        ..limits()
    };
    let error = house
        .admit(Guest::rrf().component(), &small)
        .await
        .err()
        .unwrap();
    assert_eq!(error.code(), ErrorCode::TooLarge);
    says(&error, "`component_mb`");
}

#[tokio::test]
async fn a_component_that_is_no_extension() {
    let error = refusal(wat::parse_str("(component)").unwrap()).await;
    says(&error, "plays no role");
    says(&error, "routir:extension/manifest@0.1.0");
    assert_eq!(error.problems().len(), 2);
}

#[tokio::test]
async fn an_export_of_another_type() {
    let bytes = wat::parse_str(
        "(component
          (core module $m (func (export \"fuse\") (param i32) (result i32) (local.get 0)))
          (core instance $i (instantiate $m))
          (func (export \"fuse\") (param \"a\" u32) (result u32) (canon lift (core func $i \"fuse\"))))",
    );
    let error = refusal(bytes.unwrap()).await;
    says(&error, "`fuse` has another type");
    assert_eq!(error.problems().len(), 2, "and no manifest: {error}");
}

#[tokio::test]
async fn imports_that_are_not_there() {
    let import = |name: &str| {
        let text = format!("(component (import \"{name}\" (instance (export \"f\" (func)))))");
        wat::parse_str(text).unwrap()
    };
    says(&refusal(import("acme:x/y@1.0.0")).await, "`acme:x/y@1.0.0`");
    let wasi = refusal(import("wasi:filesystem/preopens@0.2.6")).await;
    says(&wasi, "--stub-wasi");
}

#[tokio::test]
async fn a_manifest_with_mistakes() {
    let guest = Guest::rrf()
        .version("one")
        .params(vec![("k", 1, Some("\"x\"")), ("9", 0, None)]);
    let error = refusal(guest.component()).await;
    assert_eq!(error.problems().len(), 3, "{error}");
    says(&error, "the version `one`");
    says(&error, "the parameter name `9`");
    says(&error, "a default: `k`");
}

#[tokio::test]
async fn a_fusion_that_cannot_fuse() {
    let error = refusal(Guest::fusion("unreachable").component()).await;
    says(&error, "fuse: ");
    let wrong = Guest::answers(&[1.0, 2.0]);
    says(
        &refusal(wrong.component()).await,
        "2 scores for 4 documents",
    );
    // One that declines is a fusion.
    let declines = Guest::fusion("(call $error (i32.const 0) (i32.const 64) (i32.const 0))");
    House::new()
        .admit(declines.component(), &limits())
        .await
        .unwrap();
}

#[tokio::test]
async fn describing_is_under_the_limits_of_a_call() {
    let house = House::new();
    let short = ExtensionLimits {
        time_ms: 50,
        ..limits()
    };
    let spin = Guest::rrf().describe("(loop $on (br $on))");
    let error = house.admit(spin.component(), &short).await.err().unwrap();
    says(&error, "(`time_ms`)");
    let many = ExtensionLimits {
        instances: 0,
        ..limits()
    };
    let error = house
        .admit(Guest::rrf().component(), &many)
        .await
        .err()
        .unwrap();
    says(&error, "(`instances`)");
    house.holds_nothing(None).await;
}

#[tokio::test]
async fn a_component_may_play_several_roles() {
    let text = "(func (export \"search\") (param i32 i32 i32 i32 i32) (result i32)
          (call $hits (i32.const 0) (i32.const 0) (i32.const 0)))
        (func (export \"score\") (param $q i32) (param i32) (param $t i32) (param $n i32)
          (param i32 i32) (result i32) (call $ok (i32.const 64) (local.get $n)))";
    let house = House::new();
    let roles = house.roles(Guest::new("engine", text)).await;
    assert_eq!(common::score(&roles, &["a"]).await.unwrap(), [0.0]);
    assert!(common::search(&roles, "q").await.unwrap().is_empty());
}
