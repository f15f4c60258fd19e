//! Vectors that a server makes: one that has OpenAI's embeddings API. Keys beside those of
//! [`crate::api`]:
//!
//! | key | means | default |
//! |---|---|---|
//! | `embedding_base_url` | where the server's API begins | none: the model runs here |
//! | `embedding_model_name` | the model, as the server calls it | as of the engine |
//! | `batch_size` | the most texts of one call | 64 |
//! | `truncate_dim` | how many of a vector's first numbers are kept | all |
//!
//! Texts of all callers go together, at most so many and 1 MiB of them in a call.

use std::sync::Arc;

use routir_core::{BoxFuture, Error, ParamSpec, Params, RequestContext, Result, Roles};
use routir_remote::openai::{EmbeddingsRequest, OpenAi};
use serde_json::{Map, Value};

use super::index::Searcher;
use super::index_keys::IndexKeys;
use super::wording::{self, InstructionParam, task};
use super::{Embedder, Instruction, RoleParams};
use crate::api::{ApiKeys, ApiLimits, ApiQueue, Called, Refused, RequestKwargs};
use crate::build::{BuildEnv, EngineSpec, Purpose};
use crate::options::Options;

/// The most texts of one call unless configured; servers take some dozens to 2048.
const TEXTS: usize = 64;

/// The most texts of one call: OpenAI's.
const MOST_TEXTS: usize = 2048;

/// The most bytes of text of one call: about the 300 000 tokens that OpenAI takes.
const BYTES: usize = 1 << 20;

/// An engine on an embeddings API as configured.
pub(crate) struct ApiSetup<'a> {
    /// The model, as the server calls it.
    model: &'a str,
    api: ApiKeys,
    kwargs: RequestKwargs,
    texts: usize,
    truncate_dim: Option<usize>,
    /// Whether vectors get length 1.
    pub(crate) normalize: bool,
    /// Around a query.
    pub(crate) instruction: Option<Instruction>,
    /// What a request may say instead.
    pub(crate) param: InstructionParam,
    index: IndexKeys<'a>,
    /// What it takes from a request and does nothing with.
    pub(crate) ignored: &'static [ParamSpec],
}

impl<'a> ApiSetup<'a> {
    /// Reads the keys if there is an address; the words around a query are the engine's business.
    pub(crate) fn read(options: &mut Options<'a>, usual_model: Option<&'a str>) -> Option<Self> {
        options
            .text("embedding_base_url")
            .filter(|it| !it.is_empty())?;
        let mut kwargs = RequestKwargs::read(options, &["model", "input", "encoding_format"]);
        let api = ApiKeys::read(options, "embedding_base_url", &mut kwargs);
        let model = options.text("embedding_model_name").or(usual_model);
        let model = options.require("embedding_model_name", model);
        let texts = options.count("batch_size").unwrap_or(TEXTS);
        if texts > MOST_TEXTS {
            options.problem(format!("`batch_size` must be at most {MOST_TEXTS}"));
        }
        for key in ["name", "device", "use_gpu", "trust_remote_code"] {
            options.take(key);
        }
        options.refuse(
            "max_length",
            "the server cuts texts; vLLM is told where by \
             `request_kwargs`: {\"truncate_prompt_tokens\": N}",
        );
        Some(Self {
            model: model.unwrap_or_default(),
            api,
            kwargs,
            texts: texts.min(MOST_TEXTS),
            truncate_dim: options.count("truncate_dim"),
            normalize: false,
            instruction: None,
            param: InstructionParam::Template,
            index: IndexKeys::read(options, None),
            ignored: &[],
        })
    }

