//! An index that is searched: RoutIR's folder of `index.faiss` and `index.ids`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashSet;
use routir_core::{DocId, Error, ErrorCode, Hit, Ranking, Result};

use super::ids::LineIds;
use super::nearest::{Nearest, Queries, There, elsewhere};
use super::raw::{RawIndex, Tuning};
use super::subsets::Subsets;
use super::{Faiss, Metric};

/// Queries that go to FAISS in one call; between calls a search can be cancelled.
const AT_ONCE: usize = 64;
/// How many times as many vectors as documents are wanted are looked at most where several vectors
/// have one id, or where FAISS cannot filter.
const DEEPEST: usize = 256;
/// Scores and positions of one call of FAISS at most, of 12 bytes each.
const MOST_PLACES: usize = 1 << 26;
/// The files of an index.
const INDEX_FILE: &str = "index.faiss";
const IDS_FILE: &str = "index.ids";
/// The position of what is not there: the index had no more.
const NONE: i64 = -1;

/// The subset that a document belongs to, by its id.
pub type SubsetOf<'a> = dyn Fn(&str) -> Option<Arc<str>> + 'a;

/// How an index is opened.
#[derive(Clone, Copy, Default)]
pub struct OpenOptions<'a> {
    /// Whether vectors stay in the file, where its format allows, and are read when they are needed.
    pub mmap: bool,
    /// The subset of a document, by its id; `None` is no subsets.
    pub subsets: Option<&'a SubsetOf<'a>>,
    /// On how many threads the queries of one batch are searched; 0 counts as 1.
    pub threads: usize,
}

/// How to search. What is `None` is as the index was written.
#[derive(Clone, Copy, Debug, Default)]
pub struct SearchOptions<'a> {
    /// Of an inverted file: how many lists are read.
    pub nprobe: Option<usize>,
    /// Of a graph: how many candidates are kept on the way; never less than the limit.
    pub ef_search: Option<usize>,
    /// Of a refined index: how many times as many as are wanted are scored exactly.
    pub k_factor: Option<f32>,
    /// Only documents of this subset.
    pub subset: Option<&'a str>,
}

/// What finds vectors.
enum Source {
    Faiss(RawIndex),
    Other(Box<dyn Nearest>),
}

/// Vectors with the ids of the documents that they stand for.
pub struct DenseIndex {
    source: Source,
    ids: LineIds,
    subsets: Option<Subsets>,
    dim: usize,
    metric: Metric,
    description: String,
    filters: bool,
    threads: usize,
}

impl DenseIndex {
    /// Opens `index.faiss` and `index.ids` in `dir`.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] when a file is missing, when there are more or fewer ids than
    /// vectors, or a metric that is neither inner product nor L2; [`ErrorCode::EngineFailure`] when
    /// FAISS cannot read the index.
    pub fn open(faiss: &Arc<Faiss>, dir: &Path, options: OpenOptions<'_>) -> Result<Self> {
        let index_path = present(dir)?;
        let raw = RawIndex::read(faiss, &index_path, options.mmap)?;
        let facts = raw.facts()?;
        let metric = facts.metric(&index_path)?;
        let description = raw.describe()?;
        // FAISS takes no filter for other kinds.
        let filters = !description.starts_with("IDMap")
            && (facts.lists > 0
                || ["Flat", "HNSW", "SQ"]
                    .iter()
                    .any(|kind| description.contains(kind)));
        let (ids, subsets) = documents(dir, facts.vectors, &options)?;
        Ok(Self {
            dim: usize::try_from(facts.dimensions).unwrap_or_default(),
            source: Source::Faiss(raw),
            ids,
            subsets,
            metric,
            description,
            filters,
            threads: options.threads.max(1),
        })
    }

    /// Opens `index.ids` in `dir`; `nearest` makes of `index.faiss` what finds its vectors.
    ///
    /// # Errors
    /// As [`DenseIndex::open`], and those of `nearest`.
    pub fn open_with(
        dir: &Path,
        options: OpenOptions<'_>,
        nearest: impl FnOnce(&Path) -> Result<Box<dyn Nearest>>,
    ) -> Result<Self> {
        let nearest = nearest(&present(dir)?)?;
        let vectors = i64::try_from(nearest.vectors()).unwrap_or(i64::MAX);
        let (ids, subsets) = documents(dir, vectors, &options)?;
        Ok(Self {
            dim: nearest.dim(),
            ids,
            subsets,
            metric: nearest.metric(),
            description: nearest.description().to_owned(),
            filters: true,
            threads: 1,
            source: Source::Other(nearest),
        })
    }

