//! Topics: what is asked. Tab-separated, JSON lines or TREC's tagged text, told apart by content.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use crate::lines::{Lines, MAX_LINE_BYTES, json_problem};
use crate::{Error, Result};

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its id.
    pub id: String,
    /// Its query.
    pub text: String,
}

/// Reads a file of topics, plain or gzip-compressed, in one of three formats:
/// - `id<TAB>text` lines (further tabs belong to the text);
/// - JSON lines with the id under `id`, `qid` or `query_id` (text or a whole number) and the query
///   under `text`, `query` or `title`, the first that is there;
/// - TREC's `<top>` blocks with `<num>` and `<title>`, end tags optional.
///
/// # Errors
/// A file that cannot be read, a line that does not follow its format, a topic without id or
/// text, or one whose id was there before.
pub fn read_topics(path: impl AsRef<Path>) -> Result<Vec<Topic>> {
    read(Lines::open(path.as_ref())?)
}

/// Reads topics from `source`, which errors call `name`.
///
/// # Errors
/// As [`read_topics`].
pub fn parse_topics(name: &str, source: impl Read + Send + 'static) -> Result<Vec<Topic>> {
    read(Lines::new(name, source)?)
}

/// Topics with different ids, in the file's order.
#[derive(Default)]
struct Topics {
    list: Vec<Topic>,
    ids: HashSet<String>,
}

impl Topics {
    fn add(&mut self, id: &str, text: &str) -> Result<(), String> {
        let (id, text) = (id.trim(), text.trim());
        if id.is_empty() {
            return Err("the topic has no id".to_owned());
        }
        if text.is_empty() {
            return Err(format!("topic `{id}` has no text"));
        }
        if !self.ids.insert(id.to_owned()) {
            return Err(format!("topic `{id}` was there before; ids must differ"));
        }
        self.list.push(Topic {
            id: id.to_owned(),
            text: text.to_owned(),
        });
        Ok(())
    }
}

fn read(mut lines: Lines) -> Result<Vec<Topic>> {
    let mut topics = Topics::default();
    if lines.next_line()?.is_none() {
        return Ok(topics.list);
    }
    match lines.last_line().trim_start().chars().next() {
        Some('<') => read_tagged(&mut lines, &mut topics)?,
        Some('{') => each_line(&mut lines, |line| add_json(line, &mut topics))?,
        _ => each_line(&mut lines, |line| {
            let (id, text) = line
                .split_once('\t')
                .ok_or("expected `id<TAB>text`, found no tab character")?;
            topics.add(id, text)
        })?,
    }
    Ok(topics.list)
}

/// Calls `each` with every line from the current one on.
fn each_line(lines: &mut Lines, mut each: impl FnMut(&str) -> Result<(), String>) -> Result<()> {
    loop {
        each(lines.last_line()).map_err(|problem| lines.problem(problem))?;
        if lines.next_line()?.is_none() {
            return Ok(());
        }
    }
}

fn add_json(line: &str, topics: &mut Topics) -> Result<(), String> {
    let object: Map<String, Value> = serde_json::from_str(line)
        .map_err(|error| format!("expected a JSON object: {}", json_problem(&error)))?;
    let first = |keys: [&str; 3]| {
        let found = keys
            .into_iter()
            .find_map(|key| object.get(key).filter(|v| !v.is_null()));
        found.ok_or_else(|| format!("expected one of the fields `{}`", keys.join("`, `")))
    };
    let id = match first(["id", "qid", "query_id"])? {
        Value::String(id) => id.clone(),
        Value::Number(id) if !id.is_f64() => id.to_string(),
        other => {
            return Err(format!(
                "the id must be a string or a whole number, not {other}"
            ));
        }
    };
    let Value::String(text) = first(["text", "query", "title"])? else {
        return Err(format!("the text of topic `{id}` must be a string"));
    };
    topics.add(&id, text)
}

/// The part of a `<top>` block that is being read.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    /// Outside of any block.
    Outside,
    Number,
    Title,
    /// Anything else in a block: description, narrative.
    Other,
}

/// A block as far as it was read.
struct Block {
    part: Part,
    start: u64,
    number: String,
    title: String,
}

