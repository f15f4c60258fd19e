//! Embeddings: texts there, a vector of each back.

use std::time::Instant;

use routir_core::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::client::OpenAi;
use super::failure::ApiError;

/// The most bytes of a vector in an answer: some ten thousand numbers, as wordy as JSON has them.
const VECTOR_BYTES: usize = 256 << 10;

/// The most bytes of what is around the vectors.
const AROUND_BYTES: usize = 64 << 10;

/// Asks for a vector of each text.
#[derive(Clone, Debug, Serialize)]
pub struct EmbeddingsRequest<'a> {
    /// The model, as the server calls it.
    pub model: &'a str,
    /// The texts.
    pub input: &'a [&'a str],
    /// Everything else in the body.
    #[serde(flatten)]
    pub more: &'a Map<String, Value>,
}

#[derive(Deserialize)]
struct Embeddings {
    data: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    index: Option<usize>,
    embedding: Vec<f32>,
}

impl OpenAi {
    /// Asks for a vector of each text, in their order: as many as texts, finite, none empty, all of the
    /// same size.
    ///
    /// # Errors
    /// As [`OpenAi::chat`].
    pub async fn embeddings(
        &self,
        request: &EmbeddingsRequest<'_>,
        deadline: Option<Instant>,
    ) -> Result<Vec<Vec<f32>>, ApiError> {
        let count = request.input.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let most = count
            .saturating_mul(VECTOR_BYTES)
            .saturating_add(AROUND_BYTES);
        let answer: Embeddings = self.post(&["embeddings"], request, most, deadline).await?;
        in_order(answer.data, count).map_err(|why| self.nonsense(&why).into())
    }
}

/// The vectors by their index; by their place where no index is given.
fn in_order(data: Vec<Embedding>, count: usize) -> Result<Vec<Vec<f32>>, String> {
    if data.len() != count {
        return Err(format!("{} vectors for {count} texts", data.len()));
    }
    let dim = data.first().map_or(0, |first| first.embedding.len());
    let mut all: Vec<Option<Vec<f32>>> = data.iter().map(|_| None).collect();
    for (place, Embedding { index, embedding }) in data.into_iter().enumerate() {
        let index = index.unwrap_or(place);
        if embedding.is_empty() || embedding.len() != dim {
            return Err(format!(
                "vectors of {dim} and of {} numbers",
                embedding.len()
            ));
        }
        if !embedding.iter().all(|number| number.is_finite()) {
            return Err(format!("vector {index} has a number that is not finite"));
        }
        match all.get_mut(index) {
            Some(free @ None) => *free = Some(embedding),
            Some(Some(_)) => return Err(format!("two vectors with the index {index}")),
            None => return Err(format!("a vector with the index {index} of {count} texts")),
        }
    }
    // As many vectors as texts, and no index twice: none is left open.
    Ok(all.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(data: &[(Option<usize>, &[f32])], count: usize) -> Result<Vec<Vec<f32>>, String> {
        let data = data.iter().map(|(index, embedding)| Embedding {
            index: *index,
            embedding: embedding.to_vec(),
        });
        in_order(data.collect(), count)
    }

    #[test]
    fn vectors_are_in_the_order_of_the_texts_whatever_that_of_the_answer() {
        let answer: [(Option<usize>, &[f32]); 2] = [(Some(1), &[1.0]), (Some(0), &[0.0])];
        assert_eq!(ordered(&answer, 2).unwrap(), [[0.0], [1.0]]);
        let answer: [(Option<usize>, &[f32]); 2] = [(None, &[1.0]), (None, &[0.0])];
        assert_eq!(ordered(&answer, 2).unwrap(), [[1.0], [0.0]]);
    }

    #[test]
    fn nonsense_is_none() {
        let one: &[f32] = &[1.0];
        for (answer, why) in [
            (vec![(Some(0), one)], "1 vectors for 2 texts"),
            (vec![(Some(0), one), (Some(0), one)], "two vectors"),
            (vec![(Some(0), one), (Some(2), one)], "index 2 of 2"),
            (
                vec![(Some(0), one), (Some(1), &[1.0, 2.0])],
                "of 1 and of 2",
            ),
            (vec![(Some(0), &[]), (Some(1), &[])], "of 0"),
            (
                vec![(Some(0), one), (Some(1), &[f32::INFINITY])],
                "not finite",
            ),
        ] {
            let error = ordered(&answer, 2).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
