//! `TrecRun`: replays rankings that were computed before.
//!
//! | key | means | default |
//! |---|---|---|
//! | `run` | a TREC run file or a list of them, plain or gzip-compressed | required |
//! | `topics` | the file of topics whose rankings these are | required |
//! | `unknown_query` | what to do with a query that is no topic: `error` or `empty` | `error` |
//!
//! A query is found by its text, exactly but for letter case and white space: both are put into
//! lower case, trimmed, and every run of white space counts as one space. A topic without lines in
//! any run has an empty ranking. Documents come in this house's order, score descending and then
//! id ascending, whatever the rank column says.

use std::collections::HashMap;
use std::sync::Arc;

use routir_core::{
    Batching, BoxFuture, Error, ParamsSpec, Ranking, Result, Roles, SearchEngine, SearchRequest,
};
use routir_trec::{Topic, read_run, read_topics};

use crate::build::{BuildEnv, EngineSpec};
use crate::options::Options;

struct TrecRun {
    rankings: HashMap<String, Arc<Ranking>>,
    unknown: Unknown,
}

#[derive(Clone, Copy)]
enum Unknown {
    Error,
    Empty,
}

/// Lower case, trimmed, single spaces.
fn normalise(query: &str) -> String {
    let mut normal = String::with_capacity(query.len());
    for word in query.split_whitespace() {
        if !normal.is_empty() {
            normal.push(' ');
        }
        normal.extend(word.chars().flat_map(char::to_lowercase));
    }
    normal
}

impl SearchEngine for TrecRun {
    // A look-up and as many reference counts as hits: done in place, a thread would cost more.
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(async move { batch.iter().map(|request| self.answer(request)).collect() })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }

    fn prefix_stable(&self) -> bool {
        true
    }

    fn batching(&self) -> Batching {
        Batching::Alone
    }
}

impl TrecRun {
    fn answer(&self, request: &SearchRequest) -> Result<Ranking> {
        match (self.rankings.get(&normalise(&request.query)), self.unknown) {
            (Some(ranking), _) => {
                Ranking::from_hits(ranking.hits().iter().take(request.limit).cloned().collect())
            }
            (None, Unknown::Empty) => Ok(Ranking::default()),
            (None, Unknown::Error) => {
                let shown: String = request.query.chars().take(80).collect();
                Err(Error::invalid(format!(
                    "the query `{shown}` is none of the topics whose rankings are replayed"
                )))
            }
        }
    }
}

pub(crate) fn build(spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Roles> {
    let mut options = Options::new(spec.config);
    let runs = options.texts("run");
    let runs = options.require("run", runs);
    let topics = options.text("topics");
    let topics = options.require("topics", topics);
    let choices = [("error", Unknown::Error), ("empty", Unknown::Empty)];
    let unknown = options
        .choice("unknown_query", &choices)
        .unwrap_or(Unknown::Error);
    options.finish()?;
    let topics = read_topics((env.resolve_path)(topics.unwrap_or_default()))?;
    let mut by_topic = HashMap::new();
    for path in runs.unwrap_or_default() {
        for topic in read_run((env.resolve_path)(path))?.topics() {
            let ranking = Arc::new(topic.ranking()?);
            if by_topic.insert(topic.topic.to_string(), ranking).is_some() {
                let what = format!(
                    "topic `{}` is in `{path}` and in another run before it",
                    topic.topic
                );
                return Err(Error::invalid(format!(
                    "{what}; each topic may be in one run only"
                )));
            }
        }
    }
    let rankings = by_query(spec.name, topics, by_topic)?;
    Ok(Roles {
        search: Some(Arc::new(TrecRun { rankings, unknown })),
        ..Roles::default()
    })
}

fn by_query(
    service: &str,
    topics: Vec<Topic>,
    mut by_topic: HashMap<String, Arc<Ranking>>,
) -> Result<HashMap<String, Arc<Ranking>>> {
    let mut rankings: HashMap<String, (String, Arc<Ranking>)> = HashMap::new();
    for topic in topics {
        let ranking = by_topic.remove(&topic.id).unwrap_or_else(|| {
            tracing::warn!(
                service,
                topic = topic.id,
                "no run has this topic; its ranking is empty"
            );
            Arc::default()
        });
        match rankings.get(&normalise(&topic.text)) {
            Some((other, same)) if *same != ranking => {
                return Err(Error::invalid(format!(
                    "topics `{other}` and `{}` have the same text but different rankings; remove one",
                    topic.id
                )));
            }
            Some(_) => {}
            None => drop(rankings.insert(normalise(&topic.text), (topic.id, ranking))),
        }
    }
    if !by_topic.is_empty() {
        let topics = by_topic.len();
        tracing::warn!(
            service,
            topics,
            "the run has topics that the topics file does not; no query finds them"
        );
    }
    Ok(rankings
        .into_iter()
        .map(|(query, (_, ranking))| (query, ranking))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn letter_case_and_white_space_do_not_tell_queries_apart() {
        assert_eq!(
            normalise("  Flexible\t CAPACITIES\n\u{a0}of \u{c4}rzte "),
            "flexible capacities of \u{e4}rzte"
        );
        assert_ne!(normalise("a b"), normalise("ab"));
    }
}
