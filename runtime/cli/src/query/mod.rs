//! `query`: one query against a running server, for people.

mod snippet;

use std::fmt::Write as _;
use std::time::Instant;

use console::{Style, Term};
use routir_core::Ranking;
use serde_json::{Value, json};
use std::io::IsTerminal;

use crate::args::Query;
use crate::client::{Client, Refusal};
use crate::failure::wrong;
use crate::{out, pipeline};
use snippet::{Words, plain};

/// The widest and narrowest that text is set, and what is taken without a terminal, in columns.
const WIDEST: usize = 110;
const NARROWEST: usize = 40;
const NO_TERMINAL: usize = 100;
/// Lines of a document's text that are shown.
const LINES: usize = 2;

/// Asks a server and shows what it finds.
pub(crate) fn run(args: &Query) -> anyhow::Result<()> {
    let (url, text) = split(&args.words, &args.server);
    let client = Client::new(url, args.key.api_key.as_deref())?;
    let offer = client.get("/avail").map_err(told)?;
    let asked = match &args.pipeline {
        Some(pipeline) => pipeline.clone(),
        None => only(&offer, "search")
            .map(str::to_owned)
            .ok_or_else(|| which(&offer))?,
    };
    let limited = pipeline::with_limit(&asked, args.limit);
    let collection = args
        .collection
        .as_deref()
        .or_else(|| only(&offer, "content"));
    let started = Instant::now();
    let mut ranking = client.pipeline(&limited, &text, collection).map_err(told)?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    ranking.truncate(args.limit);

    let page = Page::of_stdout();
    let mut shown = format!(
        "{} document{} by {} in {took:.0} ms\n",
        ranking.len(),
        if ranking.len() == 1 { "" } else { "s" },
        page.bold.apply_to(plain(&limited))
    );
    let documents = match collection {
        Some(collection) => fetch(&client, collection, &ranking),
        None => Vec::new(),
    };
    page.hits(&mut shown, &ranking, &documents, &Words::of(&text));
    Ok(out::print(&shown)?)
}

/// The server and the query that `words` say.
fn split<'a>(words: &'a [String], server: &'a str) -> (&'a str, String) {
    match words {
        [url, text @ ..] if !text.is_empty() && url.contains("://") => (url, text.join(" ")),
        text => (server, text.join(" ")),
    }
}

fn told(refusal: Refusal) -> anyhow::Error {
    if refusal.is_ours() {
        wrong(refusal.to_string())
    } else {
        refusal.into()
    }
}

fn names<'a>(offer: &'a Value, kind: &str) -> Vec<&'a str> {
    let list = offer.get(kind).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// The name of the only thing of this kind that a server offers.
fn only<'a>(offer: &'a Value, kind: &str) -> Option<&'a str> {
    match names(offer, kind).as_slice() {
        [name] => Some(name),
        _ => None,
    }
}

/// What to do when the pipeline is not said and cannot be guessed.
fn which(offer: &Value) -> anyhow::Error {
    let aliases = offer.get("pipeline_aliases").and_then(Value::as_object);
    let aliases = aliases
        .into_iter()
        .flat_map(|aliases| aliases.keys().map(String::as_str));
    let known: Vec<_> = names(offer, "search").into_iter().chain(aliases).collect();
    if known.is_empty() {
        return wrong("the server has no service that searches");
    }
    wrong(format!(
        "say which with --pipeline; the server has {}",
        known.join(", ")
    ))
}

/// The documents of a ranking, as far as the server gives them.
fn fetch(client: &Client, collection: &str, ranking: &Ranking) -> Vec<Option<Value>> {
    let mut complained = false;
    let document = |hit: &routir_core::Hit| {
        let body = json!({"collection": collection, "id": hit.doc});
        let answer = client.post("/content", &body);
        if let (Err(why), false) = (&answer, complained) {
            complained = true;
            out::complain(&format!("warning: no text: {why}\n"));
        }
        answer.ok()
    };
    ranking.into_iter().map(document).collect()
}

/// How results are set.
struct Page {
    width: usize,
    bold: Style,
    dim: Style,
}

impl Page {
    /// As wide as the terminal, and with emphasis if there is one.
    fn of_stdout() -> Self {
        let on_terminal = std::io::stdout().is_terminal() && console::colors_enabled();
        let width = match Term::stdout().size_checked() {
            Some((_, columns)) => usize::from(columns).clamp(NARROWEST, WIDEST),
            None => NO_TERMINAL,
        };
        let style = || Style::new().force_styling(on_terminal);
        Self {
            width,
            bold: style().bold(),
            dim: style().dim(),
        }
    }

    fn hits(
        &self,
        text: &mut String,
        ranking: &Ranking,
        documents: &[Option<Value>],
        words: &Words,
    ) {
        let digits = ranking.len().to_string().len();
        let widest = ranking
            .into_iter()
            .map(|hit| score(hit.score).len())
            .max()
            .unwrap_or(0);
        let indent = digits + 2;
        for (place, hit) in ranking.into_iter().enumerate() {
            let document = documents.get(place).and_then(Option::as_ref);
            let field = |name| {
                document?
                    .get(name)?
                    .as_str()
                    .filter(|text| !text.is_empty())
            };
            let title = plain(field("title").unwrap_or_default());
            let _ = writeln!(
                text,
                "\n{:>digits$}  {:>widest$}  {}{}{}",
                place + 1,
                score(hit.score),
                self.dim.apply_to(plain(&hit.doc)),
                if title.is_empty() { "" } else { "  " },
                self.bold.apply_to(&title),
            );
            let body = field("text").map(|text| without_title(text, field("title")));
            let room = self.width.saturating_sub(indent).max(1);
            for line in words.snippet(body.unwrap_or_default(), room, LINES) {
                let _ = write!(text, "{:indent$}", "");
                for (i, (word, found)) in line.iter().enumerate() {
                    let space = if i == 0 { "" } else { " " };
                    let _ = match found {
                        true => write!(text, "{space}{}", self.bold.apply_to(word)),
                        false => write!(text, "{space}{word}"),
                    };
                }
                text.push('\n');
            }
        }
    }
}

fn score(score: f64) -> String {
    format!("{score:.4}")
}

/// Views often begin their text with the title, which has been shown.
fn without_title<'a>(text: &'a str, title: Option<&str>) -> &'a str {
    title
        .and_then(|title| text.strip_prefix(title))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_before_the_text_is_the_server() {
        let words = |list: &[&str]| {
            list.iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        let split = |list: &[&str]| {
            let words = words(list);
            let (url, text) = split(&words, "default");
            (url.to_owned(), text)
        };
        assert_eq!(
            split(&["http://h:1", "a", "b"]),
            ("http://h:1".to_owned(), "a b".to_owned())
        );
        assert_eq!(split(&["a b"]), ("default".to_owned(), "a b".to_owned()));
        assert_eq!(
            split(&["http://h:1"]),
            ("default".to_owned(), "http://h:1".to_owned())
        );
    }
}
