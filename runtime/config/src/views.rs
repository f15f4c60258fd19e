//! The views of a collection: what each shows of a document and where that is read from.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Remote;

/// One view of a collection: a kind of payload and where it is read from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViewSpec {
    /// What the payload is.
    #[serde(default)]
    pub kind: ViewKind,
    /// Where the payload is read from; its own key `source` says which kind of source it is.
    pub source: Source,
}

/// What a view's payload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ViewKind {
    /// Text.
    #[default]
    Text,
    /// Bytes, such as an image or a recording.
    Bytes,
}

impl ViewKind {
    /// Its name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bytes => "bytes",
        }
    }
}

/// Where a view is read from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "source")]
pub enum Source {
    /// Fields of a JSON object per line.
    #[serde(rename = "text_jsonl")]
    TextJsonl(TextJsonlSource),
    /// Files.
    #[serde(rename = "local_path")]
    LocalPath(LocalPathSource),
    /// Members of tar archives.
    #[serde(rename = "tar")]
    Tar(TarSource),
}

/// Text from a file with one JSON object per line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TextJsonlSource {
    /// The file; `.gz` and `.zst` are decompressed. Also `hfds:owner/name`, a dataset on the hub.
    #[schemars(length(min = 1))]
    pub doc_path: String,
    /// The key of a document's id.
    #[serde(default = "id_field")]
    pub id_field: String,
    /// The key or keys whose values, joined by `sep`, are the text.
    #[serde(default = "content_fields", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany")]
    pub content_fields: Vec<String>,
    /// What stands between the values of several keys.
    #[serde(default = "sep")]
    pub sep: String,
    /// How a document is found in the file.
    #[serde(default)]
    pub offset_source: OffsetSource,
    /// The directory for the sidecar that remembers where each document starts. Without it: beside
    /// the file, or else in the user's cache directory.
    #[serde(default)]
    pub cache_dir: Option<String>,
    /// The path of the sidecar itself: the legacy `cache_path` of a collection.
    #[serde(skip)]
    pub cache_path: Option<String>,
}

/// How a document is found in a JSON lines file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum OffsetSource {
    /// By a sidecar file that maps ids to offsets, built when it is missing or stale.
    #[default]
    #[serde(rename = "offsetfile")]
    OffsetFile,
    /// By the offset that the ids of the segmented MS MARCO v2.1 collection carry.
    MsmarcoSeg,
}

/// Bytes from files, one or several per document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LocalPathSource {
    /// The path of a document's one file, with `{id}` for the id. Either this or `path_glob`.
    pub path_template: Option<String>,
    /// A glob for a document's files, with `{id}` for the id; they come sorted by name.
    pub path_glob: Option<String>,
    /// The directory that no path may leave.
    pub base_dir: Option<String>,
    /// The media type of every file, such as `image/jpeg`.
    pub mime: Option<String>,
}

/// Bytes from members of tar archives, plain or compressed with gzip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TarSource {
    /// The path of an archive, with `{shard}` (or `{shard:06d}`) when there are several.
    #[schemars(length(min = 1))]
    pub tar_template: String,
    /// How an id says which archive holds it; needed when `tar_template` has `{shard}`.
    #[serde(default)]
    pub shard_resolver: Option<ShardResolver>,
    /// Which members of the archive belong to an id.
    pub matcher: Matcher,
    /// The media type of every member, such as `image/jpeg`.
    #[serde(default)]
    pub mime: Option<String>,
    /// The directory for the sidecar that remembers where each member starts.
    #[serde(default)]
    pub cache_dir: Option<String>,
}

/// Which members of an archive belong to an id. The whole name must match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Matcher {
    /// By glob.
    Glob {
        /// The glob, with `{id}` for the id.
        pattern: String,
    },
    /// By regular expression.
    Regex {
        /// The expression, with `{id}` for the id.
        pattern: String,
    },
}

/// How an id says which archive holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ShardResolver {
    /// By a table.
    Manifest(ShardManifest),
    /// By a hash.
    Modulo(ShardModulo),
    /// By a part of the id.
    Substring(ShardSubstring),
}

/// A CSV or TSV file that maps ids to shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShardManifest {
    /// The file.
    #[schemars(length(min = 1))]
    pub path: String,
    /// The column of the ids.
    #[serde(default = "id_field")]
    pub id_column: String,
    /// The column of the shards.
    #[serde(default = "shard_column")]
    pub shard_column: String,
}

/// The first 8 bytes of the id's SHA-256, as a big-endian number, modulo `n`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShardModulo {
    /// How many shards there are.
    #[schemars(range(min = 1))]
    pub n: u64,
    /// To how many digits the shard is padded with zeros.
    #[serde(default = "width")]
    #[schemars(range(max = 64))]
    pub width: usize,
}

/// The characters `start` to `end` (exclusive) of the id. Negative positions count from the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShardSubstring {
    /// The first character.
    pub start: i64,
    /// The one after the last.
    pub end: i64,
}

/// One string or a list of them.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum OneOrMany {
    One(String),
    Many(#[schemars(length(min = 1))] Vec<String>),
}

impl TextJsonlSource {
    /// What `doc_path` stands for, should it be a dataset on a hub.
    #[must_use]
    pub fn remote(&self) -> Remote {
        match self.offset_source {
            OffsetSource::OffsetFile => Remote::Documents,
            OffsetSource::MsmarcoSeg => Remote::Segments,
        }
    }

    /// A source with every default.
    #[must_use]
    pub fn new(doc_path: impl Into<String>) -> Self {
        Self {
            doc_path: doc_path.into(),
            id_field: id_field(),
            content_fields: content_fields(),
            sep: sep(),
            offset_source: OffsetSource::default(),
            cache_dir: None,
            cache_path: None,
        }
    }
}

impl From<OneOrMany> for Vec<String> {
    fn from(value: OneOrMany) -> Self {
        match value {
            OneOrMany::One(value) => vec![value],
            OneOrMany::Many(values) => values,
        }
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    OneOrMany::deserialize(deserializer).map(Into::into)
}

fn id_field() -> String {
    "id".to_owned()
}

fn content_fields() -> Vec<String> {
    vec!["text".to_owned()]
}

fn sep() -> String {
    "\n".to_owned()
}

fn shard_column() -> String {
    "shard".to_owned()
}

fn width() -> usize {
    4
}
