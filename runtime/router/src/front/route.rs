//! What a request asks for, by its method and path.

use std::borrow::Cow;

use hyper::Method;
use percent_encoding::percent_decode_str;

use crate::auth::Act;
use crate::routir;

/// The longest model name, pool name or the like in a path, decoded.
pub(super) const MAX_NAME: usize = 512;

/// What a worker does with a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Encode,
    Score,
    Extract,
    Embeddings,
}

impl Op {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Encode => "encode",
            Self::Score => "score",
            Self::Extract => "extract",
            Self::Embeddings => "embeddings",
        }
    }
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A model's work; what the path names after the operation.
    Infer(Op, String),
    /// The same, the model being in the body.
    Embeddings,
    Models,
    Model(String),
    PoolList,
    PoolCreate,
    PoolGet(String),
    PoolDelete(String),
    PoolRenew(String),
    Healthz,
    Readyz,
    Health,
    Metrics,
    Index,
    Feed,
    /// One of RoutIR's paths, by its name; what answers it knows its methods.
    Routir(&'static str),
    /// SIE's configuration interface, which is not here.
    Configs,
    /// No such path.
    NotFound,
    /// The path is there, but for other methods: these.
    NotAllowed(&'static str),
    /// What the path names cannot be.
    Malformed(&'static str),
}

impl Route {
    /// What `method` of `path` asks for. `HEAD` is `GET`.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let get = method == Method::GET || method == Method::HEAD;
        let post = method == Method::POST;
        let only = |right: bool, route: Self, allowed: &'static str| match right {
            true => route,
            false => Self::NotAllowed(allowed),
        };
        let read = |route: Self| only(get, route, "GET, HEAD");
        if let Some(name) = routir::name(path) {
            return Self::Routir(name);
        }
        match path {
            "/" => return read(Self::Index),
            "/healthz" => return read(Self::Healthz),
            "/readyz" => return read(Self::Readyz),
            "/health" => return read(Self::Health),
            "/metrics" => return read(Self::Metrics),
            "/ws/cluster-status" | "/ws/status" => return only(get, Self::Feed, "GET"),
            "/v1/models" => return read(Self::Models),
            "/v1/embeddings" => return only(post, Self::Embeddings, "POST"),
            "/v1/pools" if post => return Self::PoolCreate,
            "/v1/pools" => return only(get, Self::PoolList, "GET, HEAD, POST"),
            _ => {}
        }
        let Some(path) = path.strip_prefix("/v1/") else {
            return Self::NotFound;
        };
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        let named = |route: fn(String) -> Self| match decoded(rest) {
            Ok(name) => route(name),
            Err(why) => Self::Malformed(why),
        };
        match first {
            "encode" => only(post, named(|name| Self::Infer(Op::Encode, name)), "POST"),
            "score" => only(post, named(|name| Self::Infer(Op::Score, name)), "POST"),
            "extract" => only(post, named(|name| Self::Infer(Op::Extract, name)), "POST"),
            "models" => read(named(Self::Model)),
            "configs" => Self::Configs,
            "pools" => match rest.strip_suffix("/renew") {
                Some(name) if post => match decoded(name) {
                    Ok(name) => Self::PoolRenew(name),
                    Err(why) => Self::Malformed(why),
                },
                Some(_) => Self::NotAllowed("POST"),
                None if method == Method::DELETE => named(Self::PoolDelete),
                None => only(get, named(Self::PoolGet), "GET, HEAD, DELETE"),
            },
            _ => Self::NotFound,
        }
    }

    /// Its name in metrics and logs.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Infer(op, _) => op.label(),
            Self::Embeddings => Op::Embeddings.label(),
            Self::Models | Self::Model(_) => "models",
            Self::PoolList
            | Self::PoolCreate
            | Self::PoolGet(_)
            | Self::PoolDelete(_)
            | Self::PoolRenew(_) => "pools",
            Self::Healthz => "healthz",
            Self::Readyz => "readyz",
            Self::Health => "health",
            Self::Metrics => "metrics",
            Self::Index => "index",
            Self::Feed => "feed",
            Self::Routir(name) => name,
            Self::Configs => "configs",
            Self::NotFound | Self::NotAllowed(_) | Self::Malformed(_) => "other",
        }
    }

    /// What leave it needs. What is not listed is closed.
    pub(crate) fn act(&self) -> Act {
        match self {
            Self::Healthz | Self::Readyz | Self::Routir("ping") => Act::Probe,
            Self::Health | Self::Metrics | Self::Index | Self::Feed => Act::Look,
            Self::PoolCreate | Self::PoolDelete(_) | Self::PoolRenew(_) => Act::Change,
            _ => Act::Use,
        }
    }
}

