//! What all workers together offer: kept in service on the router's runtime while they come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use routir_batch::{BatchSettings, Policy};
use routir_core::{CollectionInfo, ContentSource, Role, ViewKind};
use routir_dsl::Aliases;
use routir_exec::{Imported, Runtime, ServiceSpec};
use routir_remote::relay::{RelayCollection, RelayService};

use super::{Offered, Spread};
use crate::worker::Offer;

/// How long names stay of workers that are gone for good, so that requests for them are told that
/// nobody is there rather than that there is no such thing.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Of how many workers.
const MAX_REMEMBERED: usize = 256;
/// How many calls of one service go on to workers at once from the router's own pipelines.
const AT_ONCE: usize = 1024;
/// How many more may wait.
const WAITING: usize = 1024;

/// Aliases: name to pipeline source.
type Definitions = BTreeMap<Arc<str>, Arc<str>>;
/// A collection with what was told of it, and whether its documents can be asked for together.
type Source = (CollectionInfo, bool, Arc<RelayCollection<Spread>>);
/// Collections by name, as a runtime takes them in.
type Sources = Vec<(Arc<str>, Arc<dyn ContentSource>)>;

/// A worker, as far as what it offers.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) url: Arc<str>,
    pub(crate) ready: bool,
    pub(crate) offer: Option<Arc<Offer>>,
}

/// What any worker offers, to find out what a request needs.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Services with the roles that they play somewhere.
    pub(crate) services: BTreeMap<Arc<str>, BTreeSet<Role>>,
    /// Collections.
    pub(crate) collections: BTreeSet<Arc<str>>,
    /// Aliases that mean the same on all workers that have them.
    pub(crate) aliases: Aliases,
    /// Aliases that mean one thing here and another there.
    pub(crate) disputed: BTreeSet<Arc<str>>,
    /// Whether all are servers of this project, which have paths that RoutIR's own do not.
    pub(crate) all_ours: bool,
}

impl Known {
    pub(crate) fn plays(&self, role: Role, name: &str) -> bool {
        let roles = self.services.get(name);
        roles.is_some_and(|roles| roles.contains(&role))
    }
}

/// Puts what workers offer into service. The same things keep their handles, so that what did not
/// change keeps its queues and plans.
pub(crate) struct Union {
    spread: Arc<Spread>,
    runtime: Runtime,
    known: Arc<ArcSwap<Known>>,
    offered: Arc<Offered>,
    /// With what they read as scorers.
    services: BTreeMap<Arc<str>, (ViewKind, Arc<RelayService<Spread>>)>,
    collections: BTreeMap<Arc<str>, Source>,
    /// The last offers of the workers that are there.
    last: BTreeMap<Arc<str>, Arc<Offer>>,
    /// Those of workers that are not any more.
    gone: BTreeMap<Arc<str>, (Instant, Arc<Offer>)>,
    /// What the runtime has itself.
    native: BTreeSet<String>,
    left: Vec<String>,
}

impl Union {
    pub(crate) fn new(
        spread: Arc<Spread>,
        runtime: Runtime,
        known: Arc<ArcSwap<Known>>,
        offered: Arc<Offered>,
    ) -> Self {
        let native = runtime.catalog().services.keys().map(own).collect();
        Self {
            native,
            spread,
            runtime,
            known,
            offered,
            services: BTreeMap::new(),
            collections: BTreeMap::new(),
            last: BTreeMap::new(),
            gone: BTreeMap::new(),
            left: Vec::new(),
        }
    }

    /// The workers are these now.
    pub(crate) fn set(&mut self, workers: &[Seen], now: Instant) {
        self.offered.set(workers);
        let offers = self.offers(workers, now);
        let (sources, disputed) = aliases(&offers);
        let mut known = Known {
            disputed,
            all_ours: offers.iter().all(|offer| offer.alone.contents),
            ..Known::default()
        };
        for offer in &offers {
            for (name, roles) in &offer.services {
                let known = known.services.entry(Arc::clone(name)).or_default();
                known.extend(roles.iter().copied());
            }
            known.collections.extend(offer.collections.iter().cloned());
        }
        let imported = Imported {
            services: self.specs(&offers),
            collections: self.sources(&offers),
            aliases: sources,
        };
        let left = self.runtime.set_imports(imported);
        // Every server of this project has the mergers that the router runs itself.
        let left = left
            .into_iter()
            .filter(|it| !self.native.contains(&it.name));
        let left: Vec<String> = left.map(|it| format!("{}: {}", it.name, it.why)).collect();
        if left != self.left {
            for line in &left {
                tracing::info!("not taken from workers: {line}");
            }
            self.left = left;
        }
        // Those that are fit for use, as the runtime found.
        let catalog = self.runtime.catalog();
        let definitions = catalog.aliases.iter();
        known.aliases = Aliases::new(definitions, |_| false).unwrap_or_default();
        self.known.store(Arc::new(known));
    }

