//! Sub-queries of a query, out of what the model says.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use routir_core::{
    Batching, BoxFuture, DecomposeEngine, DecomposeRequest, Error, ParamsSpec, Result, shorten,
};
use routir_remote::openai::ChatRequest;
use serde_json::{Deserializer, Value};

use super::Llm;
use crate::api::ApiQueue;

/// In how many places of an answer an array is looked for.
const PLACES: usize = 16;

/// How much of an answer is looked at, in bytes.
const LOOKED_AT: usize = 256 << 10;

impl Llm {
    /// What the model says to one prompt.
    pub(super) async fn expand(&self, prompt: &str, deadline: Option<Instant>) -> Result<String> {
        let asked = ChatRequest {
            model: &self.model,
            prompt,
            more: &self.decompose_body,
        };
        Ok(self.client.chat(&asked, deadline).await?.content)
    }
}

/// As an expander.
pub(super) struct Decomposer {
    pub(super) llm: Arc<Llm>,
    /// Of prompts.
    pub(super) queue: ApiQueue<Arc<str>, String>,
    pub(super) params: ParamsSpec,
}

impl Decomposer {
    async fn answer(&self, request: DecomposeRequest) -> Result<Vec<Arc<str>>> {
        let prompt = self
            .llm
            .prompts
            .decompose(&request.query, &request.params)?;
        let asked = vec![(Arc::from(prompt), 1)];
        let answers = self.queue.run(&request.context, asked).await?;
        let answer = answers.into_iter().next().unwrap_or_default();
        let mut queries = sub_queries(&answer);
        queries.truncate(request.limit.unwrap_or(usize::MAX));
        if queries.is_empty() && request.limit != Some(0) {
            return Err(Error::engine(format!(
                "the model's answer has no sub-queries: `{}`",
                shorten(answer.trim())
            )));
        }
        Ok(queries.into_iter().map(Arc::from).collect())
    }
}

impl DecomposeEngine for Decomposer {
    fn decompose(&self, batch: Vec<DecomposeRequest>) -> BoxFuture<'_, Vec<Result<Vec<Arc<str>>>>> {
        Box::pin(join_all(
            batch.into_iter().map(|request| self.answer(request)),
        ))
    }

    fn params(&self) -> ParamsSpec {
        self.params.clone()
    }

    fn batching(&self) -> Batching {
        Batching::Inside
    }
}

/// The sub-queries in an answer: of the first JSON array with any, wherever it stands, else its lines
/// without the marks of a list. What a model thought before it answered does not count.
fn sub_queries(answer: &str) -> Vec<String> {
    let answer = answer.rsplit("</think>").next().unwrap_or(answer);
    let answer = answer
        .get(..answer.floor_char_boundary(LOOKED_AT))
        .unwrap_or(answer);
    let starts = answer.match_indices('[').map(|(at, _)| at).take(PLACES);
    let arrays = starts.filter_map(|at| {
        let json = answer.get(at..)?;
        let value = Deserializer::from_str(json).into_iter::<Value>().next()?;
        let found = strings(value.ok()?);
        (!found.is_empty()).then_some(found)
    });
    if let Some(found) = arrays.into_iter().next() {
        return found;
    }
    let lines = answer.lines().map(|line| unmarked(line.trim()));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("```"));
    // Brackets and braces alone are the ruins of JSON.
    let spoken = lines.filter(|line| line.contains(char::is_alphanumeric));
    spoken.map(str::to_owned).collect()
}

/// The strings and numbers of an array, also where each is alone in an object.
fn strings(value: Value) -> Vec<String> {
    let Value::Array(items) = value else {
        return Vec::new();
    };
    let text = |item| match item {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(object) => match object.into_iter().next() {
            Some((_, Value::String(text))) => Some(text.trim().to_owned()),
            _ => None,
        },
        _ => None,
    };
    let texts = items.into_iter().filter_map(text);
    texts.filter(|text| !text.is_empty()).collect()
}

/// A line without the mark of a list before it: `1.`, `2)`, `-`, `*`, `•`. A number that belongs to the
/// query stays.
fn unmarked(line: &str) -> &str {
    let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let after = if digits.len() < line.len() {
        digits.strip_prefix(['.', ')'])
    } else {
        line.strip_prefix(['-', '*', '•'])
    };
    match after {
        Some(after) if after.starts_with(char::is_whitespace) => after.trim_start(),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_found_wherever_it_stands() {
        for answer in [
            r#"["a b", "c"]"#,
            r#"{"queries": ["a b", " c "]}"#,
            "```json\n[\"a b\",\n \"c\"]\n```",
            r#"Here you are [as asked]: ["a b", "c"]. Enjoy!"#,
            r#"<think>perhaps ["x"]</think>["a b", "", "c"]"#,
            r#"[] or rather ["a b", "c"]"#,
            r#"[{"no": 1}, "a b", null, "c"]"#,
            r#"[{"query": "a b"}, {"query": "c"}]"#,
        ] {
            assert_eq!(sub_queries(answer), ["a b", "c"], "{answer}");
        }
        // RoutIR's pattern ends at the first bracket that closes.
        assert_eq!(sub_queries(r#"so: ["a [1] b", "c"]"#), ["a [1] b", "c"]);
        assert_eq!(sub_queries("[1984, 2.5]"), ["1984", "2.5"]);
    }

    #[test]
    fn else_lines_without_marks_are_it() {
        let answer = "1. a b\n 2) c\n- d\n\n* e\n• f\n```\n";
        assert_eq!(sub_queries(answer), ["a b", "c", "d", "e", "f"]);
        // RoutIR takes these numbers for marks.
        assert_eq!(
            sub_queries("2024 elections\n3.5 inch disk\n-5 degrees"),
            ["2024 elections", "3.5 inch disk", "-5 degrees"]
        );
        assert!(sub_queries("").is_empty());
        assert!(sub_queries(" \n\t\n{}\n[]").is_empty());
    }

    #[test]
    fn hostile_answers_are_read_in_time() {
        assert_eq!(sub_queries(&"[".repeat(100_000)), Vec::<String>::new());
        assert_eq!(sub_queries(&"[\"a".repeat(10_000)).len(), 1);
    }
}
