//! Versions of SIE's clients: which of them get on with this router, and what they ask to be told.

use std::collections::BTreeSet;

use hyper::HeaderMap;
use hyper::header::HeaderName;
use parking_lot::Mutex;

use crate::HealthType;

/// The version of the client.
const SDK_VERSION: HeaderName = HeaderName::from_static("x-sie-sdk-version");
/// So many versions are remembered as told of.
const MAX_TOLD: usize = 100;

/// Warns of clients whose version may not fit, once for each.
#[derive(Debug)]
pub(crate) struct Clients {
    own: Option<(u32, u32)>,
    told: Mutex<BTreeSet<(u32, u32)>>,
}

impl Clients {
    pub(crate) fn new(own: &str) -> Self {
        Self {
            own: version(own),
            told: Mutex::default(),
        }
    }

    /// Looks at who asks.
    pub(crate) fn see(&self, headers: &HeaderMap) {
        if let Some((major, minor)) = self.strange(headers) {
            tracing::warn!(
                client = %format_args!("{major}.{minor}"),
                "a client's version is far from the router's; it may read answers otherwise"
            );
        }
    }

    /// A version that does not fit and was not told of.
    fn strange(&self, headers: &HeaderMap) -> Option<(u32, u32)> {
        let client = of(headers)?;
        let own = self.own?;
        if client.0 == own.0 && client.1.abs_diff(own.1) <= 1 {
            return None;
        }
        let mut told = self.told.lock();
        if told.len() >= MAX_TOLD {
            told.clear();
        }
        told.insert(client).then_some(client)
    }
}

/// What a client takes this for.
pub(crate) fn health_type(headers: &HeaderMap) -> HealthType {
    match of(headers) {
        Some(client) if client >= (0, 3) => HealthType::Gateway,
        _ => HealthType::Router,
    }
}

fn of(headers: &HeaderMap) -> Option<(u32, u32)> {
    version(headers.get(SDK_VERSION)?.to_str().ok()?)
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(version: &str) -> HeaderMap {
        HeaderMap::from_iter([(SDK_VERSION, version.parse().unwrap())])
    }

    #[test]
    fn each_strange_version_is_told_of_once() {
        let clients = Clients::new("0.3.0");
        for near in ["0.2.0", "0.3.1", "0.4", "nonsense", "", "0"] {
            assert_eq!(clients.strange(&headers(near)), None, "{near}");
        }
        assert_eq!(clients.strange(&headers("0.1.0")), Some((0, 1)));
        assert_eq!(clients.strange(&headers("0.1.7")), None);
        assert_eq!(clients.strange(&headers("1.3.0")), Some((1, 3)));
        for minor in 10..1000 {
            clients.strange(&headers(&format!("7.{minor}")));
            assert!(clients.told.lock().len() <= MAX_TOLD);
        }
    }

    #[test]
    fn clients_are_told_what_they_ask_for() {
        for (version, expected) in [
            ("0.2.0", HealthType::Router),
            ("0.3.1", HealthType::Gateway),
            ("1.0.0", HealthType::Gateway),
            ("x", HealthType::Router),
        ] {
            assert_eq!(health_type(&headers(version)), expected);
        }
        assert_eq!(health_type(&HeaderMap::new()), HealthType::Router);
    }
}
