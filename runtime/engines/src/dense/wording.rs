//! What stands around texts before a dense encoder reads them.

use routir_compute::DenseEncoder;
use routir_core::{ParamKind, ParamSpec, Params, Result};

use super::instruction::Instruction;

/// What a request's `instruction` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstructionParam {
    /// A text with `{query}` in it.
    Template,
    /// A task, which goes into Qwen3's words.
    Task,
}

/// Which of the model's prompts stands before a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// None.
    No,
    /// The model's default one, as `encode` of sentence-transformers takes it.
    Default,
    /// The model's prompt for queries, as `encode_query` takes it.
    Query,
    /// The model's prompt for documents, as `encode_document` takes it.
    Document,
    /// The model's prompt of that name; none for the empty name.
    Named(String),
}

impl Prompt {
    fn of(&self, model: &DenseEncoder) -> Result<String> {
        Ok(match self {
            Self::No => "",
            Self::Default => model.prompt(None)?,
            Self::Query => model.query_prompt(),
            Self::Document => model.document_prompt(),
            Self::Named(name) if name.is_empty() => "",
            Self::Named(name) => model.prompt(Some(name))?,
        }
        .to_owned())
    }
}

/// What stands around queries and passages, as configured.
#[derive(Clone, Debug)]
pub(crate) struct WordingSpec {
    /// Before a query.
    pub(crate) query: Prompt,
    /// Around a query, after its prompt.
    pub(crate) instruction: Option<Instruction>,
    /// What a request may say instead.
    pub(crate) param: InstructionParam,
    /// Before a passage.
    pub(crate) passage: Prompt,
}

/// The same with the model's own words.
pub(crate) struct Wording {
    query: String,
    instruction: Option<Instruction>,
    param: InstructionParam,
    passage: String,
}

/// Qwen3-Embedding's words for a task, as RoutIR has them: no space after `Query:`.
pub(crate) fn task(task: &str) -> Instruction {
    Instruction::before(format!("Instruct: {task}\nQuery:"))
}

impl Wording {
    /// Looks the prompts up in the model; warns of what looks forgotten.
    ///
    /// # Errors
    /// When the model has no prompt of that name.
    pub(crate) fn new(service: &str, spec: &WordingSpec, model: &DenseEncoder) -> Result<Self> {
        let prompt = model.query_prompt();
        if spec.query == Prompt::Default && spec.instruction.is_none() && !prompt.is_empty() {
            tracing::warn!(
                service,
                prompt,
                "the model has a prompt for queries, which nothing puts before them; \
                 `encode_based_on_type`: true would"
            );
        }
        Ok(Self {
            query: spec.query.of(model)?,
            instruction: spec.instruction.clone(),
            param: spec.param,
            passage: spec.passage.of(model)?,
        })
    }

    /// A query with what stands around it.
    ///
    /// # Errors
    /// When the request names a prompt that the model does not have, or an instruction without a
    /// place for the query.
    pub(crate) fn query(
        &self,
        query: &str,
        params: &Params,
        model: &DenseEncoder,
    ) -> Result<String> {
        let said = params.text("instruction")?;
        let said = said.map(|said| match self.param {
            InstructionParam::Template => Instruction::parse(said),
            InstructionParam::Task => Ok(task(said)),
        });
        let said = said.transpose()?;
        let named = match params.text("prompt_name")? {
            Some(name) => Some(model.prompt(Some(name))?),
            None => None,
        };
        let prompt = named.unwrap_or(&self.query);
        Ok(match said.as_ref().or(self.instruction.as_ref()) {
            Some(instruction) => format!("{prompt}{}", instruction.around(query)),
            None => format!("{prompt}{query}"),
        })
    }

    /// What stands around a text for which a caller of the encoder says `instruction`: a text with
    /// `{query}` in it or before the text, or a task.
    pub(crate) fn told(&self, instruction: &str) -> Instruction {
        match self.param {
            InstructionParam::Template => Instruction::parse(instruction)
                .unwrap_or_else(|_| Instruction::before(format!("{instruction} "))),
            InstructionParam::Task => task(instruction),
        }
    }

    /// A passage with what stands before it.
    pub(crate) fn passage(&self, passage: &str) -> String {
        format!("{}{passage}", self.passage)
    }
}

/// What a request may say about the words around its query.
pub(crate) fn params(param: InstructionParam) -> [ParamSpec; 2] {
    let instruction = match param {
        InstructionParam::Template => {
            "what stands around the query, with `{query}` in its place; default as configured"
        }
        InstructionParam::Task => "the task that the model is told; default as configured",
    };
    [
        ParamSpec::new("instruction", ParamKind::Text, instruction),
        ParamSpec::new(
            "prompt_name",
            ParamKind::Text,
            "the model's prompt that stands before the query; default as configured",
        ),
    ]
}
