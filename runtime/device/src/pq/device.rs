//! Codes searched on a device. See `kernels/pq.cu`.

use std::sync::Arc;

use parking_lot::Mutex;
use routir_core::{Error, Result};

use super::plan::{Plan, centres, plan, tables_of_query};
use super::{PqSearch, PqVectors};
use crate::exact::{Lists, capacity, check, in_parts, upload_filter};
use crate::texts::{Kept, taken};
use crate::{
    Arg, Device, DeviceMemory, DeviceVector, Element, ExactOnDevice, Found, Metric, PqList, Session,
};

/// Vectors whose codes lie together.
const GROUP: usize = 32;
/// Vectors between two looks at a buffer.
const TILE: usize = 256;
/// Bytes of tables that are made at once; those of one query at least.
const TABLES: usize = 64 << 20;
/// Queries that go to the device at once.
const QUERIES: usize = 256;

/// Codes on a device.
pub struct PqOnDevice {
    device: Arc<Device>,
    /// Without codes: those are on the device.
    vectors: PqVectors,
    centres: Option<ExactOnDevice>,
    codebooks: DeviceMemory,
    codes: DeviceMemory,
    ids: DeviceMemory,
    /// Where each list begins and ends, on the device.
    ranges: Vec<(u32, u32)>,
    session: Mutex<Session>,
}

impl PqOnDevice {
    /// Copies `vectors` to the device.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::Unavailable`] when they do not fit the budget or the device fails.
    pub fn new(device: &Arc<Device>, what: &str, mut vectors: PqVectors) -> Result<Self> {
        let words = words(&vectors);
        let padded: usize = vectors
            .lists
            .iter()
            .map(|it| it.ids.len().next_multiple_of(GROUP))
            .sum();
        if padded > (u32::MAX as usize) - TILE {
            return Err(Error::invalid(format!(
                "{what}: too many vectors for one device"
            )));
        }
        let codes = device.memory(what, padded * words * 4)?;
        let ids = device.memory(what, padded * 4)?;
        let codebooks = device.memory(what, vectors.parts.codebooks.len() * 4)?;
        let centres = centres(&vectors)?
            .map(|rows| {
                let kind = (Element::F32, vectors.metric);
                let size = (rows.dim(), rows.len());
                ExactOnDevice::new(device, what, kind, size, [Ok(rows)])
            })
            .transpose()?;
        let mut session = device.session()?;
        session.upload(
            &codebooks,
            0,
            bytemuck::cast_slice(&vectors.parts.codebooks),
        )?;
        let mut ranges = Vec::with_capacity(vectors.lists.len());
        let mut at = 0;
        let (parts, bits) = (vectors.parts.parts, vectors.parts.bits);
        for list in &mut vectors.lists {
            let list = std::mem::take(list);
            let len = list.ids.len();
            session.upload(
                &codes,
                at * words * 4,
                bytemuck::cast_slice(&packed(&list, parts, bits, words)),
            )?;
            session.upload(&ids, at * 4, bytemuck::cast_slice(&list.ids))?;
            ranges.push((at as u32, (at + len) as u32));
            at += len.next_multiple_of(GROUP);
        }
        session.wait()?;
        Ok(Self {
            device: Arc::clone(device),
            vectors,
            centres,
            codebooks,
            codes,
            ids,
            ranges,
            session: Mutex::new(session),
        })
    }

    /// Bytes of a table.
    fn table_bytes(&self) -> usize {
        words(&self.vectors) * 32 / self.vectors.parts.bits * self.vectors.parts.codes() * 4
    }

