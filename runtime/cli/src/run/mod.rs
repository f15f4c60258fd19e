//! `run`: a pipeline over a file of topics.

mod ask;
mod output;

use futures_util::{StreamExt, stream};
use routir_core::Ranking;
use routir_trec::Topic;
use serde_json::json;

use crate::args::Run;
use crate::client::Client;
use crate::failure::{Told, from_trec, wrong};
use crate::progress::{Progress, Unit};
use crate::wire::{self, Blueprint, Places};
use crate::{out, pipeline, reactor};
use ask::{Asked, Question};
use output::{Form, Output};

/// How many failed topics are named.
const NAMED: usize = 20;

/// Runs a pipeline over topics and writes what it finds.
pub(crate) fn run(args: Run) -> anyhow::Result<()> {
    let topics = routir_trec::read_topics(&args.topics).map_err(from_trec)?;
    let reactor = reactor()?;
    let _within = reactor.enter();
    let limited = pipeline::with_limit(&args.pipeline, args.limit);
    let (asked, question) = prepare(&args, &limited)?;
    let form = Form {
        format: args.format,
        tag: args.tag,
        endpoint: asked.endpoint(),
        pipeline: question.pipeline.clone(),
        collection: question.collection.clone(),
    };
    output::check(&form)?;
    let mut output = if args.resume {
        Output::resume(&args.output, &form, &topics)?
    } else {
        Output::create(&args.output)?
    };
    let open: Vec<&Topic> = topics
        .iter()
        .filter(|topic| !output.has(&topic.id))
        .collect();
    if open.len() < topics.len() {
        let kept = topics.len() - open.len();
        tracing::info!("{kept} topics are there already; {} to go", open.len());
    }

    let progress = Progress::default();
    let mut failed: Vec<(String, String)> = Vec::new();
    let written: anyhow::Result<()> = reactor.block_on(async {
        let ask = |topic| {
            let answer = asked.answer(&question, topic);
            async move { (topic, answer.await) }
        };
        let concurrency = usize::from(args.concurrency);
        let mut answers = stream::iter(open.iter().copied().map(ask)).buffered(concurrency);
        let mut done = 0;
        while let Some((topic, answer)) = answers.next().await {
            match block(&form, topic, answer, args.limit) {
                Ok(block) => output.write(&topic.id, &block)?,
                Err(why) => failed.push((topic.id.clone(), why)),
            }
            done += 1;
            progress.tell("topics", done, open.len() as u64, Unit::Items);
        }
        Ok(())
    });
    progress.finish();
    written?;
    output.finish(&topics)?;
    report(&failed, topics.len())
}

/// The block of a topic's answer, cut to the limit.
fn block(
    form: &Form,
    topic: &Topic,
    answer: Result<Ranking, String>,
    limit: usize,
) -> Result<Vec<u8>, String> {
    let mut ranking = answer?;
    ranking.truncate(limit);
    form.block(topic, &ranking).map_err(|why| why.to_string())
}

/// Whoever is to be asked, after a look at whether the pipeline makes sense there.
fn prepare(args: &Run, limited: &str) -> anyhow::Result<(Asked, Question)> {
    let question = |collection| Question {
        pipeline: limited.to_owned(),
        collection,
    };
    match (&args.config, &args.server) {
        (Some(config), _) => {
            let loaded = wire::load(config)?;
            let places = Places::borrowed(&loaded, &args.cache.cache_dir)?;
            let blueprint = Blueprint::draw(loaded, places)?;
            // Before any index is built, and as it was written, for messages that point into it.
            let drawn = blueprint.runtime()?;
            let collection = pipeline::collection(args.collection.clone(), &drawn.catalog());
            pipeline::plan(&drawn, &args.pipeline, collection.as_deref())?;
            pipeline::plan(&drawn, limited, collection.as_deref())?;
            let timeout = blueprint.loaded().config.rt.request_timeout();
            let built = blueprint.build(&args.cache.cache_dir, &Progress::default())?;
            Ok((
                Asked::Here(Box::new(built.runtime), timeout),
                question(collection),
            ))
        }
        (None, Some(server)) => {
            let client = Client::new(server, args.key.api_key.as_deref())?;
            let mut body = json!({"pipeline": args.pipeline, "query": ""});
            if let (Some(collection), Some(body)) = (&args.collection, body.as_object_mut()) {
                body.insert("collection".to_owned(), collection.as_str().into());
            }
            match client.post("/explain", &body) {
                // RoutIR has no such endpoint; it will say with the first topic.
                Err(refusal) if matches!(refusal.status, Some(404 | 405)) => {}
                Err(refusal) if refusal.is_ours() => return Err(wrong(refusal.to_string())),
                Err(refusal) => return Err(refusal.into()),
                Ok(_) => {}
            }
            Ok((Asked::There(client), question(args.collection.clone())))
        }
        (None, None) => Err(wrong("name a configuration, or a server with --server")),
    }
}

/// Names the topics that failed.
fn report(failed: &[(String, String)], topics: usize) -> anyhow::Result<()> {
    if failed.is_empty() {
        return Ok(());
    }
    let mut text = format!("error: {} of {topics} topics failed:\n", failed.len());
    for (topic, why) in failed.iter().take(NAMED) {
        text.push_str(&format!("  {topic}: {why}\n"));
    }
    if failed.len() > NAMED {
        text.push_str(&format!("  and {} more\n", failed.len() - NAMED));
    }
    text.push_str("the others are written; --resume tries the failed ones again\n");
    out::complain(&text);
    Err(Told.into())
}
