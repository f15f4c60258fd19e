//! The output file: topics written whole, one after another, and found again after an interruption.
//!
//! Each topic is one block of bytes, written at once. A process that is killed leaves whole blocks
//! and at most one that is cut off, the last. [`Output::resume`] keeps the whole ones. Of a TREC
//! run nobody can tell whether the last block is whole, so it is dropped; of JSON lines one can.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Context;
use routir_core::Ranking;
use routir_trec::{QueryResults, ResultEntry, ResultsWriter, RunWriter, Topic};

use crate::args::RunFormat;
use crate::failure::{from_trec, wrong};

/// The longest line of an earlier output, in bytes: more than any limit makes.
const MAX_LINE: u64 = 1 << 30;

/// How a topic becomes a block.
pub(super) struct Form {
    pub(super) format: RunFormat,
    pub(super) tag: String,
    pub(super) endpoint: String,
    pub(super) pipeline: String,
    pub(super) collection: Option<String>,
}

impl Form {
    /// The block of one topic.
    ///
    /// # Errors
    /// When the format cannot say it, such as an id with white space in a TREC run.
    pub(super) fn block(&self, topic: &Topic, ranking: &Ranking) -> routir_trec::Result<Vec<u8>> {
        match self.format {
            RunFormat::Trec => {
                let mut writer = RunWriter::new(Vec::new(), self.tag.as_str())?;
                writer.write(&topic.id, ranking)?;
                writer.finish()
            }
            RunFormat::Jsonl => {
                let mut writer = ResultsWriter::new(Vec::new());
                writer.write(&QueryResults {
                    endpoint: self.endpoint.clone(),
                    pipeline: self.pipeline.clone(),
                    collection: self.collection.clone(),
                    query_id: topic.id.clone(),
                    query: topic.text.clone(),
                    results: ResultEntry::from_ranking(ranking),
                })?;
                writer.finish()
            }
        }
    }

    /// The topic of a line of an earlier output; an error when it is none of this run's.
    fn topic_of(&self, line: &str) -> Result<String, String> {
        let (topic, same) = match self.format {
            RunFormat::Trec => {
                let columns: Vec<_> = line.split_ascii_whitespace().collect();
                let [topic, _, _, _, _, tag] = columns.as_slice() else {
                    return Err("not a line of a TREC run".to_owned());
                };
                ((*topic).to_owned(), *tag == self.tag)
            }
            RunFormat::Jsonl => {
                let line: QueryResults = serde_json::from_str(line)
                    .map_err(|why| format!("not a line of results: {why}"))?;
                let same = line.pipeline == self.pipeline && line.collection == self.collection;
                (line.query_id, same)
            }
        };
        if same {
            Ok(topic)
        } else {
            Err("it comes from another run, by its tag or its pipeline".to_owned())
        }
    }
}

/// Where blocks go.
pub(super) enum Output {
    /// To stdout, one after another.
    Stdout,
    /// To a file.
    File(OutputFile),
}

/// A file of blocks and where each topic's lies.
pub(super) struct OutputFile {
    path: PathBuf,
    file: File,
    end: u64,
    blocks: HashMap<String, Range<u64>>,
}

impl Output {
    /// An output that starts empty.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let path = path.to_owned();
        Ok(Self::File(OutputFile {
            path,
            file,
            end: 0,
            blocks: HashMap::new(),
        }))
    }

    /// An output that keeps the whole blocks of an earlier run, if there is one.
    ///
    /// # Errors
    /// When the file is not that of an earlier run over these `topics` in this `form`.
    pub(super) fn resume(path: &Path, form: &Form, topics: &[Topic]) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Err(wrong("--resume needs a file; name one with --output"));
        }
        if !path.exists() {
            return Self::create(path);
        }
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let blocks = whole_blocks(&file, form)
            .map_err(|why| wrong(format!("--resume: {}{why}", path.display())))?;
        for topic in blocks.keys() {
            if !topics.iter().any(|known| known.id == *topic) {
                return Err(wrong(format!(
                    "--resume: {} has topic `{topic}`, which the topics do not; name another \
                     --output",
                    path.display()
                )));
            }
        }
        let end = blocks.values().map(|block| block.end).max().unwrap_or(0);
        file.set_len(end)?;
        Ok(Self::File(OutputFile {
            path: path.to_owned(),
            file,
            end,
            blocks,
        }))
    }

    /// Whether the topic is there already.
    pub(super) fn has(&self, topic: &str) -> bool {
        match self {
            Self::Stdout => false,
            Self::File(file) => file.blocks.contains_key(topic),
        }
    }

    /// Writes the block of a topic.
    pub(super) fn write(&mut self, topic: &str, block: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(block)?;
                stdout.flush()?;
            }
            Self::File(file) => file.write(topic, block)?,
        }
        Ok(())
    }

    /// Makes sure that everything is on disk and in the topics' order.
    pub(super) fn finish(self, topics: &[Topic]) -> anyhow::Result<()> {
        match self {
            Self::Stdout => Ok(()),
            Self::File(file) => file.finish(topics),
        }
    }
}