    /// Numbers of a vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many vectors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.len() == 0
    }

    /// How vectors are compared.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// What kind of index it is: `Flat`, `HNSW32`, `PreTransform,IVF256,fast-scan,Refine`.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Whether there are subsets to name in [`SearchOptions::subset`].
    #[must_use]
    pub fn has_subsets(&self) -> bool {
        self.subsets.is_some()
    }

    /// The `limit` nearest documents of each query; `queries` holds one vector after another. A
    /// document with several vectors counts with its best. Scores are inner products, or squared
    /// Euclidean distances with a minus sign, so that more is better.
    ///
    /// Equal scores are ordered by id, but which of several equal ones make the cut is FAISS's choice.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] for vectors of another size or with numbers that are not
    /// finite, and for a subset that does not exist; [`ErrorCode::EngineFailure`] when FAISS fails;
    /// [`ErrorCode::Cancelled`] once `cancelled` is set.
    pub fn search(
        &self,
        queries: &[f32],
        limit: usize,
        options: &SearchOptions<'_>,
        cancelled: &AtomicBool,
    ) -> Result<Vec<Ranking>> {
        if !queries.len().is_multiple_of(self.dim.max(1)) {
            return Err(Error::invalid(format!(
                "the index has vectors of {} dimensions; {} numbers are no query",
                self.dim,
                queries.len()
            )));
        }
        if queries.iter().any(|number| !number.is_finite()) {
            return Err(Error::invalid(
                "a query's vector holds a number that is not finite",
            ));
        }
        self.search_for(
            Queries::Numbers(queries, self.dim),
            limit,
            options,
            cancelled,
        )
    }

    /// As [`DenseIndex::search`], for queries that lie where the vectors do.
    ///
    /// # Errors
    /// As [`DenseIndex::search`]; also when these vectors cannot be searched so.
    pub fn search_there(
        &self,
        queries: &[There<'_>],
        limit: usize,
        options: &SearchOptions<'_>,
        cancelled: &AtomicBool,
    ) -> Result<Vec<Ranking>> {
        self.search_for(Queries::There(queries), limit, options, cancelled)
    }

    fn search_for(
        &self,
        queries: Queries<'_>,
        limit: usize,
        options: &SearchOptions<'_>,
        cancelled: &AtomicBool,
    ) -> Result<Vec<Ranking>> {
        let filter = options.subset.map(|name| self.filter(name)).transpose()?;
        let wanted = Wanted {
            limit: limit.min(self.len()),
            options,
            filter: filter.as_deref(),
            cancelled,
        };
        let depth = wanted.limit.max(1);
        let at_once = match &self.source {
            Source::Faiss(_) => AT_ONCE,
            Source::Other(nearest) => nearest.at_once(),
        };
        let at_once = (MOST_PLACES / depth).clamp(1, at_once.max(1));
        let count = queries.count();
        let mut rankings = Vec::with_capacity(count);
        for first in (0..count).step_by(at_once) {
            let some = queries.part(first, at_once);
            if wanted.limit == 0 {
                rankings.extend((0..some.count()).map(|_| Ranking::default()));
            } else {
                self.some(some, &wanted, &mut rankings)?;
            }
        }
        Ok(rankings)
    }

    /// Searches for a few queries in one call, and deeper for those that need it.
    fn some(
        &self,
        queries: Queries<'_>,
        wanted: &Wanted<'_>,
        rankings: &mut Vec<Ranking>,
    ) -> Result<()> {
        let depth = wanted.limit;
        let (scores, positions) = self.call(queries, depth, wanted)?;
        let each = scores.chunks(depth).zip(positions.chunks(depth));
        for (query, (scores, positions)) in (0..queries.count()).zip(each) {
            let mut hits = self.hits(scores, positions, wanted)?;
            let mut more = !positions.contains(&NONE);
            let mut depth = depth;
            while hits.len() < wanted.limit && more && depth < self.deepest(wanted.limit) {
                depth = depth.saturating_mul(4).min(self.deepest(wanted.limit));
                let (scores, positions) = self.call(queries.part(query, 1), depth, wanted)?;
                hits = self.hits(&scores, &positions, wanted)?;
                more = !positions.contains(&NONE);
            }
            rankings.push(Ranking::top(hits, wanted.limit)?);
        }
        Ok(())
    }

    fn deepest(&self, limit: usize) -> usize {
        limit
            .saturating_mul(DEEPEST)
            .min(self.len())
            .min(match &self.source {
                Source::Faiss(_) => MOST_PLACES,
                Source::Other(nearest) => nearest.most(),
            })
    }

    fn call(
        &self,
        queries: Queries<'_>,
        depth: usize,
        wanted: &Wanted<'_>,
    ) -> Result<(Vec<f32>, Vec<i64>)> {
        if wanted.cancelled.load(Ordering::Relaxed) {
            return Err(Error::new(
                ErrorCode::Cancelled,
                "nobody waits for the search any more",
            ));
        }
        let options = wanted.options;
        let (raw, numbers) = match (&self.source, queries) {
            (Source::Faiss(raw), Queries::Numbers(numbers, _)) => (raw, numbers),
            (Source::Faiss(_), Queries::There(_)) => return Err(elsewhere()),
            (Source::Other(nearest), Queries::Numbers(numbers, _)) => {
                return nearest.search(numbers, depth, options.nprobe, wanted.filter);
            }
            (Source::Other(nearest), Queries::There(queries)) => {
                return nearest.search_there(queries, depth, options.nprobe, wanted.filter);
            }
        };
        let tuning = Tuning {
            nprobe: options.nprobe.unwrap_or_default(),
            ef_search: options.ef_search.unwrap_or_default(),
            k_factor: options.k_factor.unwrap_or_default(),
            allowed: wanted.filter.filter(|_| self.filters),
        };
        let count = queries.count();
        raw.search(numbers, self.dim, depth, tuning, self.threads.min(count))
    }

    /// The documents of one query's answer, each once with its best score.
    fn hits(&self, scores: &[f32], positions: &[i64], wanted: &Wanted<'_>) -> Result<Vec<Hit>> {
        let mut hits = Vec::with_capacity(scores.len());
        let mut seen = HashSet::with_capacity(scores.len());
        for (score, position) in scores.iter().zip(positions) {
            let Ok(position) = usize::try_from(*position) else {
                continue;
            };
            if !wanted.allows(position) {
                continue;
            }
            let id = self.ids.get(position)?;
            if seen.insert(id) {
                let score = match self.metric {
                    Metric::InnerProduct => f64::from(*score),
                    Metric::L2 => -f64::from(*score),
                };
                hits.push(Hit::new(DocId::from(id), score));
            }
        }
        Ok(hits)
    }

    fn filter(&self, name: &str) -> Result<Arc<[u8]>> {
        let subsets = self.subsets.as_ref().ok_or_else(|| {
            Error::invalid("this index has no subsets; `id_to_subset_mapping` says which there are")
        })?;
        subsets.filter(name)
    }
}