    /// The offers that count, those of ready workers first and of each kind by URL.
    fn offers(&mut self, workers: &[Seen], now: Instant) -> Vec<Arc<Offer>> {
        let mut last = BTreeMap::new();
        for worker in workers {
            let offer = worker.offer.clone();
            if let Some(offer) = offer.or_else(|| self.last.get(&worker.url).cloned()) {
                last.insert(Arc::clone(&worker.url), offer);
            }
        }
        for (url, offer) in std::mem::take(&mut self.last) {
            if !last.contains_key(&url) {
                self.gone.insert(url, (now, offer));
            }
        }
        let young = |since: Instant| now.saturating_duration_since(since) < REMEMBERED;
        self.gone
            .retain(|url, (since, _)| !last.contains_key(url) && young(*since));
        while self.gone.len() > MAX_REMEMBERED {
            let oldest = self.gone.iter().min_by_key(|(_, (since, _))| *since);
            let Some(oldest) = oldest.map(|(url, _)| Arc::clone(url)) else {
                break;
            };
            self.gone.remove(&oldest);
        }
        let ready = |ready| {
            let of = workers.iter().filter(move |worker| worker.ready == ready);
            of.filter_map(|worker| last.get(&worker.url).cloned())
        };
        let mut offers: Vec<_> = ready(true).chain(ready(false)).collect();
        offers.extend(self.gone.values().map(|(_, offer)| Arc::clone(offer)));
        self.last = last;
        offers
    }

    fn specs(&mut self, offers: &[Arc<Offer>]) -> Vec<ServiceSpec> {
        let mut roles: BTreeMap<Arc<str>, (ViewKind, BTreeSet<Role>)> = BTreeMap::new();
        for offer in offers {
            for (name, (plays, _)) in &offer.alone.services {
                let reads = match offer.alone.of_bytes.contains(name) {
                    true => ViewKind::Bytes,
                    false => ViewKind::Text,
                };
                // What the first one that scores says.
                let scores = |roles: &BTreeSet<Role>| roles.contains(&Role::Score);
                let known = roles.entry(Arc::clone(name));
                let (kind, known) = known.or_insert_with(|| (reads, BTreeSet::new()));
                if plays.contains(&Role::Score) && !scores(known) {
                    *kind = reads;
                }
                known.extend(plays.iter().copied());
            }
        }
        self.services
            .retain(|name, (kind, _)| roles.get(name).is_some_and(|(reads, _)| reads == kind));
        let spread = &self.spread;
        let services = &mut self.services;
        let spec = |(name, (reads, roles)): (Arc<str>, (ViewKind, BTreeSet<Role>))| {
            let (_, service) = services.entry(Arc::clone(&name)).or_insert_with(|| {
                let service = RelayService::new(Arc::clone(spread), Arc::clone(&name));
                (reads, Arc::new(service.reading(reads)))
            });
            let roles: Vec<Role> = roles.into_iter().collect();
            let roles = service.roles(&roles);
            ServiceSpec {
                engine: Arc::from("Spread"),
                roles,
                batch: BatchSettings {
                    name: Arc::clone(&name),
                    policy: Policy {
                        max_requests: 1,
                        max_tokens: None,
                        max_wait: Duration::ZERO,
                    },
                    capacity: AT_ONCE + WAITING,
                    concurrency: AT_ONCE,
                },
                at_once: AT_ONCE,
                inside: AT_ONCE,
                cache: None,
                identity: None,
                public: false,
                name,
            }
        };
        roles.into_iter().map(spec).collect()
    }

    fn sources(&mut self, offers: &[Arc<Offer>]) -> Sources {
        let mut infos: BTreeMap<Arc<str>, (&CollectionInfo, bool)> = BTreeMap::new();
        for offer in offers {
            for (name, (info, _)) in &offer.alone.collections {
                let entry = infos.entry(Arc::clone(name)).or_insert((info, true));
                entry.1 &= offer.alone.contents;
            }
        }
        self.collections.retain(|name, _| infos.contains_key(name));
        let mut sources = Vec::with_capacity(infos.len());
        for (name, (info, together)) in infos {
            let known = self.collections.get(&name);
            let known = known.filter(|(of, way, _)| (of, *way) == (info, together));
            let source = known.map_or_else(
                || {
                    let (spread, name) = (Arc::clone(&self.spread), Arc::clone(&name));
                    let made = RelayCollection::new(spread, name, info.clone(), together, None);
                    Arc::new(made)
                },
                |(_, _, made)| Arc::clone(made),
            );
            let entry = (info.clone(), together, Arc::clone(&source));
            self.collections.insert(Arc::clone(&name), entry);
            sources.push((name, source as Arc<dyn ContentSource>));
        }
        sources
    }
}

