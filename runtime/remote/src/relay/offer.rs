//! What another server offers, as far as it is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use routir_client::{Avail, ServerInfo, Views};
use routir_core::{CollectionInfo, Role, ViewKind};

/// The longest name that is taken.
const MAX_NAME: usize = 256;
/// The view of collections of servers that know no views.
const ONLY_VIEW: &str = "text";

/// The servers that something comes through, the nearest first.
pub type Way = Vec<Arc<str>>;

/// What a server offers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offer {
    /// Its id, if it is a server of this project.
    pub server: Option<Arc<str>>,
    /// Whether it answers for several documents at once.
    pub contents: bool,
    /// Its services with their roles and the servers that they come through.
    pub services: BTreeMap<Arc<str>, (Vec<Role>, Way)>,
    /// The scorers among them that read bytes.
    pub of_bytes: BTreeSet<Arc<str>>,
    /// Likewise its collections.
    pub collections: BTreeMap<Arc<str>, (CollectionInfo, Way)>,
}

/// How a server can be asked.
#[derive(Clone, Copy, Debug)]
pub struct Speaks {
    /// Whether what is not RoutIR's can be asked at all.
    pub rest: bool,
    /// Whether gRPC may be used; `None` where that goes by what the server says.
    pub grpc: Option<bool>,
    /// Whether documents and passages that are bytes are wanted.
    pub bytes: bool,
}

impl Offer {
    /// What of `avail` the server whose id is `own` can offer itself. Of a server that is not
    /// of this project, mergers and expanders cannot be asked alone. Scorers of bytes are asked over
    /// gRPC, and so are views of bytes where the server is not of this project.
    ///
    /// # Errors
    /// When the server is the one that asks.
    pub fn read(avail: Avail, own: &str, speaks: Speaks) -> Result<Self, String> {
        let server = avail.server.unwrap_or_default();
        if !own.is_empty() && server.id == own {
            return Err("it is this server itself; leave it out of `server_imports`".to_owned());
        }
        let grpc = speaks.bytes && speaks.grpc.unwrap_or(avail.grpc_port.is_some());
        let does = |what: &str| speaks.rest && server.endpoints.iter().any(|it| it == what);
        let mut offer = Self {
            server: id(&server),
            contents: does("contents"),
            ..Self::default()
        };
        let none = Vec::new();
        let fuse = if does("fuse") { &avail.fuse } else { &none };
        let decompose = if does("decompose") {
            &avail.decompose_query
        } else {
            &none
        };
        let by_role = [
            (Role::Search, &avail.search),
            (Role::Score, &avail.score),
            (Role::Fuse, fuse),
            (Role::DecomposeQuery, decompose),
        ];
        for (role, names) in by_role {
            for name in names.iter().filter(|name| is_sane(name)) {
                let kind = avail.score_view_kinds.get(name).map(String::as_str);
                let is_bytes = role == Role::Score && kind == Some("bytes");
                if is_bytes && !grpc {
                    continue;
                }
                let Some(way) = offer.way(server.relayed.get(name), own) else {
                    continue;
                };
                let entry = offer.services.entry(Arc::from(name.as_str()));
                let (roles, _) = entry.or_insert_with(|| (Vec::new(), way));
                if !roles.contains(&role) {
                    roles.push(role);
                }
                if is_bytes {
                    offer.of_bytes.insert(Arc::from(name.as_str()));
                }
            }
        }
        let listed = avail.content.into_iter();
        let mut views: BTreeMap<String, Option<Views>> = listed.map(|name| (name, None)).collect();
        let told = avail.collection.into_iter();
        views.extend(told.map(|(name, views)| (name, Some(views))));
        for (name, views) in views.into_iter().filter(|(name, _)| is_sane(name)) {
            let Some(way) = offer.way(server.relayed_collections.get(&name), own) else {
                continue;
            };
            if let Some(info) = collection(views, grpc || (speaks.bytes && does("contents"))) {
                offer.collections.insert(Arc::from(name), (info, way));
            }
        }
        Ok(offer)
    }

    /// The way of something that comes to the server by `further`; `None` when it comes from the one
    /// that asks.
    fn way(&self, further: Option<&Vec<String>>, own: &str) -> Option<Way> {
        let further = further.map(Vec::as_slice).unwrap_or_default();
        if further.iter().any(|id| id == own) {
            return None;
        }
        let further = further.iter().map(|id| Arc::from(id.as_str()));
        Some(self.server.iter().cloned().chain(further).collect())
    }
}

fn id(server: &ServerInfo) -> Option<Arc<str>> {
    let sane = !server.id.is_empty() && server.id.len() <= MAX_NAME;
    sane.then(|| Arc::from(server.id.as_str()))
}

