//! The C interface of `native/faiss.h`, made safe. This file and `gpu.rs` alone call into FAISS.

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use libloading::Library;
use routir_core::{Error, Result};

use super::{Faiss, Metric};

pub(super) const MESSAGE_BYTES: usize = 512;
type Message = [c_char; MESSAGE_BYTES];

/// An index of FAISS, known only to the library.
#[repr(C)]
pub(super) struct Opaque {
    _private: [u8; 0],
}

/// What an index is; as in the header.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub(super) vectors: i64,
    pub(super) dimensions: i32,
    pub(super) metric: i32,
    pub(super) trained: i32,
    pub(super) lists: i64,
}

impl Facts {
    /// How vectors are compared in the index that `path` names.
    pub(super) fn metric(&self, path: &Path) -> Result<Metric> {
        match self.metric {
            0 => Ok(Metric::InnerProduct),
            1 => Ok(Metric::L2),
            _ => Err(Error::invalid(format!(
                "`{}` compares vectors neither by inner product nor by L2",
                path.display()
            ))),
        }
    }
}

/// How to search; as in the header.
#[repr(C)]
struct How {
    nprobe: i64,
    ef_search: i64,
    k_factor: f32,
    allowed: *const u8,
    allowed_bytes: usize,
}

/// What a search may be told; 0 is what the index was written with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tuning<'a> {
    pub(super) nprobe: usize,
    pub(super) ef_search: usize,
    pub(super) k_factor: f32,
    /// One bit per vector, lowest first.
    pub(super) allowed: Option<&'a [u8]>,
}

macro_rules! functions {
    ($(#[$doc:meta])* $all:ident: $($field:ident = $name:literal: $type:ty;)*) => {
        $(#[$doc])*
        pub(super) struct $all { $($field: $type,)* }

        impl $all {
            /// Finds them all.
            ///
            /// # Safety
            /// The library's functions of these names must have these types, and it must outlive them.
            pub(super) unsafe fn find(library: &Library) -> Result<Self, libloading::Error> {
                // SAFETY: the caller's promise.
                unsafe { Ok(Self { $($field: *library.get::<$type>($name)?,)* }) }
            }
        }
    };
}

pub(super) use functions;

functions! {
    /// The library's functions.
    Functions:
    interface = b"routir_faiss_interface\0": unsafe extern "C" fn() -> i32;
    about = b"routir_faiss_about\0": unsafe extern "C" fn(*mut c_char, usize);
    threads = b"routir_faiss_threads\0": unsafe extern "C" fn(c_int);
    read = b"routir_faiss_read\0":
        unsafe extern "C" fn(*const c_char, i32, *mut *mut Opaque, *mut c_char) -> i32;
    write = b"routir_faiss_write\0":
        unsafe extern "C" fn(*const Opaque, *const c_char, *mut c_char) -> i32;
    make = b"routir_faiss_make\0":
        unsafe extern "C" fn(i32, *const c_char, i32, *mut *mut Opaque, *mut c_char) -> i32;
    free = b"routir_faiss_free\0": unsafe extern "C" fn(*mut Opaque);
    facts = b"routir_faiss_facts\0":
        unsafe extern "C" fn(*const Opaque, *mut Facts, *mut c_char) -> i32;
    describe = b"routir_faiss_describe\0":
        unsafe extern "C" fn(*const Opaque, *mut c_char, usize, *mut c_char) -> i32;
    train = b"routir_faiss_train\0":
        unsafe extern "C" fn(*mut Opaque, i64, *const f32, *mut c_char) -> i32;
    add = b"routir_faiss_add\0":
        unsafe extern "C" fn(*mut Opaque, i64, *const f32, *mut c_char) -> i32;
    search = b"routir_faiss_search\0": unsafe extern "C" fn(
        *const Opaque, i64, *const f32, i64, *const How, *mut f32, *mut i64, *mut c_char,
    ) -> i32;
}

impl Functions {
    pub(super) fn interface(&self) -> i32 {
        // SAFETY: takes nothing, and is the same in all versions.
        unsafe { (self.interface)() }
    }

    pub(super) fn about(&self, text: &mut [c_char]) {
        // SAFETY: writes at most as many bytes as it is told.
        unsafe { (self.about)(text.as_mut_ptr(), text.len()) }
    }
}

/// An index of FAISS.
pub(super) struct RawIndex {
    faiss: Arc<Faiss>,
    index: ptr::NonNull<Opaque>,
}

// SAFETY: the library has no state of a thread's but the number of its threads, which is set before
// each call.
unsafe impl Send for RawIndex {}
// SAFETY: FAISS searches an index from several threads at once; what changes one takes `&mut self`.
unsafe impl Sync for RawIndex {}

impl Drop for RawIndex {
    fn drop(&mut self) {
        // SAFETY: it came from the library and is not used again.
        unsafe { (self.faiss.functions().free)(self.index.as_ptr()) }
    }
}

/// What the library answered: nothing, or why it failed.
pub(super) fn answer(code: i32, message: &Message) -> Result<(), String> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: the library ends what it writes with a zero; an array that it left alone is zero.
    let text = unsafe { CStr::from_ptr(message.as_ptr()) };
    Err(plain(&text.to_string_lossy()))
}

/// FAISS's message without the C++ function and the source file in which it arose.
fn plain(message: &str) -> String {
    let text = message
        .rsplit_once(" at /")
        .map_or(message, |(head, tail)| {
            tail.split_once(": ").map_or(head, |(_, why)| why)
        });
    text.trim().trim_start_matches("Error: ").to_owned()
}

fn path_of(path: &Path) -> Result<CString> {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::invalid(format!("`{}` holds a zero byte", path.display())))
}

