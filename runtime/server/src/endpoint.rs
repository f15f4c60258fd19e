//! The endpoints: path, method and name of each, in one table.

use serde::Serialize;

/// What a request is routed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Index,
    Ping,
    Healthz,
    Readyz,
    Metrics,
    Avail,
    Search,
    Query,
    Score,
    Content,
    Contents,
    Fuse,
    Decompose,
    Pipeline,
    Explain,
    Models,
    Model,
    Encode,
    ScoreItems,
    Extract,
    Embeddings,
    Status,
    ExtensionList,
    ExtensionGet,
    ExtensionPut,
    ExtensionDelete,
    ExtensionRollback,
    /// No such path.
    NotFound,
    /// The path is there, but not for this method.
    MethodNotAllowed,
}

/// The method that a path takes. `Get` includes `HEAD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Delete,
}

/// One line of the table, as `GET /` tells it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Row {
    #[serde(skip)]
    pub(crate) endpoint: Endpoint,
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) about: &'static str,
}

const fn row(endpoint: Endpoint, method: Method, path: &'static str, about: &'static str) -> Row {
    Row {
        endpoint,
        method,
        path,
        about,
    }
}

const fn get(endpoint: Endpoint, path: &'static str, about: &'static str) -> Row {
    row(endpoint, Method::Get, path, about)
}

const fn post(endpoint: Endpoint, path: &'static str, about: &'static str) -> Row {
    row(endpoint, Method::Post, path, about)
}

/// Where extensions are.
pub(crate) const EXTENSIONS: &str = "/extensions";
const EXTENSION: &str = "/extensions/{name}";

/// All there is.
pub(crate) const TABLE: [Row; 27] = [
    get(Endpoint::Index, "/", "this list"),
    get(
        Endpoint::Ping,
        "/ping",
        "answers `pong`; never asks for the key",
    ),
    get(
        Endpoint::Avail,
        "/avail",
        "what can be asked for: services by role, collections, aliases",
    ),
    post(
        Endpoint::Search,
        "/search",
        "the best documents of a service for a query",
    ),
    post(Endpoint::Query, "/query", "deprecated name of /search"),
    post(
        Endpoint::Score,
        "/score",
        "scores of passages against a query",
    ),
    post(
        Endpoint::Content,
        "/content",
        "a document of a collection by its id",
    ),
    post(
        Endpoint::Contents,
        "/contents",
        "several documents of a collection by their ids",
    ),
    post(
        Endpoint::Fuse,
        "/fuse",
        "one ranking of several by a merger",
    ),
    post(
        Endpoint::Decompose,
        "/decompose",
        "sub-queries of a query by an expander",
    ),
    post(
        Endpoint::Pipeline,
        "/pipeline",
        "runs a pipeline for a query",
    ),
    post(
        Endpoint::Explain,
        "/explain",
        "compiles a pipeline and shows its plan",
    ),
    get(
        Endpoint::Models,
        "/v1/models",
        "the models that encode and score",
    ),
    get(Endpoint::Model, "/v1/models/{*model}", "one of them"),
    post(
        Endpoint::Encode,
        "/v1/encode/{*model}",
        "vectors of items, as SIE's SDKs ask for them",
    ),
    post(
        Endpoint::ScoreItems,
        "/v1/score/{*model}",
        "scores of items against a query, likewise",
    ),
    post(
        Endpoint::Extract,
        "/v1/extract/{*model}",
        "refused: nothing is extracted here",
    ),
    post(
        Endpoint::Embeddings,
        "/v1/embeddings",
        "dense vectors, as OpenAI's clients ask for them",
    ),
    get(
        Endpoint::Status,
        "/ws/status",
        "a web socket that tells how this server is",
    ),
    get(
        Endpoint::ExtensionList,
        EXTENSIONS,
        "the extensions that a tenant has published",
    ),
    row(
        Endpoint::ExtensionPut,
        Method::Put,
        EXTENSION,
        "checks a component and publishes it",
    ),
    get(
        Endpoint::ExtensionGet,
        EXTENSION,
        "an extension: version, roles, parameters, state",
    ),
    row(
        Endpoint::ExtensionDelete,
        Method::Delete,
        EXTENSION,
        "takes an extension out of service",
    ),
    post(
        Endpoint::ExtensionRollback,
        "/extensions/{name}/rollback",
        "brings an extension's version before the present one back",
    ),
    get(Endpoint::Healthz, "/healthz", "whether the process lives"),
    get(
        Endpoint::Readyz,
        "/readyz",
        "whether every part is ready to serve",
    ),
    get(
        Endpoint::Metrics,
        "/metrics",
        "metrics in the OpenMetrics text format",
    ),
];

impl Endpoint {
    /// Its name in metrics and logs.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Ping => "ping",
            Self::Healthz => "healthz",
            Self::Readyz => "readyz",
            Self::Metrics => "metrics",
            Self::Avail => "avail",
            Self::Search => "search",
            Self::Query => "query",
            Self::Score => "score",
            Self::Content => "content",
            Self::Contents => "contents",
            Self::Fuse => "fuse",
            Self::Decompose => "decompose",
            Self::Pipeline => "pipeline",
            Self::Explain => "explain",
            Self::Models => "models",
            Self::Model => "model",
            Self::Encode => "v1_encode",
            Self::ScoreItems => "v1_score",
            Self::Extract => "v1_extract",
            Self::Embeddings => "v1_embeddings",
            Self::Status => "ws_status",
            Self::ExtensionList => "extension_list",
            Self::ExtensionGet => "extension_get",
            Self::ExtensionPut => "extension_put",
            Self::ExtensionDelete => "extension_delete",
            Self::ExtensionRollback => "extension_rollback",
            Self::NotFound | Self::MethodNotAllowed => "other",
        }
    }

    /// Whether it is one of those for models, whose clients read errors in their own form.
    pub(crate) fn is_inference(self) -> bool {
        matches!(
            self,
            Self::Models
                | Self::Model
                | Self::Encode
                | Self::ScoreItems
                | Self::Extract
                | Self::Embeddings
        )
    }

    /// Whether a tenant's request to it counts against the quota of those answered at once: all
    /// that works for it, rather than telling what there is.
    pub(crate) fn is_work(self) -> bool {
        !matches!(
            self,
            Self::Index
                | Self::Ping
                | Self::Healthz
                | Self::Readyz
                | Self::Metrics
                | Self::Avail
                | Self::Models
                | Self::Model
                | Self::Extract
                | Self::Status
                | Self::NotFound
                | Self::MethodNotAllowed
        )
    }
}

/// Whether `path` is for probes, which bear no key.
pub(crate) fn is_probe(path: &str) -> bool {
    matches!(path, "/ping" | "/healthz" | "/readyz")
}
