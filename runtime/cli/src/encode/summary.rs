//! What is told at the end of long work: numbers that people can read.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// Lines of `name  value`, as the other commands align them.
#[derive(Debug, Default)]
pub(crate) struct Summary(String);

impl Summary {
    /// Adds a line.
    pub(crate) fn line(&mut self, name: &str, value: impl AsRef<str>) {
        self.0.push_str(&format!("{name:<11} {}\n", value.as_ref()));
    }

    /// The lines.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

/// 1234567 as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as `1.2 MB`, in powers of a thousand.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} bytes");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut size = count as f64 / 1000.0;
    let mut unit = "kB";
    for larger in UNITS.into_iter().skip(1) {
        if size < 999.95 {
            break;
        }
        size /= 1000.0;
        unit = larger;
    }
    format!("{size:.1} {unit}")
}

/// A duration as `0.4 s`, `75 s` or `2 h 05 min`.
pub(crate) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..100 => format!("{:.1} s", duration.as_secs_f64()),
        100..6000 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// How many of something are done in a second.
pub(crate) fn rate(count: u64, duration: Duration) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let rate = count as f64 / duration.as_secs_f64().max(1e-9);
    if rate < 10.0 {
        return format!("{rate:.1}");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate that is shown"
    )]
    grouped(rate.round() as u64)
}

/// `1 file`, `2 files`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(count))
}

/// How many bytes the files below `dir` take.
pub(crate) fn folder_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
        for (count, text) in [
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_999, "1.0 MB"),
            (153_600_000_000, "153.6 GB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (seconds, text) in [
            (0.44, "0.4 s"),
            (75.0, "75.0 s"),
            (125.0, "2 min 05 s"),
            (7500.0, "2 h 05 min"),
        ] {
            assert_eq!(time(Duration::from_secs_f64(seconds)), text);
        }
        assert_eq!(rate(5, Duration::from_secs(2)), "2.5");
        assert_eq!(rate(50_000, Duration::from_secs(2)), "25,000");
        assert_eq!(
            (counted(1, "file"), counted(2000, "file")),
            ("1 file".into(), "2,000 files".into())
        );
    }
}
