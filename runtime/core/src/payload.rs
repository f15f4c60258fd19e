//! What a document's view holds and what a scorer reads: text, or bytes such as an image.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Error, ErrorCode, Result, ViewKind};

/// Bytes in one or more parts: the frames of a recording, the pages of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BytesParts {
    /// The parts in their order; at least one.
    pub parts: Arc<[Bytes]>,
    /// The media type of every part, such as `image/jpeg`; `None` where nobody said.
    pub mime: Option<Arc<str>>,
}

impl BytesParts {
    /// Parts without a media type.
    pub fn new(parts: impl Into<Arc<[Bytes]>>) -> Self {
        Self {
            parts: parts.into(),
            mime: None,
        }
    }

    /// How many bytes all parts have together.
    #[must_use]
    pub fn size(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }
}

/// What a view shows of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Text.
    Text(Arc<str>),
    /// Bytes.
    Bytes(BytesParts),
}

impl Payload {
    /// Which of the two it is.
    #[must_use]
    pub fn kind(&self) -> ViewKind {
        match self {
            Self::Text(_) => ViewKind::Text,
            Self::Bytes(_) => ViewKind::Bytes,
        }
    }

    /// How many bytes it has.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.size(),
        }
    }
}

/// The passages of one request: all text, or all bytes, since a scorer reads one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passages {
    /// Texts.
    Text(Vec<Arc<str>>),
    /// Bytes.
    Bytes(Vec<BytesParts>),
}

impl Passages {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(texts) => texts.len(),
            Self::Bytes(all) => all.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they are.
    #[must_use]
    pub fn kind(&self) -> ViewKind {
        match self {
            Self::Text(_) => ViewKind::Text,
            Self::Bytes(_) => ViewKind::Bytes,
        }
    }

    /// Their texts.
    ///
    /// # Errors
    /// [`ErrorCode::Unsupported`] when they are bytes.
    pub fn texts(&self) -> Result<&[Arc<str>]> {
        match self {
            Self::Text(texts) => Ok(texts),
            Self::Bytes(_) => Err(no_text()),
        }
    }

    /// As [`Passages::texts`], by value.
    ///
    /// # Errors
    /// [`ErrorCode::Unsupported`] when they are bytes.
    pub fn into_texts(self) -> Result<Vec<Arc<str>>> {
        match self {
            Self::Text(texts) => Ok(texts),
            Self::Bytes(_) => Err(no_text()),
        }
    }

    /// Gathers payloads, which must all be of one kind; none are texts.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] when some are text and some are bytes.
    pub fn gather(payloads: impl IntoIterator<Item = Payload>) -> Result<Self> {
        let mut gathered = Self::Text(Vec::new());
        for payload in payloads {
            match (&mut gathered, payload) {
                (Self::Text(texts), Payload::Text(text)) => texts.push(text),
                (Self::Bytes(all), Payload::Bytes(bytes)) => all.push(bytes),
                (Self::Text(texts), Payload::Bytes(bytes)) if texts.is_empty() => {
                    gathered = Self::Bytes(vec![bytes]);
                }
                _ => {
                    return Err(Error::invalid(
                        "some passages are text and some are bytes; send those of one kind only",
                    ));
                }
            }
        }
        Ok(gathered)
    }
}

impl Default for Passages {
    fn default() -> Self {
        Self::Text(Vec::new())
    }
}

impl From<Vec<Arc<str>>> for Passages {
    fn from(texts: Vec<Arc<str>>) -> Self {
        Self::Text(texts)
    }
}

impl FromIterator<Arc<str>> for Passages {
    fn from_iter<I: IntoIterator<Item = Arc<str>>>(texts: I) -> Self {
        Self::Text(texts.into_iter().collect())
    }
}

fn no_text() -> Error {
    Error::new(
        ErrorCode::Unsupported,
        "the passages are bytes, and text is needed; use a view of text, or a scorer of bytes",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passages_are_of_one_kind() {
        let text = || Payload::Text(Arc::from("a"));
        let bytes = || Payload::Bytes(BytesParts::new(vec![Bytes::from_static(b"ab"); 2]));
        assert_eq!(bytes().size(), 4);
        assert_eq!(Passages::gather([]).unwrap(), Passages::default());
        let texts = Passages::gather([text(), text()]).unwrap();
        assert_eq!((texts.len(), texts.kind()), (2, ViewKind::Text));
        let all = Passages::gather([bytes(), bytes(), bytes()]).unwrap();
        assert_eq!((all.len(), all.kind()), (3, ViewKind::Bytes));
        assert_eq!(all.texts().unwrap_err().code(), ErrorCode::Unsupported);
        for mixed in [[text(), bytes()], [bytes(), text()]] {
            assert!(Passages::gather(mixed).is_err());
        }
    }
}
