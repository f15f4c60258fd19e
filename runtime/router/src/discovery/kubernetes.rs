//! The workers behind a service of a cluster: the addresses of its EndpointSlices that are ready.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use tokio::time::Instant;

use super::follow::{Change, Pace, follow_unless, is_forbidden};

/// Addresses of one service beyond this are not workers of this router.
const MAX_WORKERS: usize = 10_000;
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Where in a cluster the workers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesOptions {
    /// The namespace of the workers' service, and of the pools.
    pub namespace: String,
    /// The headless service.
    pub service: String,
    /// The port that workers listen on.
    pub port: u16,
    /// Whether they speak TLS there.
    pub https: bool,
}

/// A client of the cluster that this process runs in, or that the kubeconfig names.
pub(crate) async fn client() -> Result<Client, String> {
    Client::try_default()
        .await
        .map_err(|error| format!("no cluster is known: {error}; run inside one, or set KUBECONFIG"))
}

/// Tells the base URLs of all ready workers whenever they change, for as long as it is polled.
///
/// Where EndpointSlices may not be read, the service's Endpoints are, which older roles allow.
pub(crate) async fn watch_workers(
    client: Client,
    options: KubernetesOptions,
    mut tell: impl FnMut(BTreeSet<String>),
) {
    let mut told: Option<BTreeSet<String>> = None;
    let mut tell = |urls: BTreeSet<String>| {
        if told.as_ref() != Some(&urls) {
            tracing::info!(
                workers = urls.len(),
                service = options.service,
                "the cluster's workers"
            );
            told = Some(urls.clone());
            tell(urls);
        }
    };
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), &options.namespace);
    let endpoints: Api<Endpoints> = Api::namespaced(client, &options.namespace);
    let labelled =
        watcher::Config::default().labels(&format!("{SERVICE_LABEL}={}", options.service));
    let named = watcher::Config::default().fields(&format!("metadata.name={}", options.service));
    let mut pace = Pace::default();
    loop {
        let mut known: Known<EndpointSlice> = Known::default();
        let mut apply = |change| {
            known.apply(change);
            tell(urls_of_slices(known.objects(), &options));
        };
        follow_unless(
            &slices,
            &labelled,
            "EndpointSlices",
            &mut apply,
            is_forbidden,
        )
        .await;
        tracing::warn!("this account may not read EndpointSlices; trying Endpoints");

        let mut known: Known<Endpoints> = Known::default();
        let mut apply = |change| {
            known.apply(change);
            tell(urls_of_endpoints(known.objects(), &options));
        };
        follow_unless(&endpoints, &named, "Endpoints", &mut apply, is_forbidden).await;
        let wait = pace.next(Instant::now());
        tracing::warn!(
            "this account may read neither EndpointSlices nor Endpoints in the namespace `{}`; trying again in {:.1} s",
            options.namespace,
            wait.as_secs_f64()
        );
        tokio::time::sleep(wait).await;
    }
}

/// The objects that there are now, by name.
struct Known<K>(BTreeMap<String, K>);

impl<K> Default for Known<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: ResourceExt> Known<K> {
    fn apply(&mut self, change: Change<K>) {
        match change {
            Change::All(objects) => {
                self.0 = objects.into_iter().map(|o| (o.name_any(), o)).collect();
            }
            Change::Put(object) => {
                self.0.insert(object.name_any(), object);
            }
            Change::Gone(object) => {
                self.0.remove(&object.name_any());
            }
        }
    }

    fn objects(&self) -> impl Iterator<Item = &K> {
        self.0.values()
    }
}

/// A pod of a service with two families of addresses is in slices of both, and one worker.
fn urls_of_slices<'a>(
    slices: impl Iterator<Item = &'a EndpointSlice>,
    options: &KubernetesOptions,
) -> BTreeSet<String> {
    let mut workers: BTreeMap<String, IpAddr> = BTreeMap::new();
    for endpoint in slices.flat_map(|slice| &slice.endpoints) {
        if !is_ready(endpoint) {
            continue;
        }
        // What is not an address is a name that the service points to: not a pod.
        let first = endpoint
            .addresses
            .iter()
            .find_map(|text| text.parse::<IpAddr>().ok());
        let Some(address) = first else { continue };
        let pod = endpoint.target_ref.as_ref().and_then(|pod| pod.uid.clone());
        let key = pod.unwrap_or_else(|| address.to_string());
        // IPv4 before IPv6.
        let kept = workers.entry(key).or_insert(address);
        *kept = (*kept).min(address);
    }
    to_urls(workers.into_values(), options)
}

/// Not known is ready, as the cluster itself has it.
fn is_ready(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.as_ref();
    conditions
        .and_then(|conditions| conditions.ready)
        .unwrap_or(true)
}

fn urls_of_endpoints<'a>(
    endpoints: impl Iterator<Item = &'a Endpoints>,
    options: &KubernetesOptions,
) -> BTreeSet<String> {
    let subsets = endpoints.flat_map(|object| object.subsets.iter().flatten());
    let ready = subsets.flat_map(|subset| subset.addresses.iter().flatten());
    let parsed = ready.filter_map(|address: &EndpointAddress| address.ip.parse().ok());
    to_urls(parsed, options)
}

fn to_urls(
    addresses: impl Iterator<Item = IpAddr>,
    options: &KubernetesOptions,
) -> BTreeSet<String> {
    let scheme = match options.https {
        true => "https",
        false => "http",
    };
    let url = |address| format!("{scheme}://{}", SocketAddr::new(address, options.port));
    let mut urls: BTreeSet<String> = addresses.map(url).collect();
    if urls.len() > MAX_WORKERS {
        tracing::warn!(
            "the service has {} addresses; only {MAX_WORKERS} are used",
            urls.len()
        );
        urls = urls.into_iter().take(MAX_WORKERS).collect();
    }
    urls
}

#[cfg(test)]
#[path = "kubernetes_tests.rs"]
mod tests;
