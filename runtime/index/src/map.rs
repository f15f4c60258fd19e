//! Files of numbers, mapped into memory.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::path::Path;

use bytemuck::AnyBitPattern;
use memmap2::Mmap;

/// A file as little-endian numbers of type `T`, mapped into memory: pages are read when they are
/// touched and given back when memory is short.
#[derive(Debug)]
pub(crate) struct Mapped<T> {
    map: Option<Mmap>,
    of: PhantomData<T>,
}

impl<T: AnyBitPattern> Mapped<T> {
    /// Maps the file if it holds exactly `count` numbers.
    pub(crate) fn open(path: &Path, count: u64) -> io::Result<Self> {
        const {
            assert!(
                cfg!(target_endian = "little"),
                "the files are little-endian"
            )
        };
        let file = File::open(path)?;
        let (found, wanted) = (
            file.metadata()?.len(),
            count.checked_mul(size_of::<T>() as u64),
        );
        if Some(found) != wanted {
            let why = match wanted {
                Some(wanted) => format!("it has {found} bytes, not {wanted}"),
                None => format!("it cannot have {count} entries"),
            };
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let map = if found == 0 {
            None
        } else {
            // SAFETY: the bytes are plain numbers, any of which are valid. An index is written aside
            // and renamed when it is complete, so nothing that follows this crate's rules changes a
            // file that is mapped; whoever cuts one short all the same ends the process with SIGBUS,
            // as with every mapped file.
            Some(unsafe { Mmap::map(&file) }?)
        };
        Ok(Self {
            map,
            of: PhantomData,
        })
    }

    /// The numbers.
    pub(crate) fn all(&self) -> &[T] {
        let bytes: &[u8] = self.map.as_deref().unwrap_or_default();
        bytemuck::try_cast_slice(bytes).unwrap_or_default()
    }

    /// The numbers from `start` to `end`, if there are.
    pub(crate) fn range(&self, start: u64, end: u64) -> Option<&[T]> {
        self.all()
            .get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_of_the_right_size_is_mapped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("numbers");
        std::fs::write(&path, [1, 0, 0, 0, 2, 0, 0, 0]).unwrap();
        let mapped = Mapped::<u32>::open(&path, 2).unwrap();
        assert_eq!(mapped.all(), [1, 2]);
        assert_eq!(mapped.range(1, 2), Some(&[2][..]));
        assert_eq!((mapped.range(1, 3), mapped.range(2, 1)), (None, None));
        assert!(Mapped::<u32>::open(&path, 1).is_err());
        assert!(Mapped::<u32>::open(&path, u64::MAX).is_err());
        std::fs::write(&path, []).unwrap();
        assert!(Mapped::<u32>::open(&path, 0).unwrap().all().is_empty());
    }
}
