//! A file of vectors, open for reading.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use routir_core::Result;

use crate::block::{Block, Bytes};
use crate::element::Element;
use crate::failure::{io_error, wrong};
use crate::format::{Format, ids_beside};
use crate::ids::{IdList, IdReader, count_ids};
use crate::{npy, pickle, tensors};

/// Vectors in a file: rows by number, and their ids in the same order. Only what is asked for is
/// read, so a file may be larger than memory; ids of a pickle are held.
#[derive(Debug)]
pub struct VectorFile {
    path: PathBuf,
    file: File,
    format: Format,
    block: Block,
    ids: Ids,
}

#[derive(Debug)]
enum Ids {
    Held(IdList),
    Beside(PathBuf),
    None,
}

impl VectorFile {
    /// Opens a file of any of the formats, told by its content. Its shape is checked against its
    /// length, and the number of its ids, if it has some, against that of its rows.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] for a file that is none of these, is damaged, or
    /// holds something else than vectors of floating-point numbers.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_tensor(path, None)
    }

    /// As [`VectorFile::open`]; of a safetensors file, the tensor of that name. Without a name it
    /// is the one called `vectors`, else the only one of two dimensions.
    ///
    /// # Errors
    /// As [`VectorFile::open`]; when there is no such tensor.
    pub fn open_tensor(path: &Path, tensor: Option<&str>) -> Result<Self> {
        let failed = |error| io_error("reading", path, &error);
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(wrong(path, "it is no file; name a file of vectors"));
        }
        let size = metadata.len();
        let (format, block, held) =
            read(&file, size, path, tensor).map_err(|why| wrong(path, why))?;
        let ids = match held {
            Some(ids) if ids.len() as u64 == block.rows => Ids::Held(ids),
            Some(ids) => {
                let (count, rows) = (ids.len(), block.rows);
                let why = format!("it has {count} `ids`, but {rows} rows of `features`");
                return Err(wrong(path, why));
            }
            None => beside(path, block.rows)?,
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            format,
            block,
            ids,
        })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it holds its vectors.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// How many vectors there are.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.block.rows
    }

    /// How many numbers each has.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.block.dim
    }

    /// The type of its numbers.
    #[must_use]
    pub fn element(&self) -> Element {
        self.block.element
    }

    /// Puts `rows` vectors from number `first` on into `into`, one after another, in place of what
    /// is there. Numbers come as they are, NaN among them.
    ///
    /// # Errors
    /// When there are not so many, or the file cannot be read any more.
    pub fn read(&self, first: u64, rows: usize, into: &mut Vec<f32>) -> Result<()> {
        self.block.read(&self.file, &self.path, first, rows, into)
    }

    /// The ids, in the order of the rows.
    ///
    /// # Errors
    /// When there are none.
    pub fn ids(&self) -> Result<IdReader<'_>> {
        match &self.ids {
            Ids::Held(list) => Ok(IdReader::held(list)),
            Ids::Beside(path) => IdReader::open(path),
            Ids::None => {
                let beside = ids_beside(&self.path);
                let why = format!(
                    "it has no ids: `{}` is not there; write one id per line, in the order of the \
                     rows",
                    beside.display()
                );
                Err(wrong(&self.path, why))
            }
        }
    }
}

type Content = (Format, Block, Option<IdList>);

fn read(file: &File, size: u64, path: &Path, tensor: Option<&str>) -> Result<Content, String> {
    let mut start = [0; 6];
    let magic = file.read_exact_at(&mut start, 0).is_ok() && start == *npy::MAGIC;
    let extension = path.extension().and_then(|it| it.to_str());
    if !magic {
        if extension == Some("safetensors") {
            let block = tensors::read_matrix(file, size, tensor)?;
            return Ok((Format::Safetensors, block, None));
        }
        return Err(
            "it is no file of vectors: neither does it begin as `.npy` files do, nor is it called \
             `.safetensors`"
                .to_owned(),
        );
    }
    let head = npy::read_head(file)?;
    if head.descr.trim_start_matches('|').starts_with('O') {
        let (block, ids) = pickle::read(file, head.data, size)
            .map_err(|why| format!("its pickle is refused: {why}"))?;
        return Ok((Format::Routir, block, Some(ids)));
    }
    let element = npy::element(&head.descr)?;
    if head.fortran_order {
        return Err("it is in Fortran order; save it with np.ascontiguousarray(array)".to_owned());
    }
    let length = size.saturating_sub(head.data);
    let block = Block::new(&head.shape, element, Bytes::At(head.data), length)?;
    Ok((Format::Npy, block, None))
}

fn beside(path: &Path, rows: u64) -> Result<Ids> {
    let beside = ids_beside(path);
    if !beside.is_file() {
        return Ok(Ids::None);
    }
    let count = count_ids(&beside)?;
    if count == rows {
        return Ok(Ids::Beside(beside));
    }
    let why = format!(
        "it has {count} ids, but `{}` has {rows} rows",
        path.display()
    );
    Err(wrong(&beside, why))
}