/// Those that mean the same wherever they are, and those that do not.
fn aliases(offers: &[Arc<Offer>]) -> (Definitions, BTreeSet<Arc<str>>) {
    let mut agreed: BTreeMap<Arc<str>, &str> = BTreeMap::new();
    let mut disputed = BTreeSet::new();
    for offer in offers {
        for (name, source) in &offer.aliases {
            if *agreed.entry(Arc::clone(name)).or_insert(source) != source {
                disputed.insert(Arc::clone(name));
            }
        }
    }
    agreed.retain(|name, _| !disputed.contains(name));
    let agreed = agreed.into_iter();
    let agreed = agreed.map(|(name, source)| (name, Arc::from(source)));
    (agreed.collect(), disputed)
}

/// A service as it is called where it is left out.
fn own(name: &Arc<str>) -> String {
    format!("service {name}")
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes};
    use hyper::{Request, Response};
    use routir_core::{BoxFuture, Error, Result};
    use routir_exec::RuntimeSettings;

    use super::super::Carry;
    use super::*;
    use crate::want::Want;

    struct Nobody;

    impl Carry for Nobody {
        fn carry<'a>(
            &'a self,
            _: &'a Want,
            _: Request<Body>,
            _: Instant,
        ) -> BoxFuture<'a, Result<Response<Body>>> {
            Box::pin(async { Err(Error::engine("nobody")) })
        }

        fn call<'a>(
            &'a self,
            _: &'a Want,
            _: Request<Bytes>,
            _: Instant,
        ) -> BoxFuture<'a, Result<Response<Body>>> {
            Box::pin(async { Err(Error::engine("nobody")) })
        }
    }

    fn union() -> Union {
        let spread = Spread::new(Arc::new(Nobody), Arc::from("me"));
        Union::new(
            Arc::new(spread),
            Runtime::builder(RuntimeSettings::default())
                .build()
                .unwrap(),
            Arc::default(),
            Arc::default(),
        )
    }

    fn seen(url: &str, ready: bool, told: Option<&str>) -> Seen {
        let offer = told.map(|told| {
            let offer = Offer::of(serde_json::from_str(told).unwrap(), "me");
            Arc::new(offer.unwrap())
        });
        Seen {
            url: Arc::from(url),
            ready,
            offer,
        }
    }

    fn names(union: &Union) -> String {
        let catalog = union.runtime.catalog();
        let services = catalog.services.keys().map(AsRef::as_ref);
        let aliases = catalog.aliases.keys().map(AsRef::as_ref);
        let collections = catalog.collections.keys().map(AsRef::as_ref);
        let all: Vec<&str> = services.chain(aliases).chain(collections).collect();
        all.join(" ")
    }

    const ONE: &str =
        r#"{"search":["a"],"content":["docs"],"pipeline_aliases":{"x":"a%3","y":"a"}}"#;
    const TWO: &str = r#"{"search":["b"],"score":["a"],"pipeline_aliases":{"x":"a%3","y":"b"}}"#;

    #[tokio::test]
    async fn names_stay_while_their_workers_are_away_and_go_when_they_stay_away() {
        let mut union = union();
        let now = Instant::now();
        let both = [seen("1", true, Some(ONE)), seen("2", true, Some(TWO))];
        union.set(&both, now);
        assert_eq!(names(&union), "a b x docs");
        let known = union.known.load_full();
        assert!(known.plays(Role::Score, "a") && !known.plays(Role::Score, "b"));
        assert!(known.disputed.contains("y") && known.aliases.get("x").is_some());
        // Not ready, silent, or off the list: nothing changes.
        let generation = union.runtime.catalog().generation;
        union.set(
            &[seen("1", false, Some(ONE)), seen("2", true, Some(TWO))],
            now,
        );
        union.set(&[seen("1", false, None), seen("2", true, Some(TWO))], now);
        union.set(&[seen("2", true, Some(TWO))], now);
        assert_eq!(union.runtime.catalog().generation, generation);
        let soon = now + REMEMBERED / 2;
        union.set(&[seen("2", true, Some(TWO))], soon);
        assert_eq!(names(&union), "a b x docs");
        let late = now + REMEMBERED;
        union.set(&[seen("2", true, Some(TWO))], late);
        // What the one that is there has, as it has it.
        assert_eq!(names(&union), "a b x y");
        assert!(union.runtime.catalog().services["a"].search.is_none());
        // Another process at the same place offers what it offers.
        union.set(&[seen("2", true, Some(r#"{"search":["c"]}"#))], late);
        assert_eq!(names(&union), "c");
    }

    #[tokio::test]
    async fn no_more_workers_are_remembered_than_that() {
        let mut union = union();
        let mut now = Instant::now();
        for number in 0..2 * MAX_REMEMBERED {
            now += Duration::from_millis(1);
            let url = format!("w{number}");
            let told = format!(r#"{{"search":["s{number}"]}}"#);
            union.set(&[seen(&url, true, Some(&told))], now);
        }
        assert_eq!(union.gone.len(), MAX_REMEMBERED);
        assert_eq!(union.runtime.catalog().services.len(), MAX_REMEMBERED + 1);
    }
}
