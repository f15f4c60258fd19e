//! Documents on their way to a model: read and made into tokens on threads of their own while the
//! model computes, and handed over in windows that are large enough to be sorted by length.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread;

use routir_compute::Tokens;
use routir_core::{DocId, DocumentScan, Error, Result, TextDocument};

/// How many documents, and bytes of their text, are made into tokens at once.
const CHUNK_DOCUMENTS: usize = 512;
const CHUNK_BYTES: usize = 4 << 20;

/// The most documents of a window.
const WINDOW_DOCUMENTS: usize = 8192;

/// How many windows wait for the model.
pub(crate) const WINDOWS_AHEAD: usize = 2;

/// A document as the model reads it.
pub(crate) struct Item {
    /// As which of the documents with text it was read.
    pub(crate) ordinal: u64,
    pub(crate) id: DocId,
    pub(crate) tokens: Result<Tokens>,
}

/// Documents that follow each other.
pub(crate) type Window = Vec<Item>;

/// How documents are read.
pub(crate) struct Feed<'a> {
    pub(crate) documents: &'a dyn DocumentScan,
    /// Whether the document with this ordinal is to be encoded.
    pub(crate) wanted: &'a (dyn Fn(u64) -> bool + Sync),
    pub(crate) tokens: &'a (dyn Fn(&str) -> Result<Tokens> + Sync),
    /// How many tokens make a window.
    pub(crate) window_tokens: usize,
    /// How many threads make tokens.
    pub(crate) threads: usize,
    /// Counts the documents that have been passed, wanted or not.
    pub(crate) passed: &'a AtomicU64,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Documents with text.
    pub(crate) documents: u64,
    /// Documents whose text is blank; they are left out.
    pub(crate) blank: u64,
}

struct Text {
    ordinal: u64,
    document: TextDocument,
}

