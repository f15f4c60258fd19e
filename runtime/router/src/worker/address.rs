//! Where a worker is.

use std::sync::Arc;

use hyper::Uri;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use routir_core::{Error, Result};

/// The longest base URL.
const MAX_URL: usize = 2048;

/// A worker's base URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Normalised: lower case, without a slash at the end, never with credentials.
    url: Arc<str>,
    /// `host` or `host:port`, for the head of requests.
    authority: Authority,
    /// A host's name, an IPv4 address, or an IPv6 address without brackets.
    host: Arc<str>,
    port: u16,
    /// What stands before each path; mostly nothing.
    prefix: Arc<str>,
    /// Whether it is `https://`.
    encrypted: bool,
}

impl Address {
    /// Reads a base URL.
    ///
    /// # Errors
    /// For what is no `http://` or `https://` URL of a server. Errors do not repeat credentials.
    pub(crate) fn read(url: &str) -> Result<Self> {
        // What stands before an `@` may be a password, so such a URL is never repeated.
        if url.contains('@') {
            return Err(Error::invalid(
                "a worker's URL holds credentials; take them out of the URL and give the workers' key \
                 as an option",
            ));
        }
        let wrong = |why: &str| Error::invalid(format!("worker `{}`: {why}", shown(url)));
        if url.len() > MAX_URL {
            return Err(wrong("the URL is longer than 2048 bytes"));
        }
        let uri: Uri = url
            .trim()
            .parse()
            .map_err(|why| wrong(&format!("that is no URL: {why}")))?;
        let encrypted = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => {
                return Err(wrong("a worker's URL begins with `http://` or `https://`"));
            }
        };
        let (scheme, usual) = match encrypted {
            true => (Scheme::HTTPS, 443),
            false => (Scheme::HTTP, 80),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if uri.query().is_some() {
            return Err(wrong("a base URL has no query"));
        }
        let host = authority.host().to_ascii_lowercase();
        if host.is_empty() {
            return Err(wrong("it names no host"));
        }
        // A port that cannot be read is none to `http`, and would be the usual one then.
        let named = authority.as_str().len() > authority.host().len();
        let port = match authority.port_u16() {
            None if named => return Err(wrong("its port is no number from 1 to 65535")),
            Some(0) => return Err(wrong("its port is no number from 1 to 65535")),
            port => port.unwrap_or(usual),
        };
        let prefix = uri.path().trim_end_matches('/');
        let short = match port == usual {
            true => host.clone(),
            false => format!("{host}:{port}"),
        };
        let authority = short
            .parse()
            .map_err(|why| wrong(&format!("its host cannot be: {why}")))?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        Ok(Self {
            url: Arc::from(format!("{scheme}://{short}{prefix}")),
            authority,
            host: Arc::from(bare.unwrap_or(&host)),
            port,
            prefix: Arc::from(prefix),
            encrypted,
        })
    }

    pub(crate) fn url(&self) -> &Arc<str> {
        &self.url
    }

    /// `host` or `host:port`, as the `Host` header has it.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What stands before each path: nothing, or a path without a slash at its end.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether connections are encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// What to connect to.
    pub(crate) fn socket(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// The URI of a path (with its query) on this worker.
    ///
    /// # Errors
    /// For what cannot stand in a request's line.
    pub(crate) fn uri(&self, path_and_query: &str) -> Result<Uri> {
        let path = if self.prefix.is_empty() {
            PathAndQuery::try_from(path_and_query)
        } else {
            PathAndQuery::try_from(format!("{}{path_and_query}", self.prefix))
        };
        let path = path.map_err(|why| Error::invalid(format!("the path cannot be sent: {why}")))?;
        let scheme = match self.encrypted {
            true => Scheme::HTTPS,
            false => Scheme::HTTP,
        };
        Uri::builder()
            .scheme(scheme)
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .map_err(|why| Error::internal(format!("no URI of a worker: {why}")))
    }
}

fn shown(url: &str) -> String {
    url.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_one_spelling() {
        for (given, url, socket) in [
            ("http://A.example/", "http://a.example", ("a.example", 80)),
            ("http://a:8080", "http://a:8080", ("a", 8080)),
            ("http://a:80/", "http://a", ("a", 80)),
            (" http://a/deep/er// ", "http://a/deep/er", ("a", 80)),
            ("http://[::1]:9000", "http://[::1]:9000", ("::1", 9000)),
            (
                "https://A.example:443/",
                "https://a.example",
                ("a.example", 443),
            ),
            ("https://a:80", "https://a:80", ("a", 80)),
        ] {
            let address = Address::read(given).unwrap();
            assert_eq!(&**address.url(), url);
            assert_eq!(address.socket(), socket);
            assert_eq!(address.is_encrypted(), url.starts_with("https"));
        }
    }

    #[test]
    fn what_is_no_worker_is_refused_and_passwords_are_not_repeated() {
        for wrong in [
            "",
            "worker:8080",
            "ftp://a",
            "https://",
            "http://",
            "http://a:0",
            "http://a:99999",
            "http://a?x=1",
            "http://user:secret@a:8080",
        ] {
            let error = Address::read(wrong).unwrap_err();
            assert!(!error.message().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_path_goes_behind_the_prefix() {
        let plain = Address::read("http://a:1").unwrap();
        assert_eq!(plain.uri("/v1/x?y=z").unwrap(), "http://a:1/v1/x?y=z");
        let deep = Address::read("http://a:1/w/").unwrap();
        assert_eq!(deep.uri("/v1/x").unwrap(), "http://a:1/w/v1/x");
    }
}
