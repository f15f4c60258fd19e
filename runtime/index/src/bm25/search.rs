//! An index that is open: the `k` best documents for a text.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use routir_core::{DocumentScan, Error, ErrorCode, Hit, Ranking, Result};
use tantivy::columnar::ColumnValues;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Index, InvertedIndexReader, SegmentReader, Term};

use super::analyzer::EnglishAnalyzer;
use super::build::{BuildOptions, BuildProgress, ORDINAL, build, text_field};
use super::cursor::{Scoring, TermCursor};
use super::directory::{Layout, Stamp};
use super::impact::{Bm25Params, Impacts, ONE};
use super::maxscore::top_k;
use crate::error::damaged;
use crate::ids::Ids;

/// The most different terms that a query may have.
pub const MAX_QUERY_TERMS: usize = 1024;
/// The most words that a query may have, stop words aside.
pub const MAX_QUERY_TOKENS: usize = 65_536;
/// The most documents that one search may ask for, where the corpus has that many.
pub const MAX_LIMIT: usize = 1_000_000;

/// A BM25 index of a corpus, open for searching from any number of threads.
pub struct Bm25Index {
    dir: PathBuf,
    analyzer: EnglishAnalyzer,
    ids: Ids,
    documents: u64,
    /// `None` for a corpus without documents.
    segment: Option<Segment>,
}

struct Segment {
    text: Field,
    terms: Arc<InvertedIndexReader>,
    norms: FieldNormReader,
    ordinals: Arc<dyn ColumnValues<u64>>,
    impacts: Impacts,
}

impl std::fmt::Debug for Bm25Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bm25Index")
            .field("dir", &self.dir)
            .field("documents", &self.documents)
            .finish_non_exhaustive()
    }
}

impl Bm25Index {
    /// Opens the index in `dir` if it is one of `source` as it is now; builds it there otherwise,
    /// aside, so that it is complete or absent. Several processes may do this at once: one builds,
    /// the others wait for it.
    ///
    /// The index depends on the corpus only; `params` hold for this handle.
    ///
    /// # Errors
    /// When the corpus cannot be read, the directory cannot be written, or an index that fits is
    /// damaged.
    pub fn open_or_build(
        dir: &Path,
        source: &dyn DocumentScan,
        params: Bm25Params,
        options: BuildOptions,
        progress: &mut dyn FnMut(BuildProgress),
    ) -> Result<Self> {
        let layout = Layout::new(dir);
        let corpus = source.stamp()?;
        {
            let _lock = layout.lock_shared()?;
            if let Some(stamp) = layout.stamp()?.filter(|stamp| stamp.fits(&corpus)) {
                return Self::open_stamped(&layout, &stamp, params);
            }
        }
        let _lock = layout.lock_exclusive()?;
        // Another process may have built it while this one waited.
        let stamp = match layout.stamp()?.filter(|stamp| stamp.fits(&corpus)) {
            Some(stamp) => stamp,
            None => build(&layout, source, options, progress)?,
        };
        Self::open_stamped(&layout, &stamp, params)
    }