    /// Builds the roles: searching if there is an index, and scoring. The server is not contacted.
    ///
    /// # Errors
    /// When the address is none, or the index is missing or damaged.
    pub(crate) fn build(self, spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Roles> {
        let client = self.api.open()?;
        let [instruction, _] = wording::params(self.param);
        let params = RoleParams::new(&[instruction], &self.index, self.ignored);
        let index = self.index.files(spec, env)?;
        if let Purpose::Check(stood_in) = env.purpose {
            return Ok(params.outline(index.is_some(), stood_in));
        }
        let open = |files| Searcher::open(spec, env, &self.index, files, self.truncate_dim);
        let searcher = index.as_ref().map(open).transpose()?;
        let limits = ApiLimits {
            texts: self.texts,
            bytes: BYTES,
            calls: client.settings().concurrency,
        };
        let mut body = self.kwargs.body;
        // The one form that all servers have.
        body.insert("encoding_format".to_owned(), Value::from("float"));
        let server = Arc::new(Server {
            client,
            model: self.model.to_owned(),
            body,
            dim: searcher.as_ref().map(Searcher::dim),
            truncate_dim: self.truncate_dim,
            normalize: self.normalize,
        });
        let queue = ApiQueue::new(
            spec,
            env,
            "api",
            limits,
            Arc::new(move |texts: Vec<Arc<str>>, deadline| {
                let server = Arc::clone(&server);
                Box::pin(async move { server.vectors(&texts, deadline).await })
            }),
        );
        tracing::info!(service = spec.name, model = self.model, "embeddings API");
        let embedder: Arc<dyn Embedder> = Arc::new(Remote {
            queue,
            instruction: self.instruction,
            param: self.param,
        });
        Ok(params.roles(&embedder, searcher, (None, None)))
    }
}

/// The server, and what becomes of its vectors.
struct Server {
    client: OpenAi,
    model: String,
    body: Map<String, Value>,
    /// How many numbers the index's vectors have.
    dim: Option<usize>,
    truncate_dim: Option<usize>,
    normalize: bool,
}

impl Server {
    /// A vector of each text. What goes wrong goes wrong for all; what the server refuses may hold only
    /// one text that it cannot take.
    async fn vectors(
        &self,
        texts: &[Arc<str>],
        deadline: Option<std::time::Instant>,
    ) -> Called<Vec<f32>> {
        let input: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        let request = EmbeddingsRequest {
            model: &self.model,
            input: &input,
            more: &self.body,
        };
        match self.client.embeddings(&request, deadline).await {
            Ok(vectors) => Ok(vectors.into_iter().map(|it| self.finished(it)).collect()),
            Err(failed) if failed.refused => Err(Refused(failed.error)),
            Err(failed) => Ok(texts.iter().map(|_| Err(failed.error.clone())).collect()),
        }
    }

    /// A vector as it is searched and compared.
    fn finished(&self, mut vector: Vec<f32>) -> Result<Vec<f32>> {
        if let Some(dim) = self.truncate_dim {
            vector.truncate(dim);
        }
        let wanted = self.dim.or(self.truncate_dim);
        if let Some(dim) = wanted.filter(|dim| *dim != vector.len()) {
            return Err(Error::engine(format!(
                "the model `{}` makes vectors of {} numbers, not of {dim}: the index was built with \
                 another model, or `truncate_dim` is wrong",
                self.model,
                vector.len()
            )));
        }
        if self.normalize {
            let squares = vector.iter().map(|it| f64::from(*it) * f64::from(*it));
            let length = squares.sum::<f64>().sqrt();
            if length > 0.0 {
                for number in &mut vector {
                    *number = (f64::from(*number) / length) as f32;
                }
            }
        }
        Ok(vector)
    }
}

/// The server behind its queue.
struct Remote {
    queue: ApiQueue<Arc<str>, Vec<f32>>,
    instruction: Option<Instruction>,
    param: InstructionParam,
}

impl Remote {
    /// A query with what stands around it.
    fn query(&self, query: &Arc<str>, params: &Params) -> Result<Arc<str>> {
        let said = params.text("instruction")?.map(|said| match self.param {
            InstructionParam::Template => Instruction::parse(said),
            InstructionParam::Task => Ok(task(said)),
        });
        let said = said.transpose()?;
        Ok(match said.as_ref().or(self.instruction.as_ref()) {
            Some(instruction) => instruction.around(query).into(),
            None => Arc::clone(query),
        })
    }
}

impl Embedder for Remote {
    fn embed(
        &self,
        context: &Arc<RequestContext>,
        query: &Arc<str>,
        passages: Vec<Arc<str>>,
        params: &Params,
    ) -> BoxFuture<'_, Result<Vec<Vec<f32>>>> {
        let query = self.query(query, params);
        let context = Arc::clone(context);
        Box::pin(async move {
            let texts = std::iter::once(query?).chain(passages);
            let texts = texts.map(|text| {
                let bytes = text.len();
                (text, bytes)
            });
            let vectors = self.queue.run(&context, texts.collect()).await?;
            // Without an index, nothing but the others says how long a vector is.
            let dim = vectors.first().map(Vec::len);
            if vectors.iter().any(|vector| Some(vector.len()) != dim) {
                return Err(Error::engine(
                    "the server made vectors of different sizes of the query and the passages",
                ));
            }
            Ok(vectors)
        })
    }
}
