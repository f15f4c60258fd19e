//! `LLMEngine`: a language model behind an OpenAI-compatible server scores passages and expands
//! queries. Keys as in RoutIR, and those of [`crate::api`].
//!
//! | key | means | default |
//! |---|---|---|
//! | `model_name_or_path` | the model, as the server calls it | required |
//! | `server_endpoint` | where the server's API begins | required |
//! | `score_prompt` | what is asked about a passage, with `{query}` and `{document}`, also `{pos_token}`, `{neg_token}` | RoutIR's |
//! | `decompose_prompt` | what is asked for sub-queries, with `{query}` | RoutIR's |
//! | `pos_token`, `neg_token` | the words for relevant and not | `Yes`, `No` |
//! | `allow_custom_prompts` | whether a request may bring a `prompt` | false |
//! | `max_doc_tokens` | where passages are cut, in tokens | what the model reads, less 512 |
//! | `tokenizer_name` | whose tokens: a folder, or `hf:owner/name` | `model_name_or_path`, if that is a folder; else 4 bytes count as a token |
//! | `max_model_len` | how many tokens the model reads | as its files say, else 8192 |

mod decompose;
mod documents;
mod prompts;
mod score;

use std::sync::Arc;

use routir_core::{ParamKind, ParamSpec, ParamsSpec, Result, Roles};
use serde_json::{Map, Value, json};

use crate::api::{ApiKeys, ApiLimits, ApiQueue, RequestKwargs};
use crate::build::{BuildEnv, EngineSpec, Purpose};
use crate::check::Outline;
use crate::options::Options;
use crate::pool::EnginePool;
use crate::search_rerank::SearchKeys;
use documents::{DocumentKeys, Documents};
use prompts::Prompts;
use routir_remote::openai::OpenAi;
use score::ScoreJob;

/// Of RoutIR's engine when it runs the model itself.
const OF_VLLM: [&str; 5] = [
    "ngpus",
    "gpu_memory_utilization",
    "dtype",
    "enable_prefix_caching",
    "vllm_init_kwargs",
];

/// What a request may bring where that is allowed.
const PROMPT: ParamSpec = ParamSpec::new(
    "prompt",
    ParamKind::Text,
    "what the model is asked, with the places of the configured prompt; default as configured",
);

/// The model and what it is asked.
struct Llm {
    client: OpenAi,
    model: String,
    prompts: Prompts,
    documents: Documents,
    pool: EnginePool,
    /// The body of a call that scores, beside model and prompt.
    score_body: Map<String, Value>,
    /// The same of one that expands a query.
    decompose_body: Map<String, Value>,
}

/// `usual` with what is configured in its place; what is configured as null is left out.
fn body(usual: Value, kwargs: &Map<String, Value>) -> Map<String, Value> {
    let mut body = match usual {
        Value::Object(usual) => usual,
        _ => Map::new(),
    };
    // Models that reason have this name for it, and refuse the other.
    if kwargs.contains_key("max_completion_tokens") {
        body.remove("max_tokens");
    }
    for (key, value) in kwargs {
        body.insert(key.clone(), value.clone());
    }
    body.retain(|_, value| !value.is_null());
    body
}

pub(crate) fn build(spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Roles> {
    let mut options = Options::new(spec.config);
    let model = options.text("model_name_or_path");
    let model = options
        .require("model_name_or_path", model)
        .unwrap_or_default();
    if spec
        .config
        .get("server_endpoint")
        .is_none_or(Value::is_null)
    {
        options.problem(
            "RoutIR would run the model itself with vLLM, which is not done here; serve it \
             (`vllm serve MODEL`) and give its address, such as http://localhost:8000/v1",
        );
    }
    let mut kwargs = RequestKwargs::read(&mut options, &["model", "messages"]);
    let api = ApiKeys::read(&mut options, "server_endpoint", &mut kwargs);
    let prompts = Prompts::read(&mut options);
    let documents = DocumentKeys::read(&mut options, model);
    options.take("name");
    OF_VLLM.into_iter().for_each(|key| options.take(key));
    let search = SearchKeys::read(&mut options);
    options.finish()?;
    let prompts = prompts?;
    let client = api.open()?;
    let params = if prompts.custom {
        ParamsSpec::known(&[PROMPT])
    } else {
        ParamsSpec::none()
    };
    if let Purpose::Check(stood_in) = env.purpose {
        documents.check(env)?;
        let outline = Outline {
            score: Some(params.clone()),
            decompose: Some(params),
            ..Outline::default()
        };
        return search.add_to(outline.roles(stood_in), spec, env);
    }
    let calls = client.settings().concurrency;
    let temperature =
        json!({"temperature": 0, "max_tokens": 1, "logprobs": true, "top_logprobs": 20});
    let json_mode = json!({
        "temperature": 0, "max_tokens": 2048, "response_format": {"type": "json_object"},
    });
    let llm = Arc::new(Llm {
        client,
        model: model.to_owned(),
        prompts,
        documents: documents.open(spec, env)?,
        pool: env.pool.clone(),
        score_body: body(temperature, &kwargs.body),
        decompose_body: body(json_mode, &kwargs.body),
    });
    tracing::info!(
        service = spec.name,
        model,
        max_doc_tokens = llm.documents.most,
        "language model"
    );
    let limits = ApiLimits {
        texts: 1,
        bytes: usize::MAX,
        calls,
    };
    let scorer = Arc::clone(&llm);
    let score = ApiQueue::new(
        spec,
        env,
        "api",
        limits,
        Arc::new(move |jobs: Vec<Arc<ScoreJob>>, deadline| {
            let llm = Arc::clone(&scorer);
            Box::pin(async move {
                let mut answers = Vec::with_capacity(jobs.len());
                for job in jobs {
                    answers.push(llm.ask(&job, deadline).await);
                }
                Ok(answers)
            })
        }),
    );
    let expander = Arc::clone(&llm);
    let decompose = ApiQueue::new(
        spec,
        env,
        "api_decompose",
        limits,
        Arc::new(move |prompts: Vec<Arc<str>>, deadline| {
            let llm = Arc::clone(&expander);
            Box::pin(async move {
                let mut answers = Vec::with_capacity(prompts.len());
                for prompt in prompts {
                    answers.push(llm.expand(&prompt, deadline).await);
                }
                Ok(answers)
            })
        }),
    );
    let roles = Roles {
        score: Some(Arc::new(score::Scorer {
            llm: Arc::clone(&llm),
            queue: score,
            params: params.clone(),
        })),
        decompose: Some(Arc::new(decompose::Decomposer {
            llm,
            queue: decompose,
            params,
        })),
        ..Roles::default()
    };
    search.add_to(roles, spec, env)
}
