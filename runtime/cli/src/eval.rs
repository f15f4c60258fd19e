//! `eval`: a run against judgements.

use std::fmt::Write as _;
use std::sync::Arc;

use routir_trec::{EvalOptions, Evaluation, Measure};
use serde_json::{Map, Value, json};

use crate::args::{Eval, EvalFormat};
use crate::failure::{from_trec, wrong};
use crate::out;

/// How many topics a warning names.
const NAMED: usize = 5;

/// Measures a run and prints the values.
pub(crate) fn run(args: &Eval) -> anyhow::Result<()> {
    let measures = measures(&args.measures)?;
    let qrels = routir_trec::read_qrels(&args.qrels).map_err(from_trec)?;
    let run = routir_trec::read_run(&args.run).map_err(from_trec)?;
    let options = EvalOptions {
        relevance_level: args.relevance_level,
        complete: !args.skip_missing,
        ..EvalOptions::default()
    };
    let found = routir_trec::evaluate(&qrels, &run, &measures, &options).map_err(from_trec)?;
    warn(
        "judged topics that are not in the run",
        &found.missing,
        if options.complete {
            "they count with 0"
        } else {
            "they are left out"
        },
    );
    warn(
        "topics of the run that have no judgements",
        &found.unjudged,
        "they are left out",
    );
    let text = match args.format {
        EvalFormat::Table => table(&found, args.per_topic),
        EvalFormat::Json => json(&found, args.per_topic),
        EvalFormat::Tsv => tsv(&found, args.per_topic),
    };
    Ok(out::print(&text)?)
}

/// The measures of these names; all names that mean nothing are reported at once.
fn measures(names: &[String]) -> anyhow::Result<Vec<Measure>> {
    if names.is_empty() {
        return Ok(Measure::defaults());
    }
    let mut measures = Vec::new();
    let mut problems: Vec<String> = Vec::new();
    for name in names
        .iter()
        .map(|name| name.trim())
        .filter(|name| !name.is_empty())
    {
        match name.parse::<Measure>() {
            Ok(measure) => measures.push(measure),
            Err(error) => problems.push(error.to_string()),
        }
    }
    if problems.is_empty() {
        Ok(measures)
    } else {
        Err(wrong(problems.join("\n")))
    }
}

fn warn(what: &str, topics: &[Arc<str>], then: &str) {
    if topics.is_empty() {
        return;
    }
    let mut names = topics
        .iter()
        .take(NAMED)
        .map(AsRef::as_ref)
        .collect::<Vec<_>>()
        .join(", ");
    if topics.len() > NAMED {
        names.push_str(", ...");
    }
    out::complain(&format!(
        "warning: {what}: {} ({names}); {then}\n",
        topics.len()
    ));
}

fn shown(measure: Measure, value: f64) -> String {
    if measure.is_count() {
        format!("{value:.0}")
    } else {
        format!("{:.4}", value)
    }
}

/// One line per topic and measure, with `all` in place of the topic for the mean.
fn tsv(found: &Evaluation, per_topic: bool) -> String {
    let mut text = String::new();
    let mut lines = |topic: &str, values: &[f64]| {
        for (measure, value) in found.measures.iter().zip(values) {
            let _ = writeln!(text, "{measure}\t{topic}\t{}", shown(*measure, *value));
        }
    };
    for topic in found.topics.iter().filter(|_| per_topic) {
        lines(&topic.topic, &topic.values);
    }
    lines("all", &found.overall);
    text
}

fn json(found: &Evaluation, per_topic: bool) -> String {
    let object = |values: &[f64]| -> Value {
        let entry = |(measure, value): (&Measure, &f64)| (measure.to_string(), json!(*value));
        found
            .measures
            .iter()
            .zip(values)
            .map(entry)
            .collect::<Map<_, _>>()
            .into()
    };
    let mut all = json!({
        "topics": found.topics.len(),
        "missing": found.missing,
        "unjudged": found.unjudged,
        "overall": object(&found.overall),
    });
    if per_topic {
        let topics = found.topics.iter();
        let topics = topics.map(|topic| (topic.topic.to_string(), object(&topic.values)));
        let topics = topics.collect::<Map<_, _>>();
        if let Some(all) = all.as_object_mut() {
            all.insert("per_topic".to_owned(), topics.into());
        }
    }
    format!("{all:#}\n")
}

/// One line per measure; with topics, one line per topic and a column per measure.
fn table(found: &Evaluation, per_topic: bool) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    if per_topic {
        let names = found.measures.iter().map(ToString::to_string);
        rows.push(std::iter::once("topic".to_owned()).chain(names).collect());
        let topics = found
            .topics
            .iter()
            .map(|topic| (&*topic.topic, &topic.values));
        for (topic, values) in topics.chain([("all", &found.overall)]) {
            let values = found.measures.iter().zip(values);
            let values = values.map(|(measure, value)| shown(*measure, *value));
            rows.push(std::iter::once(topic.to_owned()).chain(values).collect());
        }
    } else {
        for (measure, value) in found.measures.iter().zip(&found.overall) {
            rows.push(vec![measure.to_string(), shown(*measure, *value)]);
        }
    }
    aligned(&rows)
}

/// Columns aligned: the first to the left, the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_measures_that_mean_nothing_are_named_at_once() {
        let names = ["nDCG@10", "MAPP", "P@x"].map(str::to_owned);
        let error = measures(&names).unwrap_err().to_string();
        assert!(
            error.contains("`MAPP`") && error.contains("`P@x`"),
            "{error}"
        );
        assert!(!error.contains("nDCG@10`;"), "{error}");
    }
}
