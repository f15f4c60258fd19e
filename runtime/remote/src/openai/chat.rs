//! Chat completions: a prompt there, a text back, or how likely the text begins with which tokens.

use std::time::Instant;

use routir_core::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::client::OpenAi;

/// The most bytes of an answer: a text of a million tokens, or the tokens of a long one.
const ANSWER_BYTES: usize = 8 << 20;

/// Asks a model to go on from one message of a user's.
#[derive(Clone, Debug, Serialize)]
pub struct ChatRequest<'a> {
    /// The model, as the server calls it.
    pub model: &'a str,
    /// What the user says.
    #[serde(rename = "messages", serialize_with = "one_message")]
    pub prompt: &'a str,
    /// Everything else in the body: `max_tokens`, `temperature`, `logprobs` and the like.
    #[serde(flatten)]
    pub more: &'a Map<String, Value>,
}

fn one_message<S: serde::Serializer>(prompt: &&str, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Message<'a> {
        role: &'a str,
        content: &'a str,
    }
    let message = Message {
        role: "user",
        content: prompt,
    };
    [message].serialize(serializer)
}

/// A model's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatAnswer {
    /// The text; empty when the server sent none.
    pub content: String,
    /// The tokens with which the text could have begun, in the server's order; `None` when the server
    /// does not say.
    pub first: Option<Vec<TopToken>>,
}

/// A token with which an answer could have begun.
#[derive(Clone, Debug, PartialEq)]
pub struct TopToken {
    /// The token as text.
    pub token: String,
    /// The natural logarithm of its probability: finite, at most 0.
    pub logprob: f64,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Option<Message>,
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
}

#[derive(Deserialize)]
struct Logprobs {
    content: Option<Vec<Position>>,
}

#[derive(Deserialize)]
struct Position {
    #[serde(flatten)]
    sampled: Token,
    #[serde(default)]
    top_logprobs: Vec<Token>,
}

#[derive(Deserialize)]
struct Token {
    token: String,
    logprob: f64,
}

impl OpenAi {
    /// Asks for a completion.
    ///
    /// # Errors
    /// The deadline; [`routir_core::ErrorCode::Overloaded`] or
    /// [`routir_core::ErrorCode::Unavailable`] when the server is busy or away, however often it was
    /// asked; [`routir_core::ErrorCode::EngineFailure`] when it refuses, or answers nonsense.
    pub async fn chat(
        &self,
        request: &ChatRequest<'_>,
        deadline: Option<Instant>,
    ) -> Result<ChatAnswer> {
        let path = &["chat", "completions"];
        let completion: Completion = self.post(path, request, ANSWER_BYTES, deadline).await?;
        let choice = completion.choices.into_iter().next();
        let choice = choice.ok_or_else(|| self.nonsense(&"it has no `choices`"))?;
        let content = choice.message.and_then(|message| message.content);
        let positions = choice.logprobs.and_then(|logprobs| logprobs.content);
        let first = positions
            .and_then(|positions| positions.into_iter().next())
            .map(|position| self.first(position))
            .transpose()?;
        Ok(ChatAnswer {
            content: content.unwrap_or_default(),
            first,
        })
    }

    /// The tokens at a position, the one that was taken among them.
    fn first(&self, position: Position) -> Result<Vec<TopToken>> {
        let Position {
            sampled,
            top_logprobs: mut all,
        } = position;
        if all.iter().all(|token| token.token != sampled.token) {
            all.push(sampled);
        }
        let checked = |Token { token, logprob }| {
            // Rounding leaves the logarithm of a probability of 1 a little above 0.
            if !logprob.is_finite() || logprob > 1e-3 {
                let why = format!("a token's log probability is {logprob}");
                return Err(self.nonsense(&why));
            }
            Ok(TopToken {
                token,
                logprob: logprob.min(0.0),
            })
        };
        all.into_iter().map(checked).collect()
    }
}