    /// Opens the index in `dir`, whatever corpus it is of.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn open(dir: &Path, params: Bm25Params) -> Result<Self> {
        let layout = Layout::new(dir);
        let _lock = layout.lock_shared()?;
        match layout.stamp()? {
            Some(stamp) if stamp.readable() => Self::open_stamped(&layout, &stamp, params),
            Some(_) => Err(Error::engine(format!(
                "the bm25 index in `{}` was made by another version; delete that directory to rebuild it",
                dir.display()
            ))),
            None => Err(Error::engine(format!(
                "there is no complete bm25 index in `{}`",
                dir.display()
            ))),
        }
    }

    fn open_stamped(layout: &Layout, stamp: &Stamp, params: Bm25Params) -> Result<Self> {
        let dir = layout.index();
        stamp.check_files(&dir)?;
        let ids = Ids::open(&dir)?;
        let root = layout.root();
        let open = || Segment::open(&Layout::postings(&dir), params, stamp.longest);
        let segment = catch_unwind(AssertUnwindSafe(open))
            .map_err(|_| damaged(root, "it cannot be read"))?
            .map_err(|e| damaged(root, e))?;
        let counts = [
            ids.len() as u64,
            segment
                .as_ref()
                .map_or(0, |s| u64::from(s.norms.num_docs())),
        ];
        if counts.iter().any(|count| *count != stamp.documents) {
            return Err(damaged(
                root,
                "its files disagree on the number of documents",
            ));
        }
        Ok(Self {
            dir: root.to_owned(),
            analyzer: EnglishAnalyzer::default(),
            ids,
            documents: stamp.documents,
            segment,
        })
    }

    /// How many documents it holds.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.documents
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.documents == 0
    }

    /// The `limit` best of the documents that share a term with `query`, which is plain text: no
    /// character in it has a meaning. A repeated term counts as often as it is repeated.
    ///
    /// Exact: what a smaller limit answers is the beginning of what a larger one answers, to the
    /// last bit of the scores. Blocks the calling thread; setting `cancelled` ends it early.
    ///
    /// # Errors
    /// [`ErrorCode::TooLarge`] for a query over [`MAX_QUERY_TERMS`] or [`MAX_QUERY_TOKENS`] or a
    /// limit over [`MAX_LIMIT`]; [`ErrorCode::Cancelled`]; [`ErrorCode::EngineFailure`] when the
    /// files are damaged.
    pub fn search(&self, query: &str, limit: usize, cancelled: &AtomicBool) -> Result<Ranking> {
        let limit = limit.min(usize::try_from(self.documents).unwrap_or(usize::MAX));
        if limit > MAX_LIMIT {
            let why = format!(
                "a bm25 search answers at most {MAX_LIMIT} documents; ask for fewer than {limit}"
            );
            return Err(Error::new(ErrorCode::TooLarge, why));
        }
        let terms = self.query_terms(query)?;
        let Some(segment) = self.segment.as_ref().filter(|_| limit > 0) else {
            return Ok(Ranking::default());
        };
        // tantivy trusts its files; a damaged one shows as a panic inside.
        catch_unwind(AssertUnwindSafe(|| {
            self.search_segment(segment, &terms, limit, cancelled)
        }))
        .unwrap_or_else(|_| Err(damaged(&self.dir, "reading it failed")))
    }

    fn query_terms(&self, query: &str) -> Result<HashMap<String, u32>> {
        let mut counts: HashMap<String, u32> = HashMap::new();
        let mut tokens = 0;
        self.analyzer.each(query, |term| {
            tokens += 1;
            match counts.get_mut(term) {
                Some(count) => *count += 1,
                None => drop(counts.insert(term.to_owned(), 1)),
            }
            tokens <= MAX_QUERY_TOKENS && counts.len() <= MAX_QUERY_TERMS
        });
        if tokens > MAX_QUERY_TOKENS || counts.len() > MAX_QUERY_TERMS {
            let why = format!(
                "the query is too long for bm25: at most {MAX_QUERY_TERMS} different terms and {MAX_QUERY_TOKENS} words; shorten it"
            );
            return Err(Error::new(ErrorCode::TooLarge, why));
        }
        Ok(counts)
    }

    fn search_segment(
        &self,
        segment: &Segment,
        terms: &HashMap<String, u32>,
        limit: usize,
        cancelled: &AtomicBool,
    ) -> Result<Ranking> {
        let mut cursors = Vec::with_capacity(terms.len());
        for (term, times) in terms {
            let cursor = segment
                .cursor(term, *times, self.documents)
                .map_err(|e| damaged(&self.dir, e))?;
            cursors.extend(cursor);
        }
        let id = |doc| self.ids.bytes(segment.ordinals.get_val(doc));
        let scoring = Scoring {
            impacts: &segment.impacts,
            norms: &segment.norms,
        };
        let best = top_k(
            cursors,
            &scoring,
            limit,
            &|a, b| id(a).cmp(id(b)),
            cancelled,
        )
        .ok_or_else(|| Error::new(ErrorCode::Cancelled, "the search was cancelled"))?;
        let hit = |(score, doc)| -> Result<Hit> {
            let id = self
                .ids
                .text(segment.ordinals.get_val(doc))
                .map_err(|e| damaged(&self.dir, e))?;
            Ok(Hit::new(id, score as f64 / ONE))
        };
        Ranking::from_hits(best.into_iter().map(hit).collect::<Result<_>>()?)
    }
}

impl Segment {
    fn open(dir: &Path, params: Bm25Params, longest: u32) -> tantivy::Result<Option<Self>> {
        let index = Index::open_in_dir(dir)?;
        let Some(segment) = index.searchable_segments()?.into_iter().next() else {
            return Ok(None);
        };
        let reader = SegmentReader::open(&segment)?;
        let text = text_field(&index)?;
        let terms = reader.inverted_index(text)?;
        let norms = reader.get_fieldnorms_reader(text)?;
        let ordinals = reader
            .fast_fields()
            .u64(ORDINAL)?
            .first_or_default_col(u64::MAX);
        let documents = u64::from(reader.max_doc());
        let impacts = Impacts::new(params, terms.total_num_tokens(), documents, longest);
        Ok(Some(Self {
            text,
            terms,
            norms,
            ordinals,
            impacts,
        }))
    }

    fn cursor(
        &self,
        term: &str,
        times: u32,
        documents: u64,
    ) -> tantivy::Result<Option<TermCursor>> {
        let term = Term::from_field_text(self.text, term);
        let Some(info) = self.terms.get_term_info(&term)? else {
            return Ok(None);
        };
        let postings = self
            .terms
            .read_block_postings_from_terminfo(&info, IndexRecordOption::WithFreqs)?;
        let weight = self
            .impacts
            .weight(u64::from(info.doc_freq), documents, times);
        Ok(Some(TermCursor::new(postings, weight)))
    }
}
