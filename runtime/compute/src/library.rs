//! ONNX Runtime as a shared library that is found and loaded when the first model needs it, once per
//! process, and the threads that all models share.

mod find;
mod lanes;
mod probe;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::logging::LogLevel;
use parking_lot::Mutex;
use routir_core::{Error, ErrorCode, Result};

use find::Candidates;
pub(crate) use lanes::{Lane, Lanes};

/// The least version of ONNX Runtime that is understood: its C API of that number is what graphs
/// are run by.
pub const LEAST_VERSION: &str = "1.20";

/// The number of the C API, the minor part of [`LEAST_VERSION`].
const API_VERSION: u32 = ort::MINOR_VERSION;

/// The one that this process uses. There can be no second: the library keeps one environment per
/// process.
static LOADED: Mutex<Option<Arc<OnnxRuntime>>> = Mutex::new(None);

/// ONNX Runtime, loaded, with its threads.
///
/// All models of the process together compute on `threads` threads: as many calls as that run at
/// once, each on the thread that made it, and what is left of them helps the calls that run. The
/// helpers sleep when there is nothing to do.
pub struct OnnxRuntime {
    environment: ort::environment::Environment,
    path: PathBuf,
    version: String,
    lanes: Lanes,
}

impl OnnxRuntime {
    /// The library of this process, loaded by the first call. Where it is looked for: `explicit` (a
    /// file, or a folder with one) and nowhere else; or else `$ORT_DYLIB_PATH` and nowhere else; or
    /// else, in this order, the folders of [`routir_native::folders`], the active Python
    /// environments, and the system's library folders, of which the first that holds a library that
    /// can be used wins.
    ///
    /// Only the first call's `threads` (at least 1) count.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when there is none or it is too old: what was tried, why it was
    /// not taken, and how to get one. [`ErrorCode::InvalidArgument`] when `explicit` is another
    /// library than the one that is loaded already.
    pub fn load(explicit: Option<&Path>, threads: usize) -> Result<Arc<Self>> {
        let mut loaded = LOADED.lock();
        if let Some(runtime) = &*loaded {
            runtime.fits(explicit, threads)?;
            return Ok(Arc::clone(runtime));
        }
        let (path, version) = first_usable(&Candidates::of_process(explicit))?;
        let environment = environment(&path, threads.max(1))?;
        tracing::info!(
            path = %path.display(),
            version,
            threads = threads.max(1),
            "ONNX Runtime loaded"
        );
        let runtime = Arc::new(Self {
            environment,
            path,
            version,
            lanes: Lanes::new(threads),
        });
        *loaded = Some(Arc::clone(&runtime));
        Ok(runtime)
    }

    /// Its version, such as `1.23.2`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The file that it was loaded from, or the bare name that the system's loader found it by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many threads all models share.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.lanes.count()
    }

    pub(crate) fn environment(&self) -> &ort::environment::Environment {
        &self.environment
    }

    /// Waits for one of the threads to be free to run a call.
    pub(crate) fn lane(&self) -> Lane<'_> {
        self.lanes.acquire()
    }

    fn fits(&self, explicit: Option<&Path>, threads: usize) -> Result<()> {
        if threads.max(1) != self.threads() {
            tracing::warn!(
                asked = threads,
                kept = self.threads(),
                "ONNX Runtime has its threads already"
            );
        }
        let Some(asked) = explicit else {
            return Ok(());
        };
        let same = Candidates::explicit(asked).paths.into_iter().any(|path| {
            let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
            real(&path) == real(&self.path)
        });
        if same {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "ONNX Runtime is loaded from `{}` already, and a process can have only one; `{}` was not loaded",
            self.path.display(),
            asked.display()
        )))
    }
}

impl fmt::Debug for OnnxRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxRuntime")
            .field("path", &self.path)
            .field("version", &self.version)
            .field("threads", &self.threads())
            .finish_non_exhaustive()
    }
}

/// The first candidate that is an ONNX Runtime of a version that is understood, with its version.
fn first_usable(candidates: &Candidates) -> Result<(PathBuf, String)> {
    let mut refused = Vec::new();
    for path in &candidates.paths {
        match probe::version(path) {
            Ok(version) => return Ok((path.clone(), version)),
            // A bare name is a last question to the system's loader; its no says nothing.
            Err(_) if is_bare(path) && candidates.paths.len() > 1 => {}
            Err(why) => refused.push(format!("`{}`: {why}", path.display())),
        }
    }
    if let Some(folders) = candidates.looked_in() {
        refused.push(format!("looked in {folders}"));
    }
    let tried = refused.join("; ");
    Err(Error::new(
        ErrorCode::Unavailable,
        format!(
            "ONNX Runtime {LEAST_VERSION} or newer, which models need, was not found: {tried}; get \
             one with `pip install onnxruntime`, or name one in `rt.models.onnxruntime` or \
             ORT_DYLIB_PATH"
        ),
    ))
}

fn is_bare(path: &Path) -> bool {
    path.components().count() == 1
}

/// Hands the library to `ort` and makes the process's environment: one pool of threads for all
/// sessions, no telemetry.
fn environment(path: &Path, threads: usize) -> Result<ort::environment::Environment> {
    let failed = |why: &dyn fmt::Display| {
        Error::new(
            ErrorCode::Unavailable,
            format!("ONNX Runtime in `{}` cannot be used: {why}", path.display()),
        )
    };
    guarded(|| {
        let builder = ort::init_from(path).map_err(|why| failed(&why))?;
        let pool = || {
            ort::environment::GlobalThreadPoolOptions::default()
                .with_intra_threads(threads)?
                .with_inter_threads(1)?
                .with_spin_control(false)
        };
        let environment = builder
            .with_name("routir-rt")
            .with_telemetry(false)
            .with_logger(Arc::new(log))
            .with_global_thread_pool(pool().map_err(|why| failed(&why))?)
            .build()
            .map_err(|why| failed(&why))?;
        environment.set_log_level(LogLevel::Warning);
        Ok(environment)
    })
    .unwrap_or_else(|why| Err(failed(&why)))
}

/// What ONNX Runtime has to say: its errors are also answered to who made the call, and its warnings
/// are for those who make models.
fn log(level: LogLevel, category: &str, _: &str, place: &str, message: &str) {
    tracing::debug!(?level, category, place, "ONNX Runtime: {message}");
}

/// Runs what may panic in a library that is not ours; the panic's message is the error.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        text.or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "it panicked".to_owned())
    })
}
