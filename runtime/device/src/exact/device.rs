//! Exact search on a device: a scan for few queries, tiles on the tensor cores for many. See
//! `kernels/scan.cu` and `kernels/tile.cu`.

use std::sync::Arc;

use half::f16;
use parking_lot::Mutex;
use routir_core::{Error, ErrorCode, Result};

use super::lists::shared;
use super::{ExactSearch, Lists, capacity, check, rounded};
use crate::texts::{Kept, taken};
use crate::{Arg, Device, DeviceMemory, DeviceVector, Element, Found, Metric, Rows, Session};

/// Queries that go to the device at once.
const QUERIES: usize = 256;
/// Vectors of which a sample is looked at first, and which part of them that is.
const SAMPLE_FROM: usize = 1 << 17;
const SAMPLE: usize = 32;
/// Vectors between two looks at the buffers, of a scan and of tiles, and the stages of these.
const SCAN_TILE: usize = 256;
const TILE: usize = 256;
const STAGES: usize = 4;
/// Queries up to which a scan is faster than tiles.
const SCAN_QUERIES: usize = 8;

/// Vectors on a device.
pub struct ExactOnDevice {
    device: Arc<Device>,
    element: Element,
    metric: Metric,
    dim: usize,
    len: usize,
    data: DeviceMemory,
    /// Squared lengths (f16) or factors (i8).
    extra: DeviceMemory,
    session: Mutex<Session>,
}

/// How a kernel is run.
struct Shape {
    kernel: String,
    /// Queries of a block.
    at_once: usize,
    /// Vectors of a tile.
    tile: usize,
    /// Shared memory besides what the results take.
    shared: usize,
    /// Units of 32 numbers of a tile's queries that stay in shared memory.
    resident: usize,
    /// Blocks per multiprocessor.
    blocks: usize,
    tiled: bool,
}

impl ExactOnDevice {
    /// Copies `len` vectors of `dim` numbers to the device, block by block.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::Unavailable`] when they do not fit the budget or the device fails;
    /// [`routir_core::ErrorCode::InvalidArgument`] when the blocks are not what was announced; errors
    /// of the blocks.
    pub fn new(
        device: &Arc<Device>,
        what: &str,
        (element, metric): (Element, Metric),
        (dim, len): (usize, usize),
        blocks: impl IntoIterator<Item = Result<Rows>>,
    ) -> Result<Self> {
        if u32::try_from(len).is_err() || len > u32::MAX as usize - SCAN_TILE {
            return Err(Error::invalid(format!(
                "{what}: {len} vectors are too many for one device"
            )));
        }
        let stride = element.padded(dim) * element.bytes();
        let data = device.memory(what, len * stride)?;
        let with_extra = element != Element::F32;
        let extra = device.memory(what, if with_extra { len * 4 } else { 0 })?;
        let mut session = device.session()?;
        let mut at = 0;
        for block in blocks {
            let block = block?;
            if block.element() != element || block.dim() != dim || at + block.len() > len {
                return Err(Error::invalid(format!(
                    "{what}: a block of {} vectors of {} numbers at {at} is not part of {len} of \
                     {dim}",
                    block.len(),
                    block.dim()
                )));
            }
            session.upload(&data, at * stride, block.data())?;
            let numbers = match element {
                Element::F32 => &[][..],
                Element::F16 => block.norms(),
                Element::I8 => block.factors(),
            };
            session.upload(&extra, at * 4, bytemuck::cast_slice(numbers))?;
            at += block.len();
        }
        if at != len {
            return Err(Error::invalid(format!(
                "{what}: only {at} of {len} vectors came"
            )));
        }
        session.wait()?;
        Ok(Self {
            device: Arc::clone(device),
            element,
            metric,
            dim,
            len,
            data,
            extra,
            session: Mutex::new(session),
        })
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Bytes of device memory that it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.data.bytes() + self.extra.bytes()
    }

