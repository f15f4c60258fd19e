//! What version of ONNX Runtime a library is, asked before it is handed to the bindings, which would
//! panic over a library that is not one.

use std::ffi::CStr;
use std::path::Path;

use libloading::Library;
use ort::sys::OrtApiBase;

use super::{API_VERSION, LEAST_VERSION};

/// The version of the library at `path`, if it can be used; why not, otherwise.
pub(super) fn version(path: &Path) -> Result<String, String> {
    // SAFETY: the operator named the library, or it lies where installations of ONNX Runtime put
    // it; its initialisers run, as they would when a program is linked with it.
    let library =
        unsafe { Library::new(path) }.map_err(|why| format!("it does not load: {why}"))?;
    // SAFETY: this is the signature that every release of ONNX Runtime exports under this name.
    let entry = unsafe {
        library.get::<unsafe extern "system" fn() -> *const OrtApiBase>(b"OrtGetApiBase\0")
    }
    .map_err(|_| "it is not ONNX Runtime (it exports no `OrtGetApiBase`)".to_owned())?;
    // SAFETY: the function takes nothing and answers a static table or null; the library is loaded
    // until the end of this function.
    let base = unsafe { entry().as_ref() }
        .ok_or_else(|| "it is not ONNX Runtime (`OrtGetApiBase` answers nothing)".to_owned())?;
    // SAFETY: the table's function takes nothing and answers a static string that ends in zero.
    let version = unsafe {
        let text = (base.GetVersionString)();
        (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    }
    .unwrap_or_default();
    // SAFETY: any number may be asked for; null is the answer for one that is not known.
    if unsafe { (base.GetApi)(API_VERSION) }.is_null() {
        return Err(format!(
            "it is ONNX Runtime {version}, which is older than {LEAST_VERSION}"
        ));
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_library_is_told_and_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("libonnxruntime.so");
        assert!(version(&path).unwrap_err().starts_with("it does not load"));
        std::fs::write(&path, "not a library").unwrap();
        assert!(version(&path).unwrap_err().starts_with("it does not load"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn another_library_is_told_and_not_used() {
        let why = version(Path::new("libc.so.6")).unwrap_err();
        assert!(why.contains("OrtGetApiBase"), "{why}");
    }
}
