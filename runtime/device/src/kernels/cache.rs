//! Compiled kernels on disk. A file is named after all that its content depends on, is written beside
//! its place and moved there, and says what its content must hash to; anything else is compiled anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use routir_core::Result;
use sha2::{Digest, Sha256};

use super::{HEADERS, Nvrtc, SOURCES, Source};

/// What a file begins with, before the hash of the rest.
const MAGIC: &[u8; 16] = b"routir-kernels-1";
/// The beginning with the hash.
const HEAD: usize = 16 + 32;
/// A file that is larger is none of ours.
const LARGEST: u64 = 64 << 20;

/// The kernels for one device.
#[derive(Clone, Debug)]
pub struct Compiled(Vec<(&'static str, Vec<u8>)>);

impl Compiled {
    /// The modules: sources' names and code.
    pub fn images(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.0.iter().map(|(name, image)| (*name, image.as_slice()))
    }
}

/// Where compiled kernels are kept; without a folder, nowhere.
#[derive(Clone, Debug)]
pub struct KernelCache(Option<PathBuf>);

impl KernelCache {
    /// Keeps them in `folder`, which is made when it is needed.
    #[must_use]
    pub fn new(folder: Option<&Path>) -> Self {
        Self(folder.map(Path::to_owned))
    }

    /// All kernels for `architecture` under a driver, from the folder or compiled and put there.
    ///
    /// # Errors
    /// When one cannot be compiled. A folder that cannot be read or written is no error.
    pub fn compiled(&self, nvrtc: &Nvrtc, architecture: &str, driver: &str) -> Result<Compiled> {
        let mut images = Vec::with_capacity(SOURCES.len());
        for source in &SOURCES {
            let file = self.file(source, architecture, driver, nvrtc.version());
            let kept = file.as_deref().and_then(read);
            let image = match kept {
                Some(image) => image,
                None => {
                    tracing::info!(source = source.name, architecture, "compiling kernels");
                    let image = nvrtc.compile(source, architecture)?;
                    if let Some(file) = &file
                        && let Err(error) = write(file, &image)
                    {
                        tracing::warn!(
                            file = %file.display(),
                            %error,
                            "compiled kernels cannot be kept; every start compiles them anew"
                        );
                    }
                    image
                }
            };
            images.push((source.name, image));
        }
        Ok(Compiled(images))
    }

    fn file(&self, source: &Source, arch: &str, driver: &str, nvrtc: &str) -> Option<PathBuf> {
        let mut hash = Sha256::new();
        let texts = HEADERS.iter().map(|it| it.text);
        for part in texts.chain([source.text, arch, driver, nvrtc]) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut name = source.name.replace(".cu", "-");
        for byte in hash.finalize().iter().take(16) {
            let _ = write!(name, "{byte:02x}");
        }
        self.0.as_ref().map(|it| it.join(format!("{name}.cubin")))
    }
}

fn read(file: &Path) -> Option<Vec<u8>> {
    if fs::metadata(file).ok()?.len() > LARGEST {
        return None;
    }
    let mut content = fs::read(file).ok()?;
    let hash = content.strip_prefix(MAGIC)?.get(..32)?;
    let image = content.get(HEAD..)?;
    if image.is_empty() || Sha256::digest(image).as_slice() != hash {
        tracing::warn!(file = %file.display(), "damaged kernels are compiled anew");
        return None;
    }
    content.drain(..HEAD);
    Some(content)
}

fn write(file: &Path, image: &[u8]) -> std::io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let Some(folder) = file.parent() else {
        return Ok(());
    };
    fs::create_dir_all(folder)?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let new = file.with_extension(format!("new-{}-{number}", std::process::id()));
    let content = [MAGIC.as_slice(), Sha256::digest(image).as_slice(), image].concat();
    let written = fs::write(&new, content).and_then(|()| fs::rename(&new, file));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_and_what_was_damaged_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("deep/kernel.cubin");
        assert_eq!(read(&file), None);
        write(&file, b"some code").unwrap();
        assert_eq!(read(&file).as_deref(), Some(b"some code".as_slice()));
        let good = fs::read(&file).unwrap();
        for cut in 0..good.len() {
            fs::write(&file, &good[..cut]).unwrap();
            assert_eq!(read(&file), None, "cut at {cut}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&file, &bad).unwrap();
            assert_eq!(read(&file), None, "flipped at {at}");
        }
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_named_after_all_that_it_depends_on() {
        let cache = KernelCache::new(Some(Path::new("/k")));
        let name =
            |source: &Source, arch, driver, nvrtc| cache.file(source, arch, driver, nvrtc).unwrap();
        let [first, second, ..] = &SOURCES;
        let usual = name(first, "sm_90", "12.8", "12.9");
        assert_eq!(usual, name(first, "sm_90", "12.8", "12.9"));
        for other in [
            name(second, "sm_90", "12.8", "12.9"),
            name(first, "sm_80", "12.8", "12.9"),
            name(first, "sm_90", "12.9", "12.9"),
            name(first, "sm_90", "12.8", "13.0"),
            name(first, "sm_90", "12.", "812.9"),
        ] {
            assert_ne!(usual, other);
        }
    }
}