    fn shape(&self, queries: usize, k: usize) -> Result<Shape> {
        let metric = match self.metric {
            Metric::InnerProduct => "ip",
            Metric::L2 => "l2",
        };
        let most = self.device.shared_memory();
        if self.element == Element::F16 && queries > SCAN_QUERIES {
            // The larger takes a multiprocessor alone; where it does not fit one, the smaller does.
            let mut choices = [(32, 2), (128, 1)];
            if queries > 32 {
                choices.reverse();
            }
            for (at_once, blocks) in choices {
                let stages = STAGES * 64 * (at_once + TILE);
                let needed = stages + shared(at_once, capacity(k, TILE));
                if needed > most {
                    continue;
                }
                // Where a block has a multiprocessor alone, what is left is for its queries.
                let (unit, units) = (64 * at_once, self.element.padded(self.dim) / 32);
                let resident = match blocks {
                    1 => ((most - needed) / unit).min(units),
                    _ => 0,
                };
                return Ok(Shape {
                    kernel: format!("tile_f16_{metric}_{at_once}"),
                    at_once,
                    tile: TILE,
                    shared: stages + resident * unit,
                    resident,
                    blocks,
                    tiled: true,
                });
            }
        }
        let name = self.element.name();
        // A warp reads 32 units of 16 bytes at a time.
        let values = 16 / self.element.bytes();
        let of_query = self.dim.next_multiple_of(32 * values) * 4;
        let choices = if queries > 1 { &[8, 1][..] } else { &[1] };
        for at_once in choices {
            let shape = Shape {
                kernel: format!("scan_{name}_{metric}_{at_once}"),
                at_once: *at_once,
                tile: SCAN_TILE,
                shared: of_query * at_once,
                resident: 0,
                blocks: if *at_once == 1 { 3 } else { 2 },
                tiled: false,
            };
            if shape.shared + shared(*at_once, capacity(k, SCAN_TILE)) <= most {
                return Ok(shape);
            }
        }
        Err(Error::invalid(format!(
            "vectors of {} numbers are too long for {}",
            self.dim,
            self.device.name()
        )))
    }

    /// The vectors, in rows of `stride` numbers.
    pub(crate) fn rows(&self) -> (Arg, usize) {
        (self.data.arg(), self.element.padded(self.dim))
    }

    /// Queries as the kernel reads them, and their squared lengths.
    fn query_bytes(&self, queries: &[f32], tiled: bool) -> (Vec<u8>, Vec<f32>) {
        let padded = self.element.padded(self.dim);
        let size = if tiled { 2 } else { 4 };
        let mut bytes = Vec::with_capacity(queries.len() / self.dim * padded * size);
        let mut norms = Vec::new();
        for (at, query) in queries.chunks_exact(self.dim).enumerate() {
            if tiled {
                let halves = query.iter().map(|it| f16::from_f32(*it));
                bytes.extend(halves.flat_map(f16::to_le_bytes));
                let squares = query.iter().map(|it| f64::from(*it) * f64::from(*it));
                norms.push(squares.sum::<f64>() as f32);
            } else {
                bytes.extend(query.iter().flat_map(|it| it.to_le_bytes()));
            }
            bytes.resize((at + 1) * padded * size, 0);
        }
        (bytes, norms)
    }

    fn run(
        &self,
        session: &mut Session,
        queries: &[f32],
        k: usize,
        allowed: Option<&DeviceMemory>,
    ) -> Result<Vec<Vec<Found>>> {
        let count = queries.len() / self.dim;
        let shape = self.shape(count, k)?;
        let (bytes, norms) = self.query_bytes(queries, shape.tiled);
        let on_device = session.scratch("queries", bytes.len())?;
        let query_norms = session.scratch("norms", norms.len() * 4)?;
        session.upload(&on_device, 0, &bytes)?;
        session.upload(&query_norms, 0, bytemuck::cast_slice(&norms))?;
        self.scan(
            session,
            &shape,
            (&on_device, &query_norms, count),
            k,
            allowed,
        )
    }

    /// As [`ExactSearch::search`], for queries that lie on the same device.
    ///
    /// # Errors
    /// As [`ExactSearch::search`]; also when a query lies elsewhere.
    pub fn search_there(
        &self,
        queries: &[&DeviceVector],
        k: usize,
        allowed: Option<&[u8]>,
    ) -> Result<Vec<Vec<Found>>> {
        let _queued = self.device.queue();
        self.nearest_there(queries, k, allowed)
    }

    /// The same for who is in the device's queue already.
    pub(crate) fn nearest_there(
        &self,
        queries: &[&DeviceVector],
        k: usize,
        allowed: Option<&[u8]>,
    ) -> Result<Vec<Vec<Found>>> {
        check(&[], self.dim, k)?;
        self.device.health()?;
        if self.len == 0 || k == 0 {
            return Ok(vec![Vec::new(); queries.len()]);
        }
        let mut session = self.session.lock();
        let allowed = upload_filter(&mut session, allowed, self.len)?;
        in_parts(&self.device, queries, 1, QUERIES, |queries| {
            let shape = self.shape(queries.len(), k)?;
            let kept = match (self.element, shape.tiled) {
                (Element::F16, true) => Kept::Half,
                (Element::F16, false) => Kept::Rounded,
                _ => Kept::AsTheyAre,
            };
            let size = (self.dim, self.element.padded(self.dim));
            let taken = taken(&mut session, queries, size, kept)?;
            let on_device = (&*taken.rows, &*taken.norms, queries.len());
            let scanned = self.scan(&mut session, &shape, on_device, k, allowed.as_deref());
            // A query that is no query is why a score is none.
            taken.check(&mut session)?;
            scanned
        })
    }

