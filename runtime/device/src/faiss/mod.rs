//! FAISS's index files, as far as devices search what is in them. A file is not believed: every length
//! is checked against what is left of it.

mod pq;
mod rows;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use routir_core::{Error, Result};

use crate::{MAX_DIM, Metric, PqVectors};
pub use pq::faiss_pq;
pub use rows::FaissRows;

/// What is in an index file.
pub enum FaissVectors<'a> {
    /// Vectors, to be compared with every query: `Flat`, `SQ8`, `SQfp16`, `SQbf16`.
    Rows(FaissRows<'a>),
    /// Codes: `PQ…`, `PQ…x4fs`, `IVF…,PQ…`, `IVF…,PQ…x4fs`.
    Codes(PqVectors),
}

/// An index file, mapped into memory.
pub struct IndexFile {
    path: PathBuf,
    /// `None` is an empty file, which cannot be mapped.
    map: Option<Mmap>,
}

impl IndexFile {
    /// Opens it; reads nothing yet.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when there is none or it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || {
            let file = File::open(path)?;
            if file.metadata()?.len() == 0 {
                return Ok(None);
            }
            // SAFETY: only bytes are read. Whoever cuts the file short while vectors are copied to a
            // device ends the process with SIGBUS, as with every mapped index.
            unsafe { Mmap::map(&file) }.map(Some)
        };
        let unreadable =
            |why: io::Error| Error::invalid(format!("`{}` cannot be read: {why}", path.display()));
        Ok(Self {
            map: open().map_err(unreadable)?,
            path: path.to_owned(),
        })
    }

    /// What is in it. Vectors stay in the file until they are asked for.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when it is of another kind, or damaged.
    pub fn vectors(&self) -> Result<FaissVectors<'_>> {
        faiss_vectors(&self.path, self.map.as_deref().unwrap_or_default())
    }
}

/// Reads the bytes of an index file.
fn faiss_vectors<'a>(file: &Path, bytes: &'a [u8]) -> Result<FaissVectors<'a>> {
    let mut reader = Reader { left: bytes };
    let read = match bytes.first_chunk() {
        Some(b"IxFI" | b"IxF2" | b"IxFl" | b"IxSQ") => {
            rows::read(&mut reader).map(FaissVectors::Rows)
        }
        Some(b"IxPq" | b"IPfs" | b"IwPQ" | b"IwPf") => {
            pq::read(&mut reader).map(FaissVectors::Codes)
        }
        kind => Err(other_kind(kind.map_or(&[][..], <[u8; 4]>::as_slice))),
    };
    read.map_err(|why| refused(file, &why))
}

fn refused(file: &Path, why: &str) -> Error {
    Error::invalid(format!(
        "`{}` cannot be searched on a device: {why}",
        file.display()
    ))
}

fn other_kind(kind: &[u8]) -> String {
    format!(
        "it is of the kind `{}`; `Flat`, `SQ8`, `SQfp16`, `SQbf16`, `PQ…` and `IVF…,PQ…` (plain or \
         `x4fs`) are searched there",
        kind.escape_ascii()
    )
}

type Told<T> = std::result::Result<T, String>;

struct Reader<'a> {
    left: &'a [u8],
}

struct Header {
    dim: usize,
    len: usize,
    metric: Metric,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Told<&'a [u8]> {
        let (bytes, left) = self
            .left
            .split_at_checked(count)
            .ok_or("the file ends too early")?;
        self.left = left;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Told<[u8; N]> {
        let (bytes, left) = self
            .left
            .split_first_chunk()
            .ok_or("the file ends too early")?;
        self.left = left;
        Ok(*bytes)
    }

    fn byte(&mut self) -> Told<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn i32(&mut self) -> Told<i32> {
        self.array().map(i32::from_le_bytes)
    }

    /// A length or another number that fits memory.
    fn size(&mut self) -> Told<usize> {
        let size = self.array().map(u64::from_le_bytes)?;
        usize::try_from(size).map_err(|_| format!("a length of {size} makes no sense"))
    }

    fn items(&mut self, size: usize) -> Told<&'a [u8]> {
        let count = self.size()?;
        let bytes = count.checked_mul(size).ok_or("a length makes no sense")?;
        self.bytes(bytes)
    }

    fn floats(&mut self) -> Told<Vec<f32>> {
        let (words, _) = self.items(4)?.as_chunks();
        Ok(words.iter().map(|it| f32::from_le_bytes(*it)).collect())
    }

    fn header(&mut self) -> Told<Header> {
        let dim = usize::try_from(self.i32()?).unwrap_or_default();
        let len = self.size()?;
        self.bytes(16)?;
        self.byte()?;
        let metric = match self.i32()? {
            0 => Metric::InnerProduct,
            1 => Metric::L2,
            _ => return Err("it compares neither by inner product nor by L2".to_owned()),
        };
        if dim == 0 || dim > MAX_DIM {
            return Err(format!("vectors of {dim} numbers make no sense"));
        }
        Ok(Header { dim, len, metric })
    }
}
