//! What all servers together offer: one owner for each name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use routir_core::{CollectionInfo, Role, Roles, ViewKind, Ways};

use super::offer::Offer;
use super::{Peer, RelayCache, RelayCollection, RelayService};

/// How many different names of services are taken from one server while this one runs. Each has
/// counters of its own, which stay.
const MAX_NAMES_EVER: usize = 20_000;

/// The names of services and of collections that are one server's.
pub(crate) type Taken = (Vec<Arc<str>>, Vec<Arc<str>>);

/// Services and collections of other servers, ready to be put into service.
#[derive(Default)]
pub struct Union {
    /// Services by name.
    pub services: BTreeMap<Arc<str>, Roles>,
    /// Collections by name.
    pub collections: BTreeMap<Arc<str>, Arc<RelayCollection>>,
    pub(crate) service_ways: Ways,
    pub(crate) collection_ways: Ways,
    /// For each server, in order: its services and collections that are taken.
    pub(crate) taken: Vec<Taken>,
}

/// One server's offer, and the handles that were made of it: the same things keep theirs, so that
/// what did not change is known not to have.
pub(crate) struct Source {
    pub(crate) peer: Arc<Peer>,
    pub(crate) extras: serde_json::Map<String, serde_json::Value>,
    /// The last one that was heard.
    pub(crate) offer: Option<Arc<Offer>>,
    pub(crate) ready: bool,
    services: BTreeMap<Arc<str>, (ViewKind, Arc<RelayService>)>,
    collections: BTreeMap<Arc<str>, (CollectionInfo, bool, Arc<RelayCollection>)>,
    /// The names of services that it ever had.
    named: BTreeSet<Arc<str>>,
}

impl Source {
    pub(crate) fn new(peer: Arc<Peer>, extras: serde_json::Map<String, serde_json::Value>) -> Self {
        Self {
            peer,
            extras,
            offer: None,
            ready: false,
            services: BTreeMap::new(),
            collections: BTreeMap::new(),
            named: BTreeSet::new(),
        }
    }

    /// Forgets what is not in its offer any more.
    fn forget(&mut self, offer: &Offer) {
        self.services
            .retain(|name, _| offer.services.contains_key(name));
        self.collections
            .retain(|name, _| offer.collections.contains_key(name));
    }

    fn service(&mut self, name: &Arc<str>, reads: ViewKind) -> Option<Arc<RelayService>> {
        if let Some((known, service)) = self.services.get(name)
            && *known == reads
        {
            return Some(Arc::clone(service));
        }
        if !self.named.contains(name) {
            if self.named.len() >= MAX_NAMES_EVER {
                return None;
            }
            self.named.insert(Arc::clone(name));
            if self.named.len() == MAX_NAMES_EVER {
                tracing::warn!(
                    server = %self.peer.label(),
                    "another server had {MAX_NAMES_EVER} different services since this one \
                     started; what it names besides is left out"
                );
            }
        }
        // The extras were tried when the configuration was read.
        let peer = Arc::clone(&self.peer);
        let made = RelayService::new(peer, Arc::clone(name)).reading(reads);
        let made = Arc::new(made.sending(self.extras.clone()).ok()?);
        let entry = (reads, Arc::clone(&made));
        self.services.insert(Arc::clone(name), entry);
        Some(made)
    }

    fn collection(
        &mut self,
        name: &Arc<str>,
        info: &CollectionInfo,
        together: bool,
        cache: Option<&RelayCache>,
    ) -> Arc<RelayCollection> {
        if let Some((known, way, made)) = self.collections.get(name)
            && (known, *way) == (info, together)
        {
            return Arc::clone(made);
        }
        let peer = Arc::clone(&self.peer);
        let made = RelayCollection::new(
            peer,
            Arc::clone(name),
            info.clone(),
            together,
            cache.cloned(),
        );
        let made = Arc::new(made);
        let entry = (info.clone(), together, Arc::clone(&made));
        self.collections.insert(Arc::clone(name), entry);
        made
    }
}

/// The union of all offers. A role of a name goes to the first server of the list that has it and
/// answers; where none answers, the first that had it keeps it, and says that it is away.
pub(crate) fn union(sources: &mut [Source], cache: Option<&RelayCache>) -> Union {
    let mut union = Union {
        taken: vec![Taken::default(); sources.len()],
        ..Union::default()
    };
    for ready in [true, false] {
        for (at, source) in sources.iter_mut().enumerate() {
            let Some(offer) = source.offer.clone().filter(|_| source.ready == ready) else {
                continue;
            };
            source.forget(&offer);
            let mut taken = Taken::default();
            for (name, (roles, way)) in &offer.services {
                let free = free(union.services.get(name), roles);
                let reads = match offer.of_bytes.contains(name) {
                    true => ViewKind::Bytes,
                    false => ViewKind::Text,
                };
                let Some(service) = source.service(name, reads).filter(|_| !free.is_empty()) else {
                    continue;
                };
                let entry = union.services.entry(Arc::clone(name)).or_default();
                add(entry, service.roles(&free));
                let ways = &mut union.service_ways;
                ways.entry(Arc::clone(name))
                    .or_default()
                    .extend(way.iter().cloned());
                taken.0.push(Arc::clone(name));
            }
            for (name, (info, way)) in &offer.collections {
                if union.collections.contains_key(name) {
                    continue;
                }
                let made = source.collection(name, info, offer.contents, cache);
                union.collections.insert(Arc::clone(name), made);
                union.collection_ways.insert(Arc::clone(name), way.clone());
                taken.1.push(Arc::clone(name));
            }
            if let Some(place) = union.taken.get_mut(at) {
                *place = taken;
            }
        }
    }
    union
}