    /// As [`ExactSearch::search`], for who is in the device's queue already.
    pub(crate) fn nearest(
        &self,
        queries: &[f32],
        k: usize,
        allowed: Option<&[u8]>,
    ) -> Result<Vec<Vec<Found>>> {
        let count = check(queries, self.dim, k)?;
        self.device.health()?;
        if self.len == 0 || k == 0 {
            return Ok(vec![Vec::new(); count]);
        }
        let queries = rounded(queries, self.element)?;
        let mut session = self.session.lock();
        let allowed = upload_filter(&mut session, allowed, self.len)?;
        in_parts(&self.device, &queries, self.dim, QUERIES, |queries| {
            self.run(&mut session, queries, k, allowed.as_deref())
        })
    }

    /// Searches for queries with their squared lengths, which lie there as the kernel reads them.
    fn scan(
        &self,
        session: &mut Session,
        shape: &Shape,
        (on_device, query_norms, count): (&DeviceMemory, &DeviceMemory, usize),
        k: usize,
        allowed: Option<&DeviceMemory>,
    ) -> Result<Vec<Vec<Found>>> {
        let groups = count.div_ceil(shape.at_once);
        let tiles = self.len.div_ceil(shape.tile);
        let shares = (self.device.processors() * shape.blocks).div_ceil(groups);
        let shares = shares.min(tiles).min(65_535);
        let lists = Lists::new(session, count, shape.at_once, k, shape.tile, shares)?;
        let chunks = self.element.padded(self.dim) * self.element.bytes() / 16;
        let scan = |session: &mut Session, first: usize, end: usize, floors: Arg| {
            let mut args = vec![self.data.arg(), self.extra.arg(), on_device.arg()];
            args.extend(shape.tiled.then(|| query_norms.arg()));
            args.extend([
                Arg::U32(first as u32),
                Arg::U32(end as u32),
                Arg::U32(chunks as u32),
                Arg::U32(count as u32),
                Arg::U32(k as u32),
                Arg::U32(lists.capacity as u32),
                allowed.map_or(Arg::U64(0), DeviceMemory::arg),
                floors,
                lists.buffers(),
            ]);
            args.extend(shape.tiled.then_some(Arg::U32(shape.resident as u32)));
            let bytes = shape.shared + shared(shape.at_once, lists.capacity);
            session.launch(&shape.kernel, [groups, lists.shares], 256, bytes, &args)
        };
        let sampled = self.len >= SAMPLE_FROM;
        let mut first = 0;
        if sampled {
            first = self.len / SAMPLE;
            scan(session, 0, first, Arg::U64(0))?;
            lists.note(session)?;
        }
        let floors = if sampled { lists.floors() } else { Arg::U64(0) };
        scan(session, first, self.len, floors)?;
        lists.found(session, sampled)
    }
}

impl ExactSearch for ExactOnDevice {
    fn dim(&self) -> usize {
        self.dim
    }

    fn len(&self) -> usize {
        self.len
    }

    fn search(&self, queries: &[f32], k: usize, allowed: Option<&[u8]>) -> Result<Vec<Vec<Found>>> {
        let _queued = self.device.queue();
        self.nearest(queries, k, allowed)
    }
}

/// Searches for queries of `size` items each, at most so many `at_once`, and fewer where there is no
/// memory for so many.
pub(crate) fn in_parts<T>(
    device: &Device,
    mut queries: &[T],
    size: usize,
    mut at_once: usize,
    mut search: impl FnMut(&[T]) -> Result<Vec<Vec<Found>>>,
) -> Result<Vec<Vec<Found>>> {
    let mut found = Vec::with_capacity(queries.len() / size);
    while queries.len() >= size {
        let count = (queries.len() / size).min(at_once);
        let (part, rest) = queries.split_at(count * size);
        match search(part) {
            Ok(lists) => {
                found.extend(lists);
                queries = rest;
            }
            // A device that is lost has no memory for a single one either.
            Err(why)
                if why.code() == ErrorCode::Unavailable && count > 1 && device.health().is_ok() =>
            {
                at_once = count / 2;
            }
            Err(why) => return Err(why),
        }
    }
    Ok(found)
}

/// A filter of `len` bits on the device.
pub(crate) fn upload_filter(
    session: &mut Session,
    allowed: Option<&[u8]>,
    len: usize,
) -> Result<Option<Arc<DeviceMemory>>> {
    let Some(bits) = allowed else {
        return Ok(None);
    };
    let bytes = len.div_ceil(8);
    let mut bits = bits.get(..bytes).unwrap_or(bits).to_vec();
    bits.resize(bytes, 0);
    let memory = session.scratch("filter", bytes)?;
    session.upload(&memory, 0, &bits)?;
    Ok(Some(memory))
}