fn is_sane(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// A collection with those of its views that are text, and with those of bytes if these can be asked
/// for; `None` when none is left.
fn collection(views: Option<Views>, bytes: bool) -> Option<CollectionInfo> {
    let Some(Views { views, default }) = views else {
        let view: Arc<str> = Arc::from(ONLY_VIEW);
        return Some(CollectionInfo {
            views: BTreeMap::from([(Arc::clone(&view), ViewKind::Text)]),
            default_view: view,
        });
    };
    let views = views.into_iter().filter(|(name, _)| is_sane(name));
    let known = views.filter_map(|(name, kind)| match kind.as_str() {
        "text" => Some((Arc::from(name), ViewKind::Text)),
        "bytes" if bytes => Some((Arc::from(name), ViewKind::Bytes)),
        _ => None,
    });
    let views: BTreeMap<Arc<str>, _> = known.collect();
    let first = views.keys().next().cloned()?;
    let default = default.and_then(|name| views.get_key_value(name.as_str()));
    let default_view = default.map_or(first, |(name, _)| Arc::clone(name));
    Some(CollectionInfo {
        views,
        default_view,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Speaks = Speaks {
        rest: true,
        grpc: None,
        bytes: true,
    };
    const GRPC: Speaks = Speaks {
        rest: false,
        grpc: Some(true),
        bytes: true,
    };

    fn avail(json: &str) -> Avail {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn of_routir_only_what_can_be_asked_alone_is_taken() {
        let told = r#"{"search":["a","b"],"score":["b"],"fuse":["RRF"],"decompose_query":["e"],
            "content":["docs"],"pipeline_aliases":{}}"#;
        let offer = Offer::read(avail(told), "me", REST).unwrap();
        let services: Vec<_> = offer.services.iter().collect();
        let both = vec![Role::Search, Role::Score];
        assert_eq!(services.len(), 2);
        assert_eq!(offer.services["b"], (both, vec![]));
        assert_eq!(&*offer.collections["docs"].0.default_view, "text");
        assert!(!offer.contents);
    }

    #[test]
    fn what_comes_from_here_is_not_taken_back() {
        let told = r#"{"search":["own","theirs","third"],"fuse":["m"],
            "content":["docs"],"collection":{"docs":{"views":{"ocr":"text","pages":"bytes"},
            "default":"pages"}},
            "server":{"id":"b","endpoints":["contents","fuse"],
            "relayed":{"own":["c","me"],"third":["c"]}}}"#;
        let offer = Offer::read(avail(told), "me", REST).unwrap();
        let names: Vec<_> = offer.services.keys().map(AsRef::as_ref).collect();
        assert_eq!(names, ["m", "theirs", "third"]);
        assert_eq!(offer.services["third"].1, [Arc::from("b"), Arc::from("c")]);
        let docs = &offer.collections["docs"].0;
        assert_eq!((&*docs.default_view, docs.views.len()), ("pages", 2));
        assert!(Offer::read(avail(told), "b", REST).is_err());
        // Without a way to ask, what is beyond RoutIR's calls is not offered.
        let offer = Offer::read(avail(told), "me", GRPC).unwrap();
        assert!(!offer.contents && !offer.services.contains_key("m"));
    }

    #[test]
    fn bytes_are_offered_where_they_can_be_asked_for() {
        let told = r#"{"score":["t","b"],"score_view_kinds":{"t":"text","b":"bytes"},
            "collection":{"docs":{"views":{"ocr":"text","pages":"bytes"},"default":"pages"},
            "film":{"views":{"frames":"bytes"}},"odd":{"views":{"x":"smell"}}}"#;
        let offer = |more: &str, speaks| {
            let offer = Offer::read(avail(&format!("{told}{more}}}")), "me", speaks).unwrap();
            let names = |names: Vec<&Arc<str>>| {
                let names: Vec<_> = names.into_iter().map(AsRef::as_ref).collect();
                names.join(" ")
            };
            let default = offer.collections["docs"].0.default_view.to_string();
            (
                names(offer.services.keys().collect()),
                names(offer.of_bytes.iter().collect()),
                names(offer.collections.keys().collect()),
                default,
            )
        };
        let is = |services: &str, of_bytes: &str, collections: &str, default: &str| {
            let own = [services, of_bytes, collections, default].map(str::to_owned);
            let [services, of_bytes, collections, default] = own;
            (services, of_bytes, collections, default)
        };
        // RoutIR answers bytes over gRPC alone.
        assert_eq!(offer("", REST), is("t", "", "docs", "ocr"));
        let all = is("b t", "b", "docs film", "pages");
        assert_eq!(offer(r#","grpc_port":5"#, REST), all);
        assert_eq!(offer("", GRPC), all);
        // A server of this project has documents over REST, too.
        let ours = r#","server":{"id":"b","endpoints":["contents"]}"#;
        assert_eq!(offer(ours, REST), is("t", "", "docs film", "pages"));
    }
}
