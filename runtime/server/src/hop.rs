//! What a server says that hands a request on: through whom it came, and how long it may take.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use routir_core::{Error, Result};

/// The ids of the servers that hand the request on, outermost first, separated by commas.
const VIA: &str = "x-routir-via";
/// How many milliseconds are left of the time that the request may take.
const TIMEOUT: &str = "x-routir-timeout-ms";

/// How many servers may hand a request on.
const MAX_HOPS: usize = 8;
/// The longest id.
const MAX_ID: usize = 64;

/// What a server says that hands a request on; nothing for a request that came straight from its
/// client.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Hop {
    /// The header's value.
    pub(crate) via: Option<Arc<str>>,
    pub(crate) timeout: Option<Duration>,
}

impl Hop {
    /// What `headers` say, to the server whose id is `own`. A timeout that is no number is passed
    /// over.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] (so that no client tries again) when the request
    /// has been here before, came through too many servers, or names them in another form.
    pub(crate) fn of(headers: &HeaderMap, own: &str) -> Result<Self> {
        let timeout = headers.get(TIMEOUT).and_then(|value| {
            let milliseconds = value.to_str().ok()?.trim().parse().ok()?;
            Some(Duration::from_millis(milliseconds))
        });
        let Some(value) = headers.get(VIA) else {
            return Ok(Self { via: None, timeout });
        };
        let malformed = || Error::invalid(format!("`{VIA}` is no list of server ids"));
        let value = value.to_str().map_err(|_| malformed())?;
        let ids: Vec<&str> = value.split(',').map(str::trim).take(MAX_HOPS + 1).collect();
        let sane = |id: &&str| {
            (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
        };
        if !ids.iter().all(sane) {
            return Err(malformed());
        }
        if let Some(at) = ids.iter().position(|id| *id == own) {
            let circle = ids.get(at..).unwrap_or_default().join(" > ");
            return Err(Error::invalid(format!(
                "the request goes in a circle of servers: {circle} > {own}; one of them relays a \
                 service to another that relays it back: configure the service's engine on one of \
                 them"
            )));
        }
        if ids.len() > MAX_HOPS {
            return Err(Error::invalid(format!(
                "more than {MAX_HOPS} servers hand the request on; relay to the server that has \
                 the service"
            )));
        }
        let via = Some(Arc::from(ids.join(",")));
        Ok(Self { via, timeout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &'static str, value: &str) -> Result<Hop, String> {
        let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
        Hop::of(&headers, "me").map_err(|error| error.to_string())
    }

    #[test]
    fn those_who_hand_it_on_are_remembered() {
        assert_eq!(of("x-other", "a").unwrap(), Hop::default());
        let hop = of(VIA, "a, b").unwrap();
        assert_eq!(hop.via.as_deref(), Some("a,b"));
        assert!(of(VIA, "1,2,3,4,5,6,7,8").is_ok());
    }

    #[test]
    fn circles_and_long_ways_are_refused() {
        let circle = of(VIA, "a,me,b").unwrap_err();
        assert!(circle.contains("me > b > me;"), "{circle}");
        assert!(
            of(VIA, "1,2,3,4,5,6,7,8,9")
                .unwrap_err()
                .contains("8 servers")
        );
        for malformed in ["", "a,,b", "a b", &"x".repeat(65)] {
            assert!(of(VIA, malformed).is_err(), "{malformed}");
        }
    }

    #[test]
    fn time_that_is_left_is_read() {
        assert_eq!(
            of(TIMEOUT, "1500").unwrap().timeout,
            Some(Duration::from_millis(1500))
        );
        assert_eq!(of(TIMEOUT, "soon").unwrap().timeout, None);
    }
}