impl RawIndex {
    /// Reads an index; with `map`, what the format allows stays in the file.
    pub(super) fn read(faiss: &Arc<Faiss>, path: &Path, map: bool) -> Result<Self> {
        let name = path_of(path)?;
        let (mut index, mut message) = (ptr::null_mut(), [0; MESSAGE_BYTES]);
        // SAFETY: the pointers are to a string that ends with a zero and to places of their types.
        let code = unsafe {
            (faiss.functions().read)(
                name.as_ptr(),
                map.into(),
                &raw mut index,
                message.as_mut_ptr(),
            )
        };
        answer(code, &message).map_err(|why| {
            Error::engine(format!(
                "`{}` cannot be read as a FAISS index: {why}; write it anew",
                path.display()
            ))
        })?;
        Self::own(faiss, index)
    }

    /// An empty index.
    pub(super) fn make(
        faiss: &Arc<Faiss>,
        dim: usize,
        factory: &str,
        metric: Metric,
    ) -> Result<Self> {
        let refuse =
            |why: &str| Error::invalid(format!("FAISS makes no index of `{factory}`: {why}"));
        let name = CString::new(factory).map_err(|_| refuse("it holds a zero byte"))?;
        let dim = i32::try_from(dim).ok().filter(|dim| *dim > 0);
        let dim = dim.ok_or_else(|| refuse("vectors have at least one dimension"))?;
        let metric = match metric {
            Metric::InnerProduct => 0,
            Metric::L2 => 1,
        };
        let (mut index, mut message) = (ptr::null_mut(), [0; MESSAGE_BYTES]);
        // SAFETY: as in `read`.
        let code = unsafe {
            (faiss.functions().make)(
                dim,
                name.as_ptr(),
                metric,
                &raw mut index,
                message.as_mut_ptr(),
            )
        };
        answer(code, &message).map_err(|why| refuse(&why))?;
        Self::own(faiss, index)
    }

    fn own(faiss: &Arc<Faiss>, index: *mut Opaque) -> Result<Self> {
        let index = ptr::NonNull::new(index);
        let index = index.ok_or_else(|| Error::internal("FAISS answered no index"))?;
        Ok(Self {
            faiss: Arc::clone(faiss),
            index,
        })
    }

    /// For the functions that take it, while this lives.
    pub(super) fn pointer(&self) -> *const Opaque {
        self.index.as_ptr()
    }

    pub(super) fn facts(&self) -> Result<Facts> {
        let (mut facts, mut message) = (Facts::default(), [0; MESSAGE_BYTES]);
        // SAFETY: the index is alive and the places are of their types.
        let code = unsafe {
            (self.faiss.functions().facts)(
                self.index.as_ptr(),
                &raw mut facts,
                message.as_mut_ptr(),
            )
        };
        answer(code, &message).map_err(Error::engine)?;
        Ok(facts)
    }

    /// What kind of index it is.
    pub(super) fn describe(&self) -> Result<String> {
        let (mut text, mut message): ([c_char; 128], _) = ([0; 128], [0; MESSAGE_BYTES]);
        // SAFETY: as in `facts`; at most as many bytes are written as the array has.
        let code = unsafe {
            (self.faiss.functions().describe)(
                self.index.as_ptr(),
                text.as_mut_ptr(),
                text.len(),
                message.as_mut_ptr(),
            )
        };
        answer(code, &message).map_err(Error::engine)?;
        // SAFETY: the library ends what it writes with a zero.
        let text = unsafe { CStr::from_ptr(text.as_ptr()) };
        Ok(text.to_string_lossy().into_owned())
    }

    /// Learns from `rows` of `dim` numbers each, on so many threads.
    pub(super) fn train(&mut self, rows: &[f32], dim: usize, threads: usize) -> Result<()> {
        let train = self.faiss.functions().train;
        self.feed(train, rows, dim, threads, "training")
    }