fn read_tagged(lines: &mut Lines, topics: &mut Topics) -> Result<()> {
    let mut block = Block {
        part: Part::Outside,
        start: 0,
        number: String::new(),
        title: String::new(),
    };
    loop {
        let number = lines.number();
        block
            .line(lines.last_line(), number, topics)
            .map_err(|problem| lines.problem(problem))?;
        if lines.next_line()?.is_none() {
            break;
        }
    }
    if block.part == Part::Outside {
        Ok(())
    } else {
        Err(unclosed(lines, block.start))
    }
}

fn unclosed(lines: &Lines, start: u64) -> Error {
    lines.problem_at(start, "`<top>` is not closed by `</top>`")
}

impl Block {
    fn line(&mut self, line: &str, number: u64, topics: &mut Topics) -> Result<(), String> {
        let mut rest = line;
        while let Some((before, tag, after)) = next_tag(rest) {
            self.text(before)?;
            self.tag(&tag, number, topics)?;
            rest = after;
        }
        self.text(rest)
    }

    fn tag(&mut self, tag: &str, number: u64, topics: &mut Topics) -> Result<(), String> {
        match (tag, self.part) {
            ("top", Part::Outside) => {
                self.number.clear();
                self.title.clear();
                self.start = number;
                self.part = Part::Other;
            }
            ("top", _) => {
                return Err(format!(
                    "`<top>` inside the block that line {} opens",
                    self.start
                ));
            }
            (_, Part::Outside) => {} // A frame around the blocks, such as `<topics>`.
            ("/top", _) => {
                self.part = Part::Outside;
                let id = without_label(&self.number, "number:");
                let title = without_label(&self.title, "topic:");
                topics.add(id, &unescape(title))?;
            }
            ("num", _) => self.part = Part::Number,
            ("title", _) => self.part = Part::Title,
            _ => self.part = Part::Other,
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        let words = text.split_whitespace();
        let target = match self.part {
            Part::Number => &mut self.number,
            Part::Title => &mut self.title,
            Part::Other => return Ok(()),
            Part::Outside => match text.trim() {
                "" => return Ok(()),
                other => {
                    let shown: String = other.chars().take(40).collect();
                    return Err(format!("expected `<top>`, found `{shown}`"));
                }
            },
        };
        for word in words {
            if !target.is_empty() {
                target.push(' ');
            }
            target.push_str(word);
        }
        if target.len() > MAX_LINE_BYTES {
            return Err(format!("the topic is longer than {MAX_LINE_BYTES} bytes"));
        }
        Ok(())
    }
}

/// The next tag of a line: what stands before it, its name in lower case without attributes, and
/// what comes after. A `<` that starts no tag ("x < y") is text.
fn next_tag(line: &str) -> Option<(&str, String, &str)> {
    for (start, _) in line.match_indices('<') {
        let (before, tail) = line.split_at(start);
        let tail = tail.strip_prefix('<')?;
        let opens = |c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '?' | '!');
        if tail.starts_with(opens) {
            // Without any `>` ahead there is no tag ahead either: keeps the search linear.
            let (inside, after) = tail.split_once('>')?;
            let name = inside.split_whitespace().next().unwrap_or_default();
            return Some((before, name.to_ascii_lowercase(), after));
        }
    }
    None
}

/// Old topics repeat a label after the tag: `<num> Number: 301`.
fn without_label<'a>(text: &'a str, label: &str) -> &'a str {
    match text.split_at_checked(label.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(label) => rest.trim_start(),
        _ => text,
    }
}

