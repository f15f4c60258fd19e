//! The header `grpc-timeout`: how long the caller waits.

use std::time::Duration;

use axum::http::HeaderMap;
use routir_core::{Error, Result, shorten};

const HEADER: &str = "grpc-timeout";
/// The contract of gRPC allows no more.
const MAX_DIGITS: usize = 8;

/// How long the caller of a request with `headers` waits, if it says so.
///
/// # Errors
/// [`routir_core::ErrorCode::InvalidArgument`] for what is no time.
pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Duration>> {
    let Some(value) = headers.get(HEADER) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    parse(text).map(Some).ok_or_else(|| {
        Error::invalid(format!(
            "`{HEADER}` must be up to {MAX_DIGITS} digits and one of H, M, S, m, u, n, not `{}`",
            shorten(text)
        ))
    })
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > MAX_DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_units_are_read() {
        for (text, nanoseconds) in [
            ("1H", 3_600_000_000_000),
            ("2M", 120_000_000_000),
            ("3S", 3_000_000_000),
            ("40m", 40_000_000),
            ("00000005u", 5000),
            ("6n", 6),
            ("0S", 0),
        ] {
            let expected = Duration::from_nanos(nanoseconds);
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        assert!(parse("99999999H").is_some());
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "S",
            "5",
            "-5S",
            "+5S",
            "5s",
            "1.5S",
            "999999999S",
            "5 S",
            "5é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        let headers = HeaderMap::from_iter([(
            axum::http::HeaderName::from_static(HEADER),
            axum::http::HeaderValue::from_static("soon"),
        )]);
        expect_test::expect![
            "`grpc-timeout` must be up to 8 digits and one of H, M, S, m, u, n, not `soon`"
        ]
        .assert_eq(of(&headers).unwrap_err().message());
        assert_eq!(of(&HeaderMap::new()).unwrap(), None);
    }
}
