//! What a view is made of, and an open view.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use routir_core::{DocId, Document, DocumentScan, Error, ErrorCode, Result, ViewKind};

use crate::bytes_view::BytesSource;
use crate::files::{FilesParts, FilesView};
use crate::labels::IdLabels;
use crate::options::OpenOptions;
use crate::record::Projection;
use crate::scan::ViewScan;
use crate::segments::{Segments, SegmentsParts};
use crate::tar::{TarParts, TarView};

/// A view of a collection.
#[derive(Clone, Debug, PartialEq)]
pub enum ViewParts {
    /// Text from JSON lines.
    Text(TextView),
    /// Text from the segmented MS MARCO v2.1 collection.
    Segments(SegmentsView),
    /// Bytes.
    Bytes(BytesView),
}

/// A text view over a file with one JSON object per line, plain or compressed with gzip or zstd.
#[derive(Clone, Debug, PartialEq)]
pub struct TextView {
    /// Its name.
    pub name: String,
    /// The corpus file.
    pub doc_path: PathBuf,
    /// The key of a document's id.
    pub id_field: String,
    /// The keys whose values make the text.
    pub content_fields: Vec<String>,
    /// What stands between the values of several keys.
    pub sep: String,
    /// The directory for the index files; `None` leaves it to [`OpenOptions::cache_dir`].
    pub cache_dir: Option<PathBuf>,
    /// The path after which the index files are named, before all other rules: RoutIR's legacy
    /// `cache_path`. Ours append an extension, as RoutIR's own file may lie there.
    pub sidecar_path: Option<PathBuf>,
}

/// A text view over the shards of the segmented MS MARCO v2.1 collection, whose ids say where their
/// documents lie.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentsView {
    /// Its name.
    pub name: String,
    /// The key of a document's id.
    pub id_field: String,
    /// The keys whose values make the text.
    pub content_fields: Vec<String>,
    /// What stands between the values of several keys.
    pub sep: String,
    pub(crate) parts: SegmentsParts,
}

/// A view of bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct BytesView {
    /// Its name.
    pub name: String,
    pub(crate) source: BytesParts,
}

/// Where bytes are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum BytesParts {
    Files(FilesParts),
    Tar(TarParts),
}

impl ViewParts {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Text(view) => &view.name,
            Self::Segments(view) => &view.name,
            Self::Bytes(view) => &view.name,
        }
    }

    /// What it shows.
    #[must_use]
    pub fn kind(&self) -> ViewKind {
        match self {
            Self::Text(_) | Self::Segments(_) => ViewKind::Text,
            Self::Bytes(_) => ViewKind::Bytes,
        }
    }

    /// The corpus file, of a view over one.
    #[must_use]
    pub fn doc_path(&self) -> Option<&PathBuf> {
        match self {
            Self::Text(view) => Some(&view.doc_path),
            Self::Segments(_) | Self::Bytes(_) => None,
        }
    }
}

impl From<TextView> for ViewParts {
    fn from(view: TextView) -> Self {
        Self::Text(view)
    }
}

/// An open view.
pub(crate) struct View {
    pub(crate) name: Arc<str>,
    pub(crate) source: Source,
}

/// Where an open view reads its documents.
pub(crate) enum Source {
    Text {
        scan: ViewScan,
        loaded: Option<HashMap<DocId, Arc<Document>>>,
    },
    Segments {
        segments: Segments,
        languages: Option<Arc<IdLabels>>,
        content_fields: Vec<String>,
    },
    Bytes {
        bytes: Box<dyn BytesSource>,
        languages: Option<Arc<IdLabels>>,
    },
}

impl View {
    /// What it shows.
    pub(crate) fn kind(&self) -> ViewKind {
        match self.source {
            Source::Text { .. } | Source::Segments { .. } => ViewKind::Text,
            Source::Bytes { .. } => ViewKind::Bytes,
        }
    }

    /// The view from end to end.
    ///
    /// # Errors
    /// [`ErrorCode::Unsupported`] when only single documents can be read.
    pub(crate) fn scan(&self) -> Result<Arc<dyn DocumentScan>> {
        let what = match &self.source {
            Source::Text { scan, .. } => return Ok(Arc::new(scan.clone())),
            Source::Segments { .. } => "finds documents by the offsets in their ids",
            Source::Bytes { .. } => "shows bytes",
        };
        Err(Error::new(
            ErrorCode::Unsupported,
            format!(
                "view `{}` {what}, so it cannot be read from end to end; index a view of source \
                 `text_jsonl` with `offsetfile`",
                self.name
            ),
        ))
    }
}

impl Source {
    /// Opens the source of a view that is not over one file of JSON lines.
    ///
    /// # Errors
    /// When a file cannot be read, or an index cannot be written.
    pub(crate) fn open_segments(
        view: &SegmentsView,
        languages: Option<Arc<IdLabels>>,
        options: &OpenOptions<'_>,
    ) -> Result<Self> {
        let projection = Projection::new(&view.id_field, &view.content_fields, &view.sep);
        Ok(Self::Segments {
            segments: Segments::open(view.parts.clone(), projection, options)?,
            languages,
            content_fields: view.content_fields.clone(),
        })
    }

    /// Opens the source of a view of bytes.
    ///
    /// # Errors
    /// As [`Source::open_segments`].
    pub(crate) fn open_bytes(
        view: &BytesView,
        languages: Option<Arc<IdLabels>>,
        options: &OpenOptions<'_>,
    ) -> Result<Self> {
        let bytes: Box<dyn BytesSource> = match &view.source {
            BytesParts::Files(parts) => Box::new(FilesView::open(parts.clone())?),
            BytesParts::Tar(parts) => Box::new(TarView::open(parts.clone(), options)?),
        };
        Ok(Self::Bytes { bytes, languages })
    }
}