fn unescape(text: &str) -> String {
    // `&amp;` last, so that `&amp;lt;` stays `&lt;`.
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (entity, plain)| {
        text.replace(entity, plain)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<Topic>> {
        parse_topics("topics", Cursor::new(text.as_bytes().to_vec()))
    }

    fn pairs(text: &str) -> Vec<(String, String)> {
        read(text)
            .unwrap()
            .into_iter()
            .map(|topic| (topic.id, topic.text))
            .collect()
    }

    fn pair(id: &str, text: &str) -> (String, String) {
        (id.to_owned(), text.to_owned())
    }

    #[test]
    fn tab_separated_text_keeps_its_further_tabs() {
        let expected = [pair("1", "one query"), pair("q-2", "two\ttabs")];
        assert_eq!(
            pairs("\u{feff}1\tone query \r\n\r\nq-2\ttwo\ttabs"),
            expected
        );
        assert!(pairs("").is_empty());
    }

    #[test]
    fn json_lines_may_call_their_fields_by_either_name() {
        let text = concat!(
            r#"{"id": 1, "text": "one", "title": "not this"}"#,
            "\n",
            r#"{"qid": "2", "query": "two", "text": null}"#,
            "\n\n",
            r#"{"query_id": "3", "title": "three", "lang": ["x"]}"#,
        );
        assert_eq!(
            pairs(text),
            [pair("1", "one"), pair("2", "two"), pair("3", "three")]
        );
    }

    #[test]
    fn tagged_topics_with_labels_and_without_end_tags() {
        let text = "<top>\n<num> Number: 301 \n<title> Topic: Organized\n  Crime, R&D\n\n<desc> Description:\n\
                    What < is > it?\n<narr> Narrative:\nnothing\n</top>\n\n<TOP><NUM>Number: 302</NUM>\
                    <title>a &lt;b&gt; &amp;lt; x < y</title></TOP>\n";
        let expected = [
            pair("301", "Organized Crime, R&D"),
            pair("302", "a <b> &lt; x < y"),
        ];
        assert_eq!(pairs(text), expected);
    }

    #[test]
    fn tagged_topics_may_stand_in_a_frame() {
        let text = "<?xml version=\"1.0\"?>\n<topics>\n<top>\n<num>1</num>\n<title>\nONE\n</title>\n</top>\n</topics>";
        assert_eq!(pairs(text), [pair("1", "ONE")]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, message) in [
            (
                "1\tx\n2 y\n",
                "topics:2: expected `id<TAB>text`, found no tab character",
            ),
            (
                "1\tx\n1\ty\n",
                "topics:2: topic `1` was there before; ids must differ",
            ),
            ("1\t \n", "topics:1: topic `1` has no text"),
            ("\tx\n", "topics:1: the topic has no id"),
            (
                "{\"id\":\"1\"}\n",
                "topics:1: expected one of the fields `text`, `query`, `title`",
            ),
            (
                "{\"text\":\"1\"}\n",
                "topics:1: expected one of the fields `id`, `qid`, `query_id`",
            ),
            (
                "{\"id\":1.5,\"text\":\"x\"}\n",
                "topics:1: the id must be a string or a whole number, not 1.5",
            ),
            (
                "{\"id\":1,\"text\":2}\n",
                "topics:1: the text of topic `1` must be a string",
            ),
            (
                "{\"id\":\"1\",\"text\":\"x\"}\n{\"id\":\n",
                "topics:2: expected a JSON object: EOF while parsing a value at column 6",
            ),
            (
                "<top>\n<num>1\n<title>x\n",
                "topics:1: `<top>` is not closed by `</top>`",
            ),
            (
                "<top>\n<num>1\n<top>\n",
                "topics:3: `<top>` inside the block that line 1 opens",
            ),
            ("<top>\n<num>1\n</top>\n", "topics:3: topic `1` has no text"),
            ("<top>\n<title>x\n</top>\n", "topics:3: the topic has no id"),
            ("<top></top> stray\n", "topics:1: the topic has no id"),
            (
                "<xml>\nstray words\n",
                "topics:2: expected `<top>`, found `stray words`",
            ),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn a_long_line_of_brackets_is_read_in_linear_time() {
        let text = format!("<top>\n<num>1\n<title>{}\n</top>", "< ".repeat(500_000));
        assert!(read(&text).unwrap()[0].text.starts_with("< <"));
        let text = format!("<top>\n<num>1\n<title>{}>\n</top>", "<".repeat(1_000_000));
        assert!(read(&text).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\t\n<>{}\"/]{0,120}") {
            let _ = read(&text);
        }

        #[test]
        fn no_blocks_panic(parts in proptest::collection::vec(
            prop_oneof!["<top>", "</top>", "<num>", "<title>", "<", ">", "\n", "é", "1", "&amp;"], 0..40))
        {
            let _ = read(&format!("<top>{}", parts.concat()));
        }
    }
}
