//! What is said to people and programs: results on stdout, complaints on stderr.

use std::io::{self, Write};

/// Writes a result to stdout at once.
///
/// # Errors
/// When stdout cannot be written, such as when its reader has gone.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes to stderr, around any progress bar. Where even that fails, nobody can be told.
pub(crate) fn complain(text: &str) {
    crate::progress::bars().suspend(|| {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    });
}