    /// Makes the vectors of a plan's tables out of queries that lie on the device.
    fn vectors(
        &self,
        session: &mut Session,
        plan: &Plan,
        queries: &DeviceMemory,
    ) -> Result<Arc<DeviceMemory>> {
        let dim = self.vectors.parts.dim;
        let number = |at: Option<usize>| at.map_or(u32::MAX, |at| at as u32);
        let pairs = plan.tables.iter();
        let pairs: Vec<u32> = pairs
            .flat_map(|(query, centre)| [*query as u32, number(*centre)])
            .collect();
        let pairs_at = session.scratch("pairs", pairs.len() * 4)?;
        let vectors = session.scratch("vectors", plan.tables.len() * dim * 4)?;
        session.upload(&pairs_at, 0, bytemuck::cast_slice(&pairs))?;
        let (centres, stride) = match &self.centres {
            Some(centres) => centres.rows(),
            None => (Arg::U64(0), 0),
        };
        let args = [
            queries.arg(),
            centres,
            Arg::U32(stride as u32),
            pairs_at.arg(),
            Arg::U32(dim as u32),
            vectors.arg(),
        ];
        session.launch("table_vectors", [plan.tables.len(), 1], 256, 0, &args)?;
        Ok(vectors)
    }

    /// How many queries go to the device at once.
    fn at_once(&self, nprobe: usize) -> usize {
        let of_query = tables_of_query(&self.vectors, nprobe) * self.table_bytes();
        (TABLES / of_query.max(1)).clamp(1, QUERIES)
    }

    /// As [`PqSearch::search`], for queries that lie on the same device.
    ///
    /// # Errors
    /// As [`PqSearch::search`]; also when a query lies elsewhere.
    pub fn search_there(
        &self,
        queries: &[&DeviceVector],
        k: usize,
        nprobe: usize,
        allowed: Option<&[u8]>,
    ) -> Result<Vec<Vec<Found>>> {
        let dim = self.dim();
        check(&[], dim, k)?;
        self.device.health()?;
        if self.is_empty() || k == 0 {
            return Ok(vec![Vec::new(); queries.len()]);
        }
        let _queued = self.device.queue();
        let mut session = self.session.lock();
        let allowed = upload_filter(&mut session, allowed, self.len())?;
        in_parts(&self.device, queries, 1, self.at_once(nprobe), |queries| {
            let near = |wanted| {
                let near = self.centres.as_ref();
                near.map(|it| it.nearest_there(queries, wanted, None))
                    .transpose()
            };
            let plan = plan(&self.vectors, queries.len(), k, nprobe, near)?;
            let taken = taken(&mut session, queries, (dim, dim), Kept::AsTheyAre)?;
            let vectors = self.vectors(&mut session, &plan, &taken.rows)?;
            let scanned = self.run(&mut session, &plan, &vectors, k, allowed.as_deref());
            taken.check(&mut session)?;
            scanned
        })
    }