/// Those of `roles` that nobody plays yet.
fn free(played: Option<&Roles>, roles: &[Role]) -> Vec<Role> {
    let is_free = |role: &Role| {
        played.is_none_or(|played| match role {
            Role::Search => played.search.is_none(),
            Role::Score => played.score.is_none(),
            Role::Fuse => played.fuse.is_none(),
            Role::DecomposeQuery => played.decompose.is_none(),
        })
    };
    roles.iter().copied().filter(is_free).collect()
}

fn add(roles: &mut Roles, more: Roles) {
    roles.search = roles.search.take().or(more.search);
    roles.score = roles.score.take().or(more.score);
    roles.fuse = roles.fuse.take().or(more.fuse);
    roles.decompose = roles.decompose.take().or(more.decompose);
}

#[cfg(test)]
mod tests {
    use super::super::offer::Speaks;
    use super::super::{PeerSettings, Peers};
    use super::*;

    const REST: Speaks = Speaks {
        rest: true,
        grpc: None,
        bytes: true,
    };

    fn source(peers: &Peers, port: u16, json: &str, ready: bool) -> Source {
        let settings = PeerSettings::new(format!("http://127.0.0.1:{port}"));
        let mut source = Source::new(peers.get(&settings).unwrap(), Default::default());
        let avail = serde_json::from_str(json).unwrap();
        source.offer = Some(Arc::new(Offer::read(avail, "me", REST).unwrap()));
        source.ready = ready;
        source
    }

    /// Whose each name is, server by server.
    fn owners(union: &Union) -> Vec<String> {
        let shown = union.taken.iter();
        shown
            .map(|(services, collections)| format!("{services:?} {collections:?}"))
            .collect()
    }

    #[test]
    fn the_first_that_answers_has_a_name_and_gives_it_back() {
        let peers = Peers::default();
        let both = r#"{"search":["a"],"content":["d"]}"#;
        let mut sources = [
            source(&peers, 1, both, false),
            source(
                &peers,
                2,
                r#"{"search":["a"],"score":["a"],"content":["d"]}"#,
                true,
            ),
        ];
        let away = union(&mut sources, None);
        assert_eq!(owners(&away), [r#"[] []"#, r#"["a"] ["d"]"#]);
        sources[0].ready = true;
        let back = union(&mut sources, None);
        assert_eq!(owners(&back), [r#"["a"] ["d"]"#, r#"["a"] []"#]);
        assert!(back.services["a"].score.is_some());
        // Of nobody who answers, the first keeps it.
        sources[0].ready = false;
        sources[1].ready = false;
        let none = union(&mut sources, None);
        assert_eq!(owners(&none), owners(&back));
    }

    #[test]
    fn a_server_whose_names_change_is_not_remembered_for_ever() {
        let peers = Peers::default();
        let mut sources = [source(&peers, 1, r#"{"search":["s"]}"#, true)];
        let mut last = Union::default();
        for round in 0..3_u32 {
            let names = |kind| (0..7_500).map(move |at| format!("{kind}{round}-{at}"));
            let avail = serde_json::json!({
                "search": names("s").collect::<Vec<_>>(),
                "content": names("c").collect::<Vec<_>>(),
            });
            let offer = Offer::read(serde_json::from_value(avail).unwrap(), "me", REST);
            sources[0].offer = Some(Arc::new(offer.unwrap()));
            last = union(&mut sources, None);
            assert_eq!(sources[0].collections.len(), 7_500);
            assert!(sources[0].services.len() <= 7_500);
            assert!(
                last.services
                    .keys()
                    .all(|name| name.starts_with(&format!("s{round}-")))
            );
        }
        // What it had before it named too much stays possible, also while it is away.
        assert_eq!(last.services.len(), MAX_NAMES_EVER - 15_000);
        sources[0].ready = false;
        assert_eq!(union(&mut sources, None).services.len(), 5_000);
        let json = r#"{"search":["s1-7","new"]}"#;
        let offer = Offer::read(serde_json::from_str(json).unwrap(), "me", REST);
        sources[0].offer = Some(Arc::new(offer.unwrap()));
        assert!(
            union(&mut sources, None)
                .services
                .keys()
                .eq([&Arc::from("s1-7")])
        );
    }

    #[test]
    fn what_did_not_change_is_the_same() {
        let peers = Peers::default();
        let mut sources = [source(
            &peers,
            1,
            r#"{"search":["a"],"content":["d"]}"#,
            true,
        )];
        let one = union(&mut sources, None);
        let other = union(&mut sources, None);
        let search = |union: &Union| union.services["a"].search.clone().unwrap();
        assert!(std::ptr::addr_eq(
            Arc::as_ptr(&search(&one)),
            Arc::as_ptr(&search(&other))
        ));
        assert!(Arc::ptr_eq(&one.collections["d"], &other.collections["d"]));
    }
}
