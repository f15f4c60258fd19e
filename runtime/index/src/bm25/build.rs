//! Builds an index from a corpus read end to end.

use std::ops::ControlFlow;
use std::path::Path;

use routir_core::{DocumentScan, Result, TextDocument};
use tantivy::indexer::NoMergePolicy;
use tantivy::schema::{
    FAST, Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::store::Compressor;
use tantivy::tokenizer::TokenizerManager;
use tantivy::{Index, IndexSettings, IndexWriter, SegmentReader, TantivyDocument};

use super::analyzer::EnglishAnalyzer;
use super::directory::{Layout, Stamp};
use crate::error::building;
use crate::ids::IdsWriter;

/// The fast field that says as which of the corpus's documents a document was read.
pub(crate) const ORDINAL: &str = "ordinal";
const TEXT: &str = "text";

/// tantivy's least memory per indexing thread, in bytes.
const THREAD_BYTES: usize = 16_000_000;
/// tantivy's most indexing threads.
const MAX_THREADS: usize = 8;
/// Progress is reported every so many documents.
const REPORT_EVERY: u64 = 1024;

/// What a build may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildOptions {
    /// Threads that analyse and index; 1 to 8 are used.
    pub threads: usize,
    /// Memory for postings that are not on disk yet, in bytes, over all threads; at least 16 MB
    /// for each.
    pub memory_bytes: usize,
}

impl Default for BuildOptions {
    /// Two threads, 128 MB.
    fn default() -> Self {
        Self {
            threads: 2,
            memory_bytes: 128_000_000,
        }
    }
}

/// What a build is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildPhase {
    /// Reads and analyses documents.
    Reading,
    /// Merges what was written into one; how far is not known until it is done.
    Merging,
}

/// How far a build is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildProgress {
    /// What it is doing.
    pub phase: BuildPhase,
    /// Documents done in this phase.
    pub done: u64,
    /// Documents in all, as the corpus says.
    pub total: u64,
}

pub(crate) fn text_field(index: &Index) -> tantivy::Result<Field> {
    index.schema().get_field(TEXT)
}

/// Builds the index of `source` aside and puts it in place. The caller holds the lock.
pub(crate) fn build(
    layout: &Layout,
    source: &dyn DocumentScan,
    options: BuildOptions,
    progress: &mut dyn FnMut(BuildProgress),
) -> Result<Stamp> {
    let corpus = source.stamp()?;
    let dir = layout.start()?;
    let mut builder = Builder::create(layout.root(), &dir, options)?;
    let total = source.len() as u64;
    let mut documents = 0;
    let mut failure = None;
    progress(BuildProgress {
        phase: BuildPhase::Reading,
        done: 0,
        total,
    });
    source.scan(&mut |document| match builder.add(documents, &document) {
        Ok(()) => {
            documents += 1;
            if documents % REPORT_EVERY == 0 {
                let total = total.max(documents);
                progress(BuildProgress {
                    phase: BuildPhase::Reading,
                    done: documents,
                    total,
                });
            }
            ControlFlow::Continue(())
        }
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    progress(BuildProgress {
        phase: BuildPhase::Merging,
        done: 0,
        total: documents,
    });
    let longest = builder.finish(layout.root(), &dir)?;
    if source.stamp()? != corpus {
        let why = "the corpus changed while it was read; start again when it is whole";
        return Err(building(layout.root(), "reading the corpus", why));
    }
    let stamp = layout.publish(corpus, documents, longest)?;
    progress(BuildProgress {
        phase: BuildPhase::Merging,
        done: documents,
        total: documents,
    });
    Ok(stamp)
}

struct Builder<'a> {
    root: &'a Path,
    index: Index,
    writer: IndexWriter,
    ids: IdsWriter,
    text: Field,
    ordinal: Field,
}

impl<'a> Builder<'a> {
    fn create(root: &'a Path, dir: &Path, options: BuildOptions) -> Result<Self> {
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default()
            .set_tokenizer(EnglishAnalyzer::NAME)
            .set_fieldnorms(true)
            .set_index_option(IndexRecordOption::WithFreqs);
        let text =
            schema.add_text_field(TEXT, TextOptions::default().set_indexing_options(indexing));
        let ordinal = schema.add_u64_field(ORDINAL, NumericOptions::from(FAST));
        // tantivy asks for its default tokenizer even where no text is.
        let tokenizers = TokenizerManager::default();
        tokenizers.register(
            EnglishAnalyzer::NAME,
            EnglishAnalyzer::default().tokenizer(),
        );
        let settings = IndexSettings {
            docstore_compression: Compressor::None,
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        let threads = options.threads.clamp(1, MAX_THREADS);
        let memory = options
            .memory_bytes
            .max(threads.saturating_mul(THREAD_BYTES));
        let index = Index::builder()
            .schema(schema.build())
            .settings(settings)
            .tokenizers(tokenizers)
            .create_in_dir(Layout::postings(dir))
            .map_err(|e| building(root, "creating it", e))?;
        let writer: IndexWriter = index
            .writer_with_num_threads(threads, memory)
            .map_err(|e| building(root, "starting its writer", e))?;
        // One merge at the end instead of several on the way.
        writer.set_merge_policy(Box::new(NoMergePolicy));
        let ids = IdsWriter::create(dir).map_err(|e| building(root, "creating its files", e))?;
        Ok(Self {
            root,
            index,
            writer,
            ids,
            text,
            ordinal,
        })
    }

    fn add(&mut self, number: u64, document: &TextDocument) -> Result<()> {
        self.ids
            .push(&document.id)
            .map_err(|e| building(self.root, "writing the document ids", e))?;
        let mut fields = TantivyDocument::default();
        fields.add_text(self.text, &document.text);
        fields.add_u64(self.ordinal, number);
        self.writer
            .add_document(fields)
            .map_err(|e| building(self.root, "indexing a document", e))?;
        Ok(())
    }

    /// Merges everything into one segment; answers the longest document's length in terms, as its
    /// norm has it.
    fn finish(self, root: &Path, dir: &Path) -> Result<u32> {
        let Self {
            index,
            mut writer,
            ids,
            text,
            ..
        } = self;
        ids.finish(dir)?;
        let merge = || -> tantivy::Result<u32> {
            writer.commit()?;
            let segments = index.searchable_segment_ids()?;
            if segments.len() > 1 {
                writer.merge(&segments).wait()?;
                writer.garbage_collect_files().wait()?;
            }
            writer.wait_merging_threads()?;
            let Some(segment) = index.searchable_segments()?.into_iter().next() else {
                return Ok(0);
            };
            let reader = SegmentReader::open(&segment)?;
            let norms = reader.get_fieldnorms_reader(text)?;
            let longest = (0..reader.max_doc())
                .map(|doc| norms.fieldnorm_id(doc))
                .max();
            Ok(longest.map_or(0, tantivy::fieldnorm::FieldNormReader::id_to_fieldnorm))
        };
        merge().map_err(|e| building(root, "merging it", e))
    }
}