    fn run(
        &self,
        session: &mut Session,
        plan: &Plan,
        vectors: &DeviceMemory,
        k: usize,
        allowed: Option<&DeviceMemory>,
    ) -> Result<Vec<Vec<Found>>> {
        let parts = &self.vectors.parts;
        let (mut items, mut items_of) = (Vec::new(), vec![0_u32]);
        let mut tiles = 1;
        for probes in &plan.probes {
            let mut of_query = 0;
            for probe in probes {
                let (first, end) = self.ranges.get(probe.list).copied().unwrap_or_default();
                items.extend([probe.table as u32, probe.bias.to_bits(), first, end]);
                of_query += ((end - first) as usize).div_ceil(TILE);
            }
            tiles = tiles.max(of_query);
            items_of.push((items.len() / 4) as u32);
        }
        let count = plan.probes.len();
        let tables_count = plan.tables.len();
        let padded_parts = words(&self.vectors) * 32 / parts.bits;
        let tables = session.scratch("tables", tables_count * self.table_bytes())?;
        let items_at = session.scratch("items", items.len() * 4)?;
        let items_of_at = session.scratch("items of queries", items_of.len() * 4)?;
        session.upload(&items_at, 0, bytemuck::cast_slice(&items))?;
        session.upload(&items_of_at, 0, bytemuck::cast_slice(&items_of))?;
        let args = [
            vectors.arg(),
            self.codebooks.arg(),
            Arg::U32(parts.parts as u32),
            Arg::U32(parts.codes() as u32),
            Arg::U32(parts.width() as u32),
            Arg::U32(u32::from(self.vectors.metric == Metric::L2)),
            tables.arg(),
        ];
        session.launch("pq_tables", [tables_count, padded_parts], 256, 0, &args)?;

        let shares = (self.device.processors() * 2).div_ceil(count).min(tiles);
        let lists = Lists::new(session, count, 1, k, TILE, shares)?;
        let for_results = crate::exact::shared(1, capacity(k, TILE));
        // Where a table does not fit beside them, it is read where it was made.
        let fits = self.table_bytes() + for_results <= self.device.shared_memory();
        let args = [
            self.codes.arg(),
            self.ids.arg(),
            items_at.arg(),
            items_of_at.arg(),
            tables.arg(),
            Arg::U32(words(&self.vectors) as u32),
            Arg::U32(u32::from(fits)),
            Arg::U32(k as u32),
            Arg::U32(lists.capacity as u32),
            allowed.map_or(Arg::U64(0), DeviceMemory::arg),
            Arg::U64(0),
            lists.buffers(),
        ];
        let kernel = if parts.bits == 4 {
            "pq_scan_4"
        } else {
            "pq_scan_8"
        };
        let bytes = for_results + if fits { self.table_bytes() } else { 0 };
        session.launch(kernel, [count, lists.shares], 256, bytes, &args)?;
        // Tables and items live until all is done.
        lists.found(session, false)
    }
}

impl PqSearch for PqOnDevice {
    fn dim(&self) -> usize {
        self.vectors.parts.dim
    }

    fn len(&self) -> usize {
        self.vectors.len
    }

    fn search(
        &self,
        queries: &[f32],
        k: usize,
        nprobe: usize,
        allowed: Option<&[u8]>,
    ) -> Result<Vec<Vec<Found>>> {
        let dim = self.dim();
        let count = check(queries, dim, k)?;
        self.device.health()?;
        if self.is_empty() || k == 0 {
            return Ok(vec![Vec::new(); count]);
        }
        let _queued = self.device.queue();
        let mut session = self.session.lock();
        let allowed = upload_filter(&mut session, allowed, self.len())?;
        in_parts(
            &self.device,
            queries,
            dim,
            self.at_once(nprobe),
            |queries| {
                let near = |wanted| {
                    let near = self.centres.as_ref();
                    near.map(|it| it.nearest(queries, wanted, None)).transpose()
                };
                let plan = plan(&self.vectors, queries.len() / dim, k, nprobe, near)?;
                let values = plan.vectors(&self.vectors, queries);
                let vectors = session.scratch("vectors", values.len() * 4)?;
                session.upload(&vectors, 0, bytemuck::cast_slice(&values))?;
                self.run(&mut session, &plan, &vectors, k, allowed.as_deref())
            },
        )
    }
}

/// Words of 32 bits that a vector's codes take.
fn words(of: &PqVectors) -> usize {
    (of.parts.parts * of.parts.bits).div_ceil(32)
}

/// A list's codes as kernels read them: groups of 32 vectors, word by word.
fn packed(list: &PqList, parts: usize, bits: usize, words: usize) -> Vec<u32> {
    let mut packed = vec![0_u32; list.ids.len().next_multiple_of(GROUP) * words];
    let per_word = 32 / bits;
    for (at, codes) in list.codes.chunks_exact(parts).enumerate() {
        for (part, code) in codes.iter().enumerate() {
            let word = (at / GROUP * words + part / per_word) * GROUP + at % GROUP;
            if let Some(word) = packed.get_mut(word) {
                *word |= u32::from(*code) << (part % per_word * bits);
            }
        }
    }
    packed
}
