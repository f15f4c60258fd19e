//! Loading ONNX Runtime, in a process of its own, because a process loads it once.

use std::io::Write as _;
use std::sync::Arc;

use routir_compute::OnnxRuntime;
use routir_core::ErrorCode;

#[test]
fn a_wrong_library_is_an_error_and_a_right_one_is_loaded_once() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = dir.path().join("libonnxruntime.so");
    let missing = OnnxRuntime::load(Some(&wrong), 2).unwrap_err();
    assert_eq!(missing.code(), ErrorCode::Unavailable);
    for part in [
        "pip install onnxruntime",
        "rt.models.onnxruntime",
        "ORT_DYLIB_PATH",
        "does not load",
    ] {
        assert!(missing.message().contains(part), "{missing}");
    }
    let empty = OnnxRuntime::load(Some(dir.path()), 2).unwrap_err();
    assert!(empty.message().contains("looked in"), "{empty}");
    std::fs::write(&wrong, [0_u8; 4096]).unwrap();
    assert!(OnnxRuntime::load(Some(&wrong), 2).is_err());

    // None of that keeps a right one from being loaded afterwards.
    let runtime = match OnnxRuntime::load(None, 2) {
        Ok(runtime) => runtime,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: loading ONNX Runtime: {why}");
            return;
        }
    };
    assert_eq!(runtime.threads(), 2);
    assert!(runtime.version().starts_with("1."), "{}", runtime.version());
    assert!(Arc::ptr_eq(&runtime, &OnnxRuntime::load(None, 5).unwrap()));
    assert!(Arc::ptr_eq(
        &runtime,
        &OnnxRuntime::load(Some(runtime.path()), 2).unwrap()
    ));
    let other = OnnxRuntime::load(Some(&wrong), 2).unwrap_err();
    assert_eq!(other.code(), ErrorCode::InvalidArgument);
    assert!(other.message().contains("only one"), "{other}");
}
