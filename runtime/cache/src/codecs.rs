//! Codecs of what services answer and collections hold.

use std::sync::Arc;

use routir_core::{BytesParts, DocId, Document, Hit, Payload, Ranking};

use crate::{Codec, Reader, Writer};

/// Of rankings.
#[derive(Clone, Copy, Debug)]
pub struct Rankings;

impl Codec<Arc<Ranking>> for Rankings {
    fn kind(&self) -> &'static str {
        "ranking"
    }

    fn encode(&self, value: &Arc<Ranking>, out: &mut Writer) {
        out.count(value.len() as u64);
        for hit in value.hits() {
            out.text(&hit.doc);
            out.number(hit.score);
        }
    }

    fn decode(&self, from: &mut Reader<'_>) -> Option<Arc<Ranking>> {
        let count = from.items(9)?;
        let mut hits = Vec::with_capacity(count);
        for _ in 0..count {
            let doc = DocId::from(from.text()?);
            hits.push(Hit::new(doc, from.number()?));
        }
        Ranking::from_hits(hits).ok().map(Arc::new)
    }
}

/// Of scores, one for each passage.
#[derive(Clone, Copy, Debug)]
pub struct Scores;

impl Codec<Arc<[f64]>> for Scores {
    fn kind(&self) -> &'static str {
        "scores"
    }

    fn encode(&self, value: &Arc<[f64]>, out: &mut Writer) {
        out.count(value.len() as u64);
        value.iter().for_each(|score| out.number(*score));
    }

    fn decode(&self, from: &mut Reader<'_>) -> Option<Arc<[f64]>> {
        let count = from.items(8)?;
        let scores = (0..count).map(|_| from.number().filter(|score| score.is_finite()));
        scores.collect()
    }
}

/// Of texts, such as sub-queries.
#[derive(Clone, Copy, Debug)]
pub struct Texts;

impl Codec<Arc<[Arc<str>]>> for Texts {
    fn kind(&self) -> &'static str {
        "texts"
    }

    fn encode(&self, value: &Arc<[Arc<str>]>, out: &mut Writer) {
        out.count(value.len() as u64);
        value.iter().for_each(|text| out.text(text));
    }

    fn decode(&self, from: &mut Reader<'_>) -> Option<Arc<[Arc<str>]>> {
        let count = from.items(1)?;
        (0..count).map(|_| from.text().map(Arc::from)).collect()
    }
}

/// What a document's payload is.
const TEXT: u64 = 0;
const BYTES: u64 = 1;

/// Of documents.
#[derive(Clone, Copy, Debug)]
pub struct Documents;

impl Codec<Arc<Document>> for Documents {
    fn kind(&self) -> &'static str {
        "document"
    }

    fn encode(&self, value: &Arc<Document>, out: &mut Writer) {
        out.text(&value.id);
        match &value.payload {
            Payload::Text(text) => {
                out.count(TEXT);
                out.text(text);
            }
            Payload::Bytes(bytes) => {
                out.count(BYTES);
                out.maybe_text(bytes.mime.as_deref());
                out.count(bytes.parts.len() as u64);
                bytes.parts.iter().for_each(|part| out.bytes(part));
            }
        }
        out.maybe_text(value.title.as_deref());
        out.maybe_text(value.language.as_deref());
    }

    fn decode(&self, from: &mut Reader<'_>) -> Option<Arc<Document>> {
        let id = DocId::from(from.text()?);
        let payload = match from.count()? {
            TEXT => Payload::Text(Arc::from(from.text()?)),
            BYTES => {
                let mime = from.maybe_text()?.map(Arc::from);
                let count = from.items(1)?;
                let part = |_| from.bytes().map(|part| part.to_vec().into());
                let parts = (0..count).map(part).collect::<Option<_>>()?;
                Payload::Bytes(BytesParts { parts, mime })
            }
            _ => return None,
        };
        Some(Arc::new(Document {
            id,
            payload,
            title: from.maybe_text()?.map(Arc::from),
            language: from.maybe_text()?.map(Arc::from),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back<V>(codec: &impl Codec<V>, value: &V) -> Option<V> {
        let mut out = Writer::default();
        codec.encode(value, &mut out);
        let bytes = out.into_bytes();
        // Cut short it is nothing, wherever the cut.
        for end in 0..bytes.len() {
            assert!(codec.decode(&mut Reader::new(&bytes[..end])).is_none());
        }
        let mut from = Reader::new(&bytes);
        let value = codec.decode(&mut from);
        assert!(from.is_done());
        value
    }

    #[test]
    fn each_kind_comes_back_as_it_was() {
        let hits = vec![Hit::new("a", 0.1 + 0.2), Hit::new("ü", -1.0e-300)];
        let ranking = Arc::new(Ranking::from_hits(hits).unwrap());
        assert_eq!(there_and_back(&Rankings, &ranking), Some(ranking));
        let scores: Arc<[f64]> = Arc::from([1.5, -0.0, 3.0]);
        assert_eq!(there_and_back(&Scores, &scores), Some(scores));
        let texts: Arc<[Arc<str>]> = Arc::from([Arc::from("one"), Arc::from("")]);
        assert_eq!(there_and_back(&Texts, &texts), Some(texts));
        let parts: Vec<_> = [b"one".to_vec(), Vec::new()].map(Into::into).into();
        let bytes = BytesParts {
            parts: Arc::from(parts),
            mime: Some("image/jpeg".into()),
        };
        for payload in [Payload::Text("text".into()), Payload::Bytes(bytes)] {
            let document = Arc::new(Document {
                id: "d".into(),
                payload,
                title: None,
                language: Some("deu".into()),
            });
            assert_eq!(there_and_back(&Documents, &document), Some(document));
        }
    }

    #[test]
    fn a_score_that_is_no_number_makes_no_ranking() {
        let mut out = Writer::default();
        out.count(1);
        out.text("d");
        out.number(f64::NAN);
        let bytes = out.into_bytes();
        assert!(Rankings.decode(&mut Reader::new(&bytes)).is_none());
    }
}
