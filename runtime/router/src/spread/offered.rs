//! What workers offer, as the router tells it of itself: who is there, and through whom names come.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use routir_core::{ImportStatus, Imports, Ways};

use super::union::Seen;

/// What all workers together offer, for `/avail` of the router: it is kept up to date by the router
/// that was given it.
#[derive(Debug, Default)]
pub struct Offered(ArcSwap<Told>);

#[derive(Debug, Default)]
struct Told {
    status: Vec<ImportStatus>,
    services: Arc<Ways>,
    collections: Arc<Ways>,
}

impl Offered {
    pub(super) fn set(&self, workers: &[Seen]) {
        let mut services = Ways::new();
        let mut collections = Ways::new();
        let mut status = Vec::with_capacity(workers.len());
        for worker in workers {
            let Some(offer) = &worker.offer else {
                continue;
            };
            for (name, (_, way)) in &offer.alone.services {
                extend(&mut services, name, way);
            }
            for (name, (_, way)) in &offer.alone.collections {
                extend(&mut collections, name, way);
            }
            let (count, shelves) = (offer.services.len(), offer.collections.len());
            status.push(ImportStatus {
                endpoint: Arc::clone(&worker.url),
                ready: worker.ready,
                required: false,
                detail: match worker.ready {
                    true => format!("offers {count} services and {shelves} collections"),
                    false => "is not ready".to_owned(),
                },
                services: offer.services.keys().cloned().collect(),
                collections: offer.collections.iter().cloned().collect(),
            });
        }
        self.0.store(Arc::new(Told {
            status,
            services: Arc::new(services),
            collections: Arc::new(collections),
        }));
    }
}

/// Whoever finds its own id on any way must not take the name back, so all are told.
fn extend(ways: &mut BTreeMap<Arc<str>, Vec<Arc<str>>>, name: &Arc<str>, way: &[Arc<str>]) {
    let known = ways.entry(Arc::clone(name)).or_default();
    for server in way {
        if !known.contains(server) {
            known.push(Arc::clone(server));
        }
    }
}

impl Imports for Offered {
    fn status(&self) -> Vec<ImportStatus> {
        self.0.load().status.clone()
    }

    fn services(&self) -> Arc<Ways> {
        Arc::clone(&self.0.load().services)
    }

    fn collections(&self) -> Arc<Ways> {
        Arc::clone(&self.0.load().collections)
    }
}