impl Feed<'_> {
    /// Reads to the end, or until nobody takes windows any more.
    ///
    /// # Errors
    /// When the documents cannot be read.
    pub(crate) fn run(&self, windows: &SyncSender<Window>) -> Result<Passed> {
        let mut passed = Passed::default();
        let mut chunk: Vec<Text> = Vec::new();
        let mut bytes = 0;
        let mut out = Out {
            windows,
            window: Vec::new(),
            tokens: 0,
            most: self.window_tokens,
        };
        let mut failure = None;
        self.documents.scan(&mut |document| {
            self.passed.fetch_add(1, Ordering::Relaxed);
            if document.text.trim().is_empty() {
                passed.blank += 1;
                return ControlFlow::Continue(());
            }
            let ordinal = passed.documents;
            passed.documents += 1;
            if !(self.wanted)(ordinal) {
                return ControlFlow::Continue(());
            }
            bytes += document.text.len();
            chunk.push(Text { ordinal, document });
            if chunk.len() < CHUNK_DOCUMENTS && bytes < CHUNK_BYTES {
                return ControlFlow::Continue(());
            }
            bytes = 0;
            match self.hand_over(&mut chunk, &mut out) {
                Ok(flow) => flow,
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        if self.hand_over(&mut chunk, &mut out)?.is_continue() {
            let _ = out.flush();
        }
        Ok(passed)
    }

    fn hand_over(&self, chunk: &mut Vec<Text>, out: &mut Out<'_>) -> Result<ControlFlow<()>> {
        for item in self.make_tokens(chunk)? {
            if out.push(item).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        chunk.clear();
        Ok(ControlFlow::Continue(()))
    }

    fn make_tokens(&self, chunk: &[Text]) -> Result<Vec<Item>> {
        let item = |text: &Text| Item {
            ordinal: text.ordinal,
            id: text.document.id.clone(),
            tokens: (self.tokens)(&text.document.text),
        };
        if self.threads <= 1 || chunk.len() < 2 * self.threads {
            return Ok(chunk.iter().map(item).collect());
        }
        let each = chunk.len().div_ceil(self.threads);
        thread::scope(|scope| {
            let parts: Vec<_> = chunk
                .chunks(each)
                .map(|part| scope.spawn(move || part.iter().map(item).collect::<Vec<_>>()))
                .collect();
            let mut items = Vec::with_capacity(chunk.len());
            for part in parts {
                let part = part.join();
                items.extend(part.map_err(|_| Error::internal("making tokens broke off"))?);
            }
            Ok(items)
        })
    }
}

/// The window that is being filled, and where it goes.
struct Out<'a> {
    windows: &'a SyncSender<Window>,
    window: Window,
    tokens: usize,
    most: usize,
}

impl Out<'_> {
    fn push(&mut self, item: Item) -> ControlFlow<()> {
        self.tokens += item.tokens.as_ref().map_or(1, |it| it.len().max(1));
        self.window.push(item);
        if self.tokens >= self.most || self.window.len() >= WINDOW_DOCUMENTS {
            return self.flush();
        }
        ControlFlow::Continue(())
    }

    fn flush(&mut self) -> ControlFlow<()> {
        self.tokens = 0;
        let window = std::mem::take(&mut self.window);
        if window.is_empty() || self.windows.send(window).is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Documents whose text is their number; every tenth has none.
    struct Numbers(u64);

    impl DocumentScan for Numbers {
        fn stamp(&self) -> Result<String> {
            Ok(String::new())
        }

        fn len(&self) -> usize {
            usize::try_from(self.0).unwrap()
        }

        fn scan(&self, each: &mut dyn FnMut(TextDocument) -> ControlFlow<()>) -> Result<()> {
            for number in 0..self.0 {
                let text = if number % 10 == 9 {
                    " \n".into()
                } else {
                    number.to_string()
                };
                let document = TextDocument {
                    id: DocId::from(format!("d{number}")),
                    text: text.into(),
                    title: None,
                    language: None,
                };
                if each(document).is_break() {
                    break;
                }
            }
            Ok(())
        }
    }

    fn run(threads: usize, wanted: &(dyn Fn(u64) -> bool + Sync)) -> (Passed, Vec<Item>) {
        let tokens = |text: &str| {
            Ok(Tokens {
                ids: vec![text.parse().unwrap(); 3].into(),
                ..Tokens::default()
            })
        };
        let passed = AtomicU64::new(0);
        let feed = Feed {
            documents: &Numbers(5000),
            wanted,
            tokens: &tokens,
            window_tokens: 300,
            threads,
            passed: &passed,
        };
        let (send, receive) = mpsc::sync_channel(WINDOWS_AHEAD);
        thread::scope(|scope| {
            let fed = scope.spawn(move || feed.run(&send).unwrap());
            let windows: Vec<Window> = receive.iter().collect();
            assert!(windows.iter().all(|window| window.len() <= 100));
            (fed.join().unwrap(), windows.into_iter().flatten().collect())
        })
    }

    #[test]
    fn every_wanted_document_comes_once_and_in_order() {
        for threads in [1, 3] {
            let (passed, items) = run(threads, &|ordinal| ordinal % 2 == 0);
            assert_eq!(
                passed,
                Passed {
                    documents: 4500,
                    blank: 500
                }
            );
            let ordinals: Vec<_> = items.iter().map(|item| item.ordinal).collect();
            assert_eq!(ordinals, (0..4500).step_by(2).collect::<Vec<_>>());
            for item in items {
                let number = item.tokens.unwrap().ids[0];
                assert_eq!(item.id.as_str(), format!("d{number}"));
            }
        }
    }

    #[test]
    fn reading_ends_when_nobody_takes_more() {
        let (send, receive) = mpsc::sync_channel(1);
        drop(receive);
        let passed = AtomicU64::new(0);
        let feed = Feed {
            documents: &Numbers(u64::from(u32::MAX)),
            wanted: &|_| true,
            tokens: &|_| Ok(Tokens::default()),
            window_tokens: 10,
            threads: 1,
            passed: &passed,
        };
        feed.run(&send).unwrap();
        assert!(passed.load(Ordering::Relaxed) < 10_000);
    }
}
