//! Where a server is: RoutIR's ways of writing an address.

use crate::{ClientError, ErrorKind};

/// A gRPC address as tonic takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrpcAddress {
    /// `host:port`.
    pub(crate) authority: String,
    /// Whether it is encrypted.
    pub(crate) tls: bool,
}

/// Where one server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Without a slash at the end.
    pub(crate) rest: Option<String>,
    pub(crate) grpc: Option<GrpcAddress>,
}

impl Addresses {
    /// Reads what a user wrote: `http(s)://` is REST, `grpc(s)://` is gRPC, and an endpoint without
    /// a scheme is REST.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] when there is no address, or one that is none.
    pub(crate) fn read(
        endpoint: Option<&str>,
        grpc_endpoint: Option<&str>,
        tls: Option<bool>,
    ) -> Result<Self, ClientError> {
        let mut grpc = grpc_endpoint;
        let mut rest = None;
        match endpoint {
            Some(endpoint) if scheme(endpoint).is_some_and(|it| it.starts_with("grpc")) => {
                grpc = grpc.or(Some(endpoint));
            }
            Some(endpoint) => rest = Some(rest_url(endpoint)?),
            None => {}
        }
        let grpc = grpc.map(|address| grpc_address(address, tls)).transpose()?;
        if rest.is_none() && grpc.is_none() {
            return Err(wrong("no address is given"));
        }
        Ok(Self { rest, grpc })
    }

    /// The gRPC address of a server that tells its port over REST. One behind `https://` is taken
    /// to stand behind a proxy, through which the port cannot be reached.
    pub(crate) fn discovered(&self, port: u16) -> Option<GrpcAddress> {
        let url = reqwest::Url::parse(self.rest.as_deref()?).ok()?;
        (url.scheme() == "http").then_some(())?;
        Some(GrpcAddress {
            authority: format!("{}:{port}", url.host_str()?),
            tls: false,
        })
    }
}

fn scheme(address: &str) -> Option<&str> {
    address.split_once("://").map(|(scheme, _)| scheme)
}

fn rest_url(endpoint: &str) -> Result<String, ClientError> {
    let with_scheme = match scheme(endpoint) {
        Some("http" | "https") => endpoint.to_owned(),
        None => format!("http://{endpoint}"),
        Some(other) => {
            return Err(wrong(&format!(
                "`{other}://` is no way to speak to a server; use http, https, grpc or grpcs"
            )));
        }
    };
    let url = reqwest::Url::parse(&with_scheme)
        .map_err(|why| wrong(&format!("`{endpoint}` is no address: {why}")))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong(&format!("`{endpoint}` names no host")));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(&format!(
            "`{endpoint}` has a query or a fragment; give the server's address alone"
        )));
    }
    Ok(with_scheme.trim_end_matches('/').to_owned())
}

fn grpc_address(address: &str, tls: Option<bool>) -> Result<GrpcAddress, ClientError> {
    let (scheme, authority) = match address.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, address),
    };
    let authority = authority.trim_end_matches('/');
    let says_tls = match scheme {
        None => None,
        Some("grpc" | "http") => Some(false),
        Some("grpcs" | "https") => Some(true),
        Some(other) => {
            return Err(wrong(&format!(
                "`{other}://` is no way to speak gRPC; use grpc or grpcs"
            )));
        }
    };
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    if port.is_none_or(|port| port.parse::<u16>().is_err()) || authority.contains(['/', '?', '#']) {
        return Err(wrong(&format!(
            "`{address}` is no gRPC address; write `host:port`"
        )));
    }
    Ok(GrpcAddress {
        authority: authority.to_owned(),
        tls: tls.or(says_tls).unwrap_or(false),
    })
}

fn wrong(message: &str) -> ClientError {
    ClientError::new(ErrorKind::Settings, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(endpoint: Option<&str>, grpc: Option<&str>) -> Result<Addresses, String> {
        Addresses::read(endpoint, grpc, None).map_err(|error| error.to_string())
    }

    fn grpc(authority: &str, tls: bool) -> Option<GrpcAddress> {
        let authority = authority.to_owned();
        Some(GrpcAddress { authority, tls })
    }

    #[test]
    fn schemes_say_what_is_spoken() {
        let rest = |url: &str| Some(url.to_owned());
        for (endpoint, grpc_endpoint, expected) in [
            (Some("http://h:5000/"), None, (rest("http://h:5000"), None)),
            (Some("h:5000"), None, (rest("http://h:5000"), None)),
            (
                Some("https://h/base/"),
                None,
                (rest("https://h/base"), None),
            ),
            (Some("grpc://h:1"), None, (None, grpc("h:1", false))),
            (Some("grpcs://h:1"), Some("i:2"), (None, grpc("i:2", false))),
            (
                Some("http://h"),
                Some("grpcs://i:2"),
                (rest("http://h"), grpc("i:2", true)),
            ),
        ] {
            let found = read(endpoint, grpc_endpoint).unwrap();
            assert_eq!((found.rest, found.grpc), expected, "{endpoint:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_told() {
        for (endpoint, grpc_endpoint) in [
            (None, None),
            (Some("ftp://h"), None),
            (Some("http://"), None),
            (Some("http://h?x=1"), None),
            (None, Some("h")),
            (None, Some("h:port")),
        ] {
            assert!(
                read(endpoint, grpc_endpoint).is_err(),
                "{endpoint:?} {grpc_endpoint:?}"
            );
        }
    }

    #[test]
    fn a_port_behind_a_proxy_is_not_believed() {
        let of = |url: &str| read(Some(url), None).unwrap().discovered(7);
        assert_eq!(of("http://h:5000/x"), grpc("h:7", false));
        assert_eq!(of("http://[::1]:5000"), grpc("[::1]:7", false));
        assert_eq!(of("https://h:5000"), None);
    }
}
