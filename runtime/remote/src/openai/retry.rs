//! When to ask again.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The first wait, doubled with every attempt.
const FIRST: Duration = Duration::from_millis(500);

/// The longest wait of our own choice.
const LONGEST: Duration = Duration::from_secs(8);

/// The longest wait that a server may ask for; beyond it, whoever asked had better know at once.
pub(super) const MOST: Duration = Duration::from_secs(60);

/// Whether an attempt that ended with `status` may succeed later: as OpenAI's own client has it.
pub(super) fn may_succeed_later(status: u16) -> bool {
    matches!(status, 408 | 409 | 429 | 500..=599)
}

/// What the server says about when to come back: `retry-after-ms`, or `Retry-After` in seconds or as a
/// date.
pub(super) fn told(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| *number >= 0.0);
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
    if let Some(ms) = text("retry-after-ms").and_then(number) {
        return seconds(ms / 1000.0);
    }
    let after = text(RETRY_AFTER.as_str())?;
    if let Some(number) = number(after) {
        return seconds(number);
    }
    let date = httpdate::parse_http_date(after).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// How long to wait after so many attempts that failed, the first of them being 0: what the server
/// said, else twice as long each time, less up to a quarter, so that those who failed together do not
/// come back together.
pub(super) fn wait(failed: u32, told: Option<Duration>) -> Duration {
    if let Some(told) = told {
        return told;
    }
    let whole = FIRST
        .saturating_mul(1_u32.checked_shl(failed.min(16)).unwrap_or(u32::MAX))
        .min(LONGEST);
    let chance = RandomState::new().hash_one(failed) % 1000;
    whole.mul_f64(1.0 - chance as f64 / 4000.0)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn reads_what_the_server_says_in_each_of_its_forms() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let told = |name, value| told(&headers(name, value), now);
        assert_eq!(told("retry-after", "3"), Some(Duration::from_secs(3)));
        assert_eq!(
            told("retry-after", " 0.5 "),
            Some(Duration::from_millis(500))
        );
        assert_eq!(
            told("retry-after-ms", "20"),
            Some(Duration::from_millis(20))
        );
        let date = "Sun, 06 Nov 1994 08:49:47 GMT";
        assert_eq!(told("retry-after", date), Some(Duration::from_secs(10)));
        let past = "Sun, 06 Nov 1994 08:49:07 GMT";
        assert_eq!(told("retry-after", past), Some(Duration::ZERO));
        for nonsense in ["-1", "soon", "nan", "inf", "1e300", ""] {
            assert_eq!(told("retry-after", nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn waits_longer_each_time_within_bounds() {
        for (failed, most) in [(0, 500), (1, 1000), (2, 2000), (4, 8000), (40, 8000)] {
            let most = Duration::from_millis(most);
            let waited = wait(failed, None);
            assert!(
                waited <= most && waited >= most.mul_f64(0.74),
                "{failed}: {waited:?}"
            );
        }
        assert_eq!(wait(3, Some(Duration::ZERO)), Duration::ZERO);
    }
}