impl OutputFile {
    fn write(&mut self, topic: &str, block: &[u8]) -> anyhow::Result<()> {
        let place = || format!("cannot write {}", self.path.display());
        self.file
            .seek(SeekFrom::Start(self.end))
            .with_context(place)?;
        self.file.write_all(block).with_context(place)?;
        let start = self.end;
        self.end += block.len() as u64;
        self.blocks.insert(topic.to_owned(), start..self.end);
        Ok(())
    }

    fn finish(self, topics: &[Topic]) -> anyhow::Result<()> {
        let place = || format!("cannot write {}", self.path.display());
        let blocks: Vec<_> = topics
            .iter()
            .filter_map(|topic| self.blocks.get(&topic.id))
            .collect();
        if blocks.is_sorted_by_key(|block| block.start) {
            return self.file.sync_all().with_context(place);
        }
        // Topics that had failed came after their successors: put all in order aside, then swap.
        let directory = match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let aside = tempfile::NamedTempFile::new_in(directory).with_context(place)?;
        aside
            .as_file()
            .set_permissions(self.file.metadata()?.permissions())?;
        let mut sorted = BufWriter::new(aside.as_file());
        for block in blocks {
            let mut file = &self.file;
            file.seek(SeekFrom::Start(block.start))?;
            io::copy(&mut file.take(block.end - block.start), &mut sorted).with_context(place)?;
        }
        sorted.flush().with_context(place)?;
        drop(sorted);
        aside.as_file().sync_all().with_context(place)?;
        aside.persist(&self.path).with_context(place)?;
        Ok(())
    }
}

/// The whole blocks of an earlier output by topic.
fn whole_blocks(file: &File, form: &Form) -> Result<HashMap<String, Range<u64>>, String> {
    let mut blocks: HashMap<String, Range<u64>> = HashMap::new();
    let mut last: Option<String> = None;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let (mut start, mut number) = (0, 0_u64);
    loop {
        line.clear();
        number += 1;
        let length = reader
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .map_err(|why| format!(":{number}: {why}"))? as u64;
        // A line without its end was cut off.
        if line.pop() != Some(b'\n') {
            break;
        }
        let line = std::str::from_utf8(&line).map_err(|why| format!(":{number}: {why}"))?;
        let topic = form.topic_of(line).map_err(|why| {
            format!(":{number}: {why}; name another --output, or leave --resume out")
        })?;
        let end = start + length;
        if last.as_deref() == Some(&topic) && form.format == RunFormat::Trec {
            if let Some(block) = blocks.get_mut(&topic) {
                block.end = end;
            }
        } else if blocks.insert(topic.clone(), start..end).is_some() {
            return Err(format!(":{number}: topic `{topic}` is there twice"));
        }
        last = Some(topic);
        start = end;
    }
    if let (Some(last), RunFormat::Trec) = (last, form.format) {
        blocks.remove(&last);
    }
    Ok(blocks)
}

/// Checks that the form can be written at all, before anything is asked.
///
/// # Errors
/// When the tag cannot stand in a TREC run.
pub(super) fn check(form: &Form) -> anyhow::Result<()> {
    match form.format {
        RunFormat::Trec => RunWriter::new(Vec::new(), form.tag.as_str())
            .map(drop)
            .map_err(from_trec),
        RunFormat::Jsonl => Ok(()),
    }
}