/// The index's file in `dir`, if both files are there.
fn present(dir: &Path) -> Result<PathBuf> {
    for name in [INDEX_FILE, IDS_FILE] {
        let path = dir.join(name);
        if !path.is_file() {
            return Err(Error::invalid(format!(
                "there is no file `{}`; a dense index is a folder with `{INDEX_FILE}` and \
                 `{IDS_FILE}`, as `routir-rt index faiss` writes it",
                path.display()
            )));
        }
    }
    Ok(dir.join(INDEX_FILE))
}

/// The documents that `vectors` stand for.
fn documents(
    dir: &Path,
    vectors: i64,
    options: &OpenOptions<'_>,
) -> Result<(LineIds, Option<Subsets>)> {
    let path = dir.join(IDS_FILE);
    let ids = LineIds::open(&path)?;
    if usize::try_from(vectors).ok() != Some(ids.len()) {
        return Err(Error::invalid(format!(
            "`{}` has {} ids, but the index has {vectors} vectors; the two files do not belong \
             together",
            path.display(),
            ids.len(),
        )));
    }
    let subsets = options
        .subsets
        .map(|of| Subsets::new(ids.iter(), of))
        .transpose()?;
    Ok((ids, subsets))
}

/// What one search is for.
struct Wanted<'a> {
    limit: usize,
    options: &'a SearchOptions<'a>,
    filter: Option<&'a [u8]>,
    cancelled: &'a AtomicBool,
}

impl Wanted<'_> {
    fn allows(&self, position: usize) -> bool {
        self.filter.is_none_or(|filter| {
            let byte = filter.get(position / 8).copied().unwrap_or_default();
            byte & (1 << (position % 8)) != 0
        })
    }
}