    /// Adds `rows` of `dim` numbers each, on so many threads.
    pub(super) fn add(&mut self, rows: &[f32], dim: usize, threads: usize) -> Result<()> {
        let add = self.faiss.functions().add;
        self.feed(add, rows, dim, threads, "adding vectors")
    }

    fn feed(
        &mut self,
        function: unsafe extern "C" fn(*mut Opaque, i64, *const f32, *mut c_char) -> i32,
        rows: &[f32],
        dim: usize,
        threads: usize,
        doing: &str,
    ) -> Result<()> {
        self.check_dim(dim)?;
        let count = whole(rows.len(), dim)?;
        self.use_threads(threads);
        let mut message = [0; MESSAGE_BYTES];
        // SAFETY: `rows` has `count` rows of the index's dimensions; `&mut self` keeps others out.
        let code = unsafe {
            function(
                self.index.as_ptr(),
                count,
                rows.as_ptr(),
                message.as_mut_ptr(),
            )
        };
        answer(code, &message).map_err(|why| Error::invalid(format!("{doing}: {why}")))
    }

    /// Scores and positions of the `limit` nearest of each query, best first; a position below 0 is
    /// none.
    pub(super) fn search(
        &self,
        queries: &[f32],
        dim: usize,
        limit: usize,
        tuning: Tuning<'_>,
        threads: usize,
    ) -> Result<(Vec<f32>, Vec<i64>)> {
        self.check_dim(dim)?;
        let count = whole(queries.len(), dim)?;
        let wanted = i64::try_from(limit).map_err(|_| Error::invalid("the limit is too large"))?;
        let places = (queries.len() / dim.max(1)).saturating_mul(limit);
        let (mut scores, mut positions) = (vec![0.0_f32; places], vec![-1_i64; places]);
        let how = How {
            nprobe: i64::try_from(tuning.nprobe).unwrap_or(i64::MAX),
            ef_search: i64::try_from(tuning.ef_search).unwrap_or(i64::MAX),
            k_factor: tuning.k_factor,
            allowed: tuning.allowed.map_or(ptr::null(), <[u8]>::as_ptr),
            allowed_bytes: tuning.allowed.map_or(0, <[u8]>::len),
        };
        self.use_threads(threads);
        let mut message = [0; MESSAGE_BYTES];
        // SAFETY: `queries` has `count` rows of the index's dimensions, both outputs `count * limit`
        // places, and `how` and what it points to live until the call ends.
        let code = unsafe {
            (self.faiss.functions().search)(
                self.index.as_ptr(),
                count,
                queries.as_ptr(),
                wanted,
                &raw const how,
                scores.as_mut_ptr(),
                positions.as_mut_ptr(),
                message.as_mut_ptr(),
            )
        };
        answer(code, &message).map_err(|why| Error::engine(format!("FAISS failed: {why}")))?;
        Ok((scores, positions))
    }

    /// Writes the index to a file.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let name = path_of(path)?;
        let mut message = [0; MESSAGE_BYTES];
        // SAFETY: the index is alive, the name ends with a zero.
        let code = unsafe {
            (self.faiss.functions().write)(self.index.as_ptr(), name.as_ptr(), message.as_mut_ptr())
        };
        answer(code, &message)
            .map_err(|why| Error::engine(format!("`{}` cannot be written: {why}", path.display())))
    }

    /// The pointers that go over are only as good as the number of dimensions.
    fn check_dim(&self, dim: usize) -> Result<()> {
        let own = self.facts()?.dimensions;
        if usize::try_from(own).is_ok_and(|own| own == dim && own > 0) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "vectors of {dim} dimensions, but the index has {own}"
        )))
    }

    /// OpenMP's number of threads belongs to the calling thread.
    fn use_threads(&self, threads: usize) {
        let threads = c_int::try_from(threads).unwrap_or(1).max(1);
        // SAFETY: takes a number.
        unsafe { (self.faiss.functions().threads)(threads) }
    }
}

pub(super) fn whole(numbers: usize, dim: usize) -> Result<i64> {
    match numbers.checked_rem(dim) {
        Some(0) => i64::try_from(numbers / dim).map_err(|_| Error::invalid("too many vectors")),
        _ => Err(Error::invalid(format!(
            "{numbers} numbers are no vectors of {dim} dimensions"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_lose_the_place_in_the_sources() {
        let thrown = "Error in faiss::Index* faiss::read_index(faiss::IOReader*, int) at \
                      /build/faiss/impl/index_read.cpp:1234: Error: 'ret == (1)' failed: read error";
        assert_eq!(plain(thrown), "'ret == (1)' failed: read error");
        assert_eq!(plain("the filter is short"), "the filter is short");
    }
}