/// A name out of a path, decoded once.
fn decoded(name: &str) -> Result<String, &'static str> {
    let name: Cow<'_, str> = match name.contains('%') {
        true => percent_decode_str(name)
            .decode_utf8()
            .map_err(|_| "the path is no UTF-8")?,
        false => name.into(),
    };
    if name.is_empty() {
        return Err("the path names nothing");
    }
    if name.len() > MAX_NAME {
        return Err("the path names something longer than 512 bytes");
    }
    if name.chars().any(char::is_control) {
        return Err("the path names something with control characters");
    }
    // A worker may take these for steps in its own tree of paths.
    if name.contains('.') && name.split('/').any(|step| matches!(step, "." | "..")) {
        return Err("the path names something with `.` or `..` between slashes");
    }
    Ok(name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, path: &str) -> Route {
        Route::of(&method.parse().unwrap(), path)
    }

    #[test]
    fn paths_are_decoded_once() {
        let m3 = Route::Infer(Op::Encode, "BAAI/bge-m3".into());
        assert_eq!(of("POST", "/v1/encode/BAAI/bge-m3"), m3);
        assert_eq!(of("POST", "/v1/encode/BAAI%2Fbge-m3"), m3);
        let once = Route::Infer(Op::Score, "a%2Fb".into());
        assert_eq!(of("POST", "/v1/score/a%252Fb"), once);
        for bad in ["", "%ff", "a/../b", "%2e%2e", "a%00b", &"x".repeat(513)] {
            let route = of("POST", &format!("/v1/extract/{bad}"));
            assert!(matches!(route, Route::Malformed(_)), "{bad} {route:?}");
        }
    }

    #[test]
    fn methods_are_told_apart() {
        assert_eq!(of("HEAD", "/v1/models"), Route::Models);
        assert_eq!(of("GET", "/v1/models/a/b"), Route::Model("a/b".into()));
        assert_eq!(of("GET", "/v1/encode/m"), Route::NotAllowed("POST"));
        assert_eq!(of("POST", "/health"), Route::NotAllowed("GET, HEAD"));
        assert_eq!(
            of("POST", "/v1/pools/p/renew"),
            Route::PoolRenew("p".into())
        );
        assert_eq!(of("GET", "/v1/pools/p/renew"), Route::NotAllowed("POST"));
        assert_eq!(of("DELETE", "/v1/pools/p"), Route::PoolDelete("p".into()));
        assert_eq!(of("PUT", "/v1/pools"), Route::NotAllowed("GET, HEAD, POST"));
        for nowhere in ["/nowhere", "/v1", "/v1/", "/v1/other/x", "//", "*"] {
            assert_eq!(of("GET", nowhere), Route::NotFound, "{nowhere}");
        }
    }

    #[test]
    fn all_is_closed_but_probes() {
        for (path, act) in [
            ("/healthz", Act::Probe),
            ("/readyz", Act::Probe),
            ("/health", Act::Look),
            ("/", Act::Look),
            ("/ws/status", Act::Look),
            ("/v1/models", Act::Use),
            ("/nowhere", Act::Use),
            ("/v1/configs/models", Act::Use),
        ] {
            assert_eq!(of("GET", path).act(), act, "{path}");
        }
    }
}
