//! The answer to a search or a pipeline call, written straight from the ranking: what
//! [`SearchResponse`](routir_proto::v1::SearchResponse) and
//! [`PipelineResponse`](routir_proto::v1::PipelineResponse) are on the wire.

use std::sync::Arc;

use prost::bytes::BufMut;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use routir_core::Hit;
use routir_exec::PipelineAnswer;

use super::wire::Written;

/// The fields, which both messages number alike but for what stands at [`TEXTS`].
const QUERY: u32 = 1;
const SCORES: u32 = 2;
/// A search's service, a pipeline's sub-queries.
const TEXTS: u32 = 3;
const CACHED: u32 = 4;
const TIMESTAMP: u32 = 5;
/// The fields of an entry of the scores.
const DOCUMENT: u32 = 1;
const SCORE: u32 = 2;

/// A key of any of these fields takes a byte, a double eight more.
const KEY: usize = 1;
const DOUBLE: usize = KEY + 8;

/// A ranking on its way out, best first.
pub(crate) struct Ranked {
    query: Arc<str>,
    /// Of a search.
    service: Option<String>,
    answer: PipelineAnswer,
}

impl Ranked {
    /// The answer to a search of `service`.
    pub(crate) fn of_search(query: Arc<str>, service: String, answer: PipelineAnswer) -> Self {
        Self {
            query,
            service: Some(service),
            answer,
        }
    }

    /// The answer to a pipeline call.
    pub(crate) fn of_pipeline(query: Arc<str>, answer: PipelineAnswer) -> Self {
        Self {
            query,
            service: None,
            answer,
        }
    }

    /// What stands at [`TEXTS`].
    fn texts(&self) -> impl Iterator<Item = &str> {
        let expanded = self.answer.expanded_queries.iter().flatten();
        let expanded = expanded.filter(|_| self.service.is_none());
        self.service
            .as_deref()
            .into_iter()
            .chain(expanded.map(AsRef::as_ref))
    }
}

impl Written for Ranked {
    fn length(&self) -> usize {
        let texts: usize = self.texts().map(text_length).sum();
        let hits = self.answer.ranking.hits().iter();
        let hits: usize = hits.map(|hit| with_length(entry_length(hit))).sum();
        let query = text_length(&self.query);
        query + hits + texts + usize::from(self.answer.cached) * (KEY + 1) + DOUBLE
    }

    fn write(&self, out: &mut impl BufMut) {
        put_text(QUERY, &self.query, out);
        for hit in self.answer.ranking.hits() {
            put_hit(hit, out);
        }
        for text in self.texts() {
            put_text(TEXTS, text, out);
        }
        if self.answer.cached {
            encode_key(CACHED, WireType::Varint, out);
            out.put_u8(1);
        }
        put_double(TIMESTAMP, self.answer.timestamp, out);
    }
}

fn put_hit(hit: &Hit, out: &mut impl BufMut) {
    /// What begins a text, and a double.
    const TEXT: u8 = WireType::LengthDelimited as u8;
    const NUMBER: u8 = WireType::SixtyFourBit as u8;
    /// The largest length that is written as one byte.
    const SHORT: usize = 127;
    let (inside, length) = (entry_length(hit), hit.doc.len());
    if inside <= SHORT {
        // Nearly all: what is around the name is written in one go.
        let head = [
            (SCORES as u8) << 3 | TEXT,
            inside as u8,
            (DOCUMENT as u8) << 3 | TEXT,
            length as u8,
        ];
        out.put_slice(&head);
        out.put_slice(hit.doc.as_bytes());
        let mut score = [(SCORE as u8) << 3 | NUMBER; DOUBLE];
        if let Some(number) = score.last_chunk_mut() {
            *number = hit.score.to_le_bytes();
        }
        out.put_slice(&score);
    } else {
        encode_key(SCORES, WireType::LengthDelimited, out);
        encode_varint(inside as u64, out);
        put_text(DOCUMENT, &hit.doc, out);
        put_double(SCORE, hit.score, out);
    }
}

fn entry_length(hit: &Hit) -> usize {
    text_length(&hit.doc) + DOUBLE
}

fn text_length(text: &str) -> usize {
    with_length(text.len())
}

/// The length of a field with so many bytes inside.
fn with_length(inside: usize) -> usize {
    KEY + encoded_len_varint(inside as u64) + inside
}

fn put_text(field: u32, text: &str, out: &mut impl BufMut) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(text.len() as u64, out);
    out.put_slice(text.as_bytes());
}

fn put_double(field: u32, value: f64, out: &mut impl BufMut) {
    encode_key(field, WireType::SixtyFourBit, out);
    out.put_f64_le(value);
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use routir_core::Ranking;
    use routir_proto::v1::{PipelineResponse, SearchResponse, pipeline_response, search_response};

    use super::*;

    fn answer(hits: &[(&str, f64)], cached: bool) -> PipelineAnswer {
        let hits = hits.iter().map(|(doc, score)| Hit::new(*doc, *score));
        PipelineAnswer {
            ranking: Arc::new(Ranking::from_hits(hits.collect()).unwrap()),
            service: "s".into(),
            expanded_queries: None,
            cached,
            timestamp: 1.5,
            failures: vec![],
            explain: None,
            provenance: None,
        }
    }

    fn written(ranked: &Ranked) -> Vec<u8> {
        let mut out = Vec::new();
        ranked.write(&mut out);
        assert_eq!(out.len(), ranked.length());
        out
    }

    #[test]
    fn a_search_reads_as_the_contract_says() {
        let (long, huge) = ("é".repeat(90), "x".repeat(20_000));
        let hits = [(&*long, 3.25), ("a", 0.0), ("", -1e-9), (&*huge, -2.0)];
        let entry = |(key, value): (&str, f64)| search_response::ScoresEntry {
            key: key.to_owned(),
            value,
        };
        for cached in [false, true] {
            let ranked = Ranked::of_search("q".into(), "seek".to_owned(), answer(&hits, cached));
            let expected = SearchResponse {
                query: "q".to_owned(),
                scores: hits.map(entry).into(),
                service: "seek".to_owned(),
                cached,
                timestamp: 1.5,
            };
            assert_eq!(
                SearchResponse::decode(&*written(&ranked)).unwrap(),
                expected
            );
        }
    }

    #[test]
    fn a_pipeline_tells_its_sub_queries_and_no_service() {
        let mut told = answer(&[("a", 1.0)], false);
        told.expanded_queries = Some(vec!["one".into(), "".into()]);
        let ranked = Ranked::of_pipeline("a query".into(), told);
        let expected = PipelineResponse {
            query: "a query".to_owned(),
            scores: vec![pipeline_response::ScoresEntry {
                key: "a".to_owned(),
                value: 1.0,
            }],
            expanded_queries: vec!["one".to_owned(), String::new()],
            cached: false,
            timestamp: 1.5,
        };
        assert_eq!(
            PipelineResponse::decode(&*written(&ranked)).unwrap(),
            expected
        );
        let nothing = Ranked::of_pipeline("".into(), answer(&[], false));
        assert!(
            PipelineResponse::decode(&*written(&nothing))
                .unwrap()
                .scores
                .is_empty()
        );
    }
}
