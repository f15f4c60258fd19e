//! FAISS's library: found, chosen by what the processor can, and loaded.

use std::ffi::{CStr, c_char};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libloading::Library;
use routir_core::{Error, ErrorCode, Result};

use super::gpu::GpuFunctions;
use super::raw::Functions;

/// The version of the C interface that this room speaks; `native/faiss.h` states the library's.
const INTERFACE: i32 = 1;
const ADVICE: &str = "build it with runtime/index/native/build.sh (`make setup` does), or name its \
                      folder in `rt.faiss`";

const GPU_ADVICE: &str =
    "build one with `FAISS_GPU=1 make models`, which needs NVIDIA's CUDA toolkit";
/// The folders of libraries: for processors, and those that were built with CUDA as well.
const FOLDER: &str = "faiss";
const GPU_FOLDER: &str = "faiss-cuda";

/// An instruction set that FAISS was compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// AVX-512 with F, CD, VL, DQ and BW.
    Avx512,
    /// AVX2 with FMA and F16C.
    Avx2,
    /// What every processor of this architecture has.
    Generic,
}

impl Variant {
    /// All, best first.
    const ALL: [Self; 3] = [Self::Avx512, Self::Avx2, Self::Generic];

    /// Its name in file names: `avx512`, `avx2`, `generic`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Generic => "generic",
        }
    }

    /// Whether this processor has what it needs.
    #[must_use]
    pub fn runs_here(self) -> bool {
        match self {
            Self::Generic => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                std::is_x86_feature_detected!("avx2")
                    && std::is_x86_feature_detected!("fma")
                    && std::is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.runs_here()
                    && std::is_x86_feature_detected!("avx512f")
                    && std::is_x86_feature_detected!("avx512cd")
                    && std::is_x86_feature_detected!("avx512vl")
                    && std::is_x86_feature_detected!("avx512dq")
                    && std::is_x86_feature_detected!("avx512bw")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    fn file(self) -> String {
        format!("libroutir_faiss-{}.so", self.name())
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// FAISS, loaded.
pub struct Faiss {
    variant: Variant,
    path: PathBuf,
    about: String,
    functions: Functions,
    /// Those for GPUs, of a library that was built with CUDA.
    on_gpus: Option<GpuFunctions>,
    /// Unloaded after the last use of the functions.
    _library: Library,
}

impl fmt::Debug for Faiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faiss")
            .field("path", &self.path)
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

impl Faiss {
    /// Loads the best library that this processor can run: from `folder`, or, if that is `None`, from
    /// the first of [`routir_native::folders`] that has one.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when there is none, with where it was looked for and what to do;
    /// when it cannot be loaded or is of another version.
    pub fn load(folder: Option<&Path>) -> Result<Arc<Self>> {
        Self::load_one_of(folder, &runnable())
    }

    /// As [`Faiss::load`], one that was built with CUDA, which lies in a folder of its own unless
    /// `folder` names one.
    ///
    /// # Errors
    /// As [`Faiss::load`]; also when the library that is there was built without CUDA.
    pub fn load_for_gpus(folder: Option<&Path>) -> Result<Arc<Self>> {
        let folders = match folder {
            Some(folder) => vec![folder.to_owned()],
            None => [GPU_FOLDER, FOLDER]
                .into_iter()
                .flat_map(routir_native::folders)
                .collect(),
        };
        let faiss = Self::load_from(&folders, &runnable(), GPU_ADVICE)?;
        if faiss.on_gpus.is_some() {
            return Ok(faiss);
        }
        Err(Error::new(
            ErrorCode::Unavailable,
            format!(
                "FAISS in `{}` was built without CUDA and has no indices on GPUs; {GPU_ADVICE}",
                faiss.path.display()
            ),
        ))
    }

    /// As [`Faiss::load`], of the given variants alone, likeliest first.
    ///
    /// # Errors
    /// As [`Faiss::load`].
    pub fn load_one_of(folder: Option<&Path>, variants: &[Variant]) -> Result<Arc<Self>> {
        let folders = match folder {
            Some(folder) => vec![folder.to_owned()],
            None => routir_native::folders(FOLDER),
        };
        Self::load_from(&folders, variants, ADVICE)
    }

    fn load_from(folders: &[PathBuf], variants: &[Variant], advice: &str) -> Result<Arc<Self>> {
        let places = folders
            .iter()
            .flat_map(|folder| variants.iter().map(move |it| (*it, folder.join(it.file()))));
        let places: Vec<(Variant, PathBuf)> = places.collect();
        let files = places.iter().map(|(_, path)| path.clone());
        let path = routir_native::first_file("FAISS", files, advice)?;
        let found = places.into_iter().find(|(_, place)| *place == path);
        let variant = found.map_or(Variant::Generic, |(variant, _)| variant);
        let broken = |why: &dyn fmt::Display| {
            let shown = path.display();
            let message = format!("FAISS in `{shown}` cannot be used: {why}; {advice}");
            Error::new(ErrorCode::Unavailable, message)
        };
        // SAFETY: the operator named the library or installed it; its initialisers are those of
        // FAISS, OpenBLAS and the C++ runtime.
        let library = unsafe { Library::new(&path) }.map_err(|e| broken(&e))?;
        // SAFETY: the types in `Functions` are those of the declarations in `native/faiss.h`, whose
        // version is compared before any of them is called.
        let functions = unsafe { Functions::find(&library) }.map_err(|e| broken(&e))?;
        // SAFETY: as above, of `native/gpu.h`; a library without CUDA has none of them.
        let on_gpus = unsafe { GpuFunctions::find(&library) }.ok();
        let interface = functions.interface();
        if interface != INTERFACE {
            let why = format!("it speaks version {interface} of its interface, not {INTERFACE}");
            return Err(broken(&why));
        }
        let mut text: [c_char; 256] = [0; 256];
        functions.about(&mut text);
        // SAFETY: `about` ends what it writes with a zero inside the array.
        let about = unsafe { CStr::from_ptr(text.as_ptr()) };
        let about = about.to_string_lossy().into_owned();
        tracing::info!(variant = variant.name(), path = %path.display(), "{about}");
        Ok(Arc::new(Self {
            variant,
            about,
            functions,
            on_gpus,
            _library: library,
            path,
        }))
    }

    /// The instruction set that it was compiled for.
    #[must_use]
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// FAISS's version and what it was compiled with.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.about
    }

    /// Where the library lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Those for GPUs, if it was built with CUDA.
    pub(super) fn on_gpus(&self) -> Option<&GpuFunctions> {
        self.on_gpus.as_ref()
    }
}

/// What this processor can run, best first.
fn runnable() -> Vec<Variant> {
    let all = Variant::ALL.into_iter();
    all.filter(|it| it.runs_here()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_foreign_library_is_an_error_that_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Faiss::load(Some(dir.path())).unwrap_err();
        assert_eq!(missing.code(), ErrorCode::Unavailable);
        assert!(missing.message().contains("build.sh"), "{missing}");
        std::fs::write(dir.path().join("libroutir_faiss-generic.so"), "not one").unwrap();
        let broken = Faiss::load(Some(dir.path())).unwrap_err();
        assert!(broken.message().contains("cannot be used"), "{broken}");
    }
}
