//! Product-quantised vectors, as an index file has them.

use routir_core::{Error, Result};

use crate::{MAX_DIM, Metric};

/// How vectors are divided, and what codes stand for.
#[derive(Clone, Debug)]
pub struct PqParts {
    /// Numbers of a vector.
    pub dim: usize,
    /// Parts of a vector.
    pub parts: usize,
    /// Bits of a code: 4 or 8.
    pub bits: usize,
    /// For each part, for each code, its numbers.
    pub codebooks: Vec<f32>,
}

/// Vectors of one list.
#[derive(Clone, Debug, Default)]
pub struct PqList {
    /// Their positions.
    pub ids: Vec<u32>,
    /// For each vector, a code per part, each in a byte.
    pub codes: Vec<u8>,
}

/// The centres of an inverted file.
#[derive(Clone, Debug)]
pub struct Coarse {
    /// A vector per list.
    pub centroids: Vec<f32>,
    /// Whether codes stand for what is left when the centre is taken away.
    pub by_residual: bool,
}

/// Vectors in codes: one list of all, or those of an inverted file.
#[derive(Clone, Debug)]
pub struct PqVectors {
    pub(crate) parts: PqParts,
    pub(crate) metric: Metric,
    pub(crate) coarse: Option<Coarse>,
    pub(crate) lists: Vec<PqList>,
    pub(crate) len: usize,
    /// How many lists the file says are read.
    pub(crate) nprobe: usize,
}

impl PqParts {
    /// Codes of a part.
    #[must_use]
    pub fn codes(&self) -> usize {
        1 << self.bits
    }

    /// Numbers of a part.
    #[must_use]
    pub fn width(&self) -> usize {
        self.dim / self.parts.max(1)
    }

    fn check(&self) -> Result<()> {
        let fits = (1..=MAX_DIM).contains(&self.dim)
            && self.parts > 0
            && self.dim.is_multiple_of(self.parts)
            && (self.bits == 4 || self.bits == 8)
            && self.codebooks.len() == self.dim * self.codes();
        if !fits {
            return Err(Error::invalid(format!(
                "{} parts of {} bits with {} numbers of codebooks make no vectors of {} numbers; \
                 codes have 4 or 8 bits",
                self.parts,
                self.bits,
                self.codebooks.len(),
                self.dim
            )));
        }
        match self.codebooks.iter().position(|it| !it.is_finite()) {
            Some(at) => Err(Error::invalid(format!(
                "number {at} of the codebooks is not finite"
            ))),
            None => Ok(()),
        }
    }
}

impl PqVectors {
    /// Takes lists of codes; without `coarse`, one list. Each position from 0 on stands in exactly
    /// one list.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when they do not fit together.
    pub fn new(
        parts: PqParts,
        metric: Metric,
        coarse: Option<Coarse>,
        lists: Vec<PqList>,
    ) -> Result<Self> {
        parts.check()?;
        let len: usize = lists.iter().map(|it| it.ids.len()).sum();
        let count = match &coarse {
            None => 1,
            Some(coarse) => coarse.centroids.len() / parts.dim,
        };
        let whole = coarse.as_ref().is_none_or(|coarse| {
            coarse.centroids.len() == count * parts.dim
                && coarse.centroids.iter().all(|it| it.is_finite())
        });
        if !whole || lists.len() != count {
            return Err(Error::invalid(format!(
                "{} lists and their {count} centres do not belong together",
                lists.len()
            )));
        }
        if len > (u32::MAX - 1024) as usize {
            return Err(Error::invalid(format!("{len} vectors are too many")));
        }
        let mut seen = vec![false; len];
        for (number, list) in lists.iter().enumerate() {
            if list.codes.len() != list.ids.len() * parts.parts {
                return Err(Error::invalid(format!(
                    "list {number} has not a code per part"
                )));
            }
            if parts.bits == 4 && list.codes.iter().any(|code| *code > 15) {
                return Err(Error::invalid(format!("list {number} has a code above 15")));
            }
            for id in &list.ids {
                match seen.get_mut(*id as usize) {
                    Some(seen) if !*seen => *seen = true,
                    _ => {
                        return Err(Error::invalid(format!(
                            "position {id} in list {number} is there twice, or behind the {len} \
                             vectors there are"
                        )));
                    }
                }
            }
        }
        Ok(Self {
            parts,
            metric,
            coarse,
            lists,
            len,
            nprobe: 1,
        })
    }

    /// How vectors are divided.
    #[must_use]
    pub fn parts(&self) -> &PqParts {
        &self.parts
    }

    /// How they are compared.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// How many vectors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many lists there are.
    #[must_use]
    pub fn lists(&self) -> usize {
        self.lists.len()
    }

    /// How many lists are read, as the file says.
    #[must_use]
    pub fn nprobe(&self) -> usize {
        self.nprobe
    }
}
