//! What all views of bytes share: bounds, media types, and how a document is read.

use std::sync::atomic::{AtomicBool, Ordering};

use routir_core::{BytesParts, Error, ErrorCode, Result};

/// The most parts of one document.
pub(crate) const MAX_PARTS: usize = 1024;

/// The longest id that is looked up, in bytes: no file and no member has a longer name.
pub(crate) const MAX_ID: usize = 4096;

/// Any bytes.
const ANY: &str = "application/octet-stream";

/// A view of bytes. Blocking.
pub(crate) trait BytesSource: Send + Sync {
    /// The document `id`, of at most so many bytes as `room` says.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownDocument`]; [`ErrorCode::TooLarge`]; a file that cannot be read, or is
    /// not what it was.
    fn read(&self, id: &str, room: Room<'_>) -> Result<BytesParts>;
}

/// How much may be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room<'a> {
    /// In bytes.
    pub(crate) bytes: u64,
    /// Whether nobody waits for it any more.
    pub(crate) cancelled: &'a AtomicBool,
}

impl Room<'_> {
    /// Takes `size` bytes for a part of `id`.
    ///
    /// # Errors
    /// When there is less; when nobody waits.
    pub(crate) fn take(&mut self, id: &str, size: u64) -> Result<()> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorCode::Cancelled, "the caller left"));
        }
        self.bytes = self.bytes.checked_sub(size).ok_or_else(|| {
            Error::new(
                ErrorCode::TooLarge,
                format!("document {id} has more bytes than one answer may have (see the limits)"),
            )
        })?;
        Ok(())
    }

    /// Refuses more than [`MAX_PARTS`] parts.
    ///
    /// # Errors
    /// [`ErrorCode::TooLarge`].
    pub(crate) fn check_parts(id: &str, parts: usize) -> Result<()> {
        if parts <= MAX_PARTS {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::TooLarge,
            format!(
                "document {id} has more than {MAX_PARTS} parts; narrow the pattern of the view"
            ),
        ))
    }
}

/// The media type of parts with these names: what the view says, or what their endings say if they
/// agree.
pub(crate) fn mime_of<'n>(view: Option<&str>, mut names: impl Iterator<Item = &'n str>) -> String {
    if let Some(mime) = view {
        return mime.to_owned();
    }
    let guess = |name: &str| mime_guess::from_path(name).first_raw();
    let Some(first) = names.next().and_then(guess) else {
        return ANY.to_owned();
    };
    let agree = names.all(|name| guess(name) == Some(first));
    if agree { first } else { ANY }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_guessed_by_ending() {
        let mime = |names: &[&str]| mime_of(None, names.iter().copied());
        assert_eq!(mime(&["a.jpg", "b.JPEG"]), "image/jpeg");
        assert_eq!(mime(&["a.jpg", "b.png"]), ANY);
        assert_eq!(mime(&["a.wav"]), "audio/wav");
        assert_eq!(mime(&["a"]), ANY);
        assert_eq!(mime(&[]), ANY);
        assert_eq!(mime_of(Some("image/x"), ["a.jpg"].into_iter()), "image/x");
    }
}
