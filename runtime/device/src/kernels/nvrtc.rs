//! NVRTC, the compiler as a library. Loaded from where the operator put it, as all native libraries
//! are; cudarc would look for it by name alone, and panic.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libloading::Library;
use routir_core::{Error, ErrorCode, Result};

use super::{HEADERS, Source};

/// What of the compiler's complaints is told.
const LOG: usize = 2000;

type Program = *mut c_void;
type Strings = *const *const c_char;

struct Functions {
    version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int,
    create: unsafe extern "C" fn(
        *mut Program,
        *const c_char,
        *const c_char,
        c_int,
        Strings,
        Strings,
    ) -> c_int,
    destroy: unsafe extern "C" fn(*mut Program) -> c_int,
    compile: unsafe extern "C" fn(Program, c_int, Strings) -> c_int,
    log_size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
    log: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
    image_size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
    image: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
}

/// The compiler.
#[derive(Clone)]
pub struct Nvrtc {
    functions: Arc<Functions>,
    version: String,
    _library: Arc<Library>,
}

impl Nvrtc {
    /// Loads `libnvrtc.so` from the folder `nvrtc` of the native libraries, or as the system finds it.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] with where it was looked for.
    pub fn load() -> Result<Self> {
        let mut tried: Vec<PathBuf> = routir_native::folders("nvrtc")
            .into_iter()
            .map(|folder| folder.join("libnvrtc.so"))
            .filter(|file| file.is_file())
            .collect();
        tried.extend(["libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so"].map(PathBuf::from));
        let mut last = None;
        for path in &tried {
            match Self::open(path) {
                Ok(loaded) => return Ok(loaded),
                Err(error) => last = Some(error),
            }
        }
        let why = last.map(|error| error.to_string()).unwrap_or_default();
        Err(Error::new(
            ErrorCode::Unavailable,
            format!(
                "NVRTC, which compiles the kernels, was not found ({why}); `make gpu` puts it into \
                 a checkout, or put `libnvrtc.so` into the folder `nvrtc` of ROUTIR_NATIVE"
            ),
        ))
    }

    fn open(path: &Path) -> Result<Self, libloading::Error> {
        // SAFETY: the library is NVIDIA's, from where the operator put it; loading runs nothing of
        // its own beyond its setting up, and the types are those of its header.
        unsafe {
            let library = Library::new(path)?;
            let functions = Functions {
                version: *library.get(b"nvrtcVersion\0")?,
                create: *library.get(b"nvrtcCreateProgram\0")?,
                destroy: *library.get(b"nvrtcDestroyProgram\0")?,
                compile: *library.get(b"nvrtcCompileProgram\0")?,
                log_size: *library.get(b"nvrtcGetProgramLogSize\0")?,
                log: *library.get(b"nvrtcGetProgramLog\0")?,
                image_size: *library.get(b"nvrtcGetCUBINSize\0")?,
                image: *library.get(b"nvrtcGetCUBIN\0")?,
            };
            let (mut major, mut minor) = (0, 0);
            (functions.version)(&raw mut major, &raw mut minor);
            Ok(Self {
                functions: Arc::new(functions),
                version: format!("{major}.{minor}"),
                _library: Arc::new(library),
            })
        }
    }

    /// Its version, such as `12.9`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Compiles a source to code for `architecture`, such as `sm_90`.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] with what the compiler said.
    pub fn compile(&self, source: &Source, architecture: &str) -> Result<Vec<u8>> {
        Ok(self.run(source, architecture, &[])?.0)
    }

    /// What a source's kernels take of a device: registers, memory, and registers that found no place
    /// and are kept in memory ("spill"), in the compiler's own words.
    ///
    /// # Errors
    /// As [`Nvrtc::compile`].
    pub fn resources(&self, source: &Source, architecture: &str) -> Result<String> {
        Ok(self.run(source, architecture, &["--ptxas-options=-v"])?.1)
    }

    /// Code, and what the compiler said.
    fn run(&self, source: &Source, architecture: &str, more: &[&str]) -> Result<(Vec<u8>, String)> {
        let failed = |why: &str| {
            let why: String = why.trim().chars().take(LOG).collect();
            Error::new(
                ErrorCode::Unavailable,
                format!(
                    "NVRTC {} cannot compile {} for {architecture}: {why}",
                    self.version, source.name
                ),
            )
        };
        let text = |text: &str| CString::new(text).map_err(|_| failed("a source has a zero in it"));
        let (name, body) = (text(source.name)?, text(source.text)?);
        let texts: Vec<CString> = HEADERS
            .iter()
            .map(|it| text(it.text))
            .collect::<Result<_>>()?;
        let names: Vec<CString> = HEADERS
            .iter()
            .map(|it| text(it.name))
            .collect::<Result<_>>()?;
        let target = format!("--gpu-architecture={architecture}");
        let options: Vec<CString> = [target.as_str(), "--std=c++17"]
            .iter()
            .chain(more)
            .map(|it| text(it))
            .collect::<Result<_>>()?;
        let pointers = |all: &[CString]| all.iter().map(|it| it.as_ptr()).collect::<Vec<_>>();
        let (texts, names, options) = (pointers(&texts), pointers(&names), pointers(&options));
        let mut program = Held {
            functions: &self.functions,
            program: std::ptr::null_mut(),
        };
        let count = |all: &[*const c_char]| c_int::try_from(all.len()).unwrap_or_default();
        // SAFETY: all strings end with a zero and live until the program is dropped.
        let created = unsafe {
            (self.functions.create)(
                &raw mut program.program,
                body.as_ptr(),
                name.as_ptr(),
                count(&texts),
                texts.as_ptr(),
                names.as_ptr(),
            )
        };
        if created != 0 {
            return Err(failed(&format!("error {created} at creating the program")));
        }
        // SAFETY: as above.
        let code =
            unsafe { (self.functions.compile)(program.program, count(&options), options.as_ptr()) };
        let log = program.read(self.functions.log_size, self.functions.log);
        let log = log.unwrap_or_default();
        let log = CStr::from_bytes_until_nul(&log).unwrap_or_default();
        let log = log.to_string_lossy().into_owned();
        if code != 0 {
            return Err(failed(&format!("error {code}: {log}")));
        }
        let image = program.read(self.functions.image_size, self.functions.image);
        let image = image.filter(|it| !it.is_empty());
        Ok((image.ok_or_else(|| failed("there is no code"))?, log))
    }
}

/// A program, destroyed when it is dropped.
struct Held<'a> {
    functions: &'a Functions,
    program: Program,
}

impl Held<'_> {
    /// What `get` writes, of the size that `size` says.
    fn read(
        &self,
        size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
        get: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
    ) -> Option<Vec<u8>> {
        let mut bytes = 0;
        // SAFETY: the program was created; a size is written.
        if unsafe { size(self.program, &raw mut bytes) } != 0 {
            return None;
        }
        let mut read = vec![0_u8; bytes];
        // SAFETY: so many bytes are written.
        let code = unsafe { get(self.program, read.as_mut_ptr().cast()) };
        (code == 0).then_some(read)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.program.is_null() {
            // SAFETY: the program was created and is destroyed once.
            unsafe { (self.functions.destroy)(&raw mut self.program) };
        }
    }
}
