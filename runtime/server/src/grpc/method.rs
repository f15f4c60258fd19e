//! The methods, as far as they are treated differently before they are called.

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Ping,
    Avail,
    Search,
    Score,
    Content,
    Pipeline,
    PipelineStream,
    /// Health checks.
    Health,
    /// Health again and again, until somebody ends it.
    Watch,
    /// Reflection, and what there is not.
    Other,
}

impl Method {
    /// The method with a path such as `/routir.v1.Routir/Ping`.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/routir.v1.Routir/Ping" => Self::Ping,
            "/routir.v1.Routir/Avail" => Self::Avail,
            "/routir.v1.Routir/Search" => Self::Search,
            "/routir.v1.Routir/Score" => Self::Score,
            "/routir.v1.Routir/Content" => Self::Content,
            "/routir.v1.Routir/Pipeline" => Self::Pipeline,
            "/routir_rt.v1.Pipelines/PipelineStream" => Self::PipelineStream,
            "/grpc.health.v1.Health/Watch" => Self::Watch,
            _ if path.starts_with("/grpc.health.v1.Health/") => Self::Health,
            _ => Self::Other,
        }
    }

    /// Its name in metrics and logs.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Ping => "grpc_ping",
            Self::Avail => "grpc_avail",
            Self::Search => "grpc_search",
            Self::Score => "grpc_score",
            Self::Content => "grpc_content",
            Self::Pipeline => "grpc_pipeline",
            Self::PipelineStream => "grpc_pipeline_stream",
            Self::Health | Self::Watch => "grpc_health",
            Self::Other => "grpc_other",
        }
    }

    /// Whether somebody else's code answers it.
    pub(crate) fn is_foreign(self) -> bool {
        matches!(self, Self::Health | Self::Watch | Self::Other)
    }

    /// Whether it answers without a key.
    pub(crate) fn is_probe(self) -> bool {
        matches!(self, Self::Ping | Self::Health | Self::Watch)
    }

    /// Whether a tenant's call counts against the quota of those answered at once.
    pub(crate) fn is_work(self) -> bool {
        matches!(
            self,
            Self::Search | Self::Score | Self::Content | Self::Pipeline | Self::PipelineStream
        )
    }
}
