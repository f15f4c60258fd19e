use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::standin::Api as Server;

const SLICES: &str = "endpointslices";

fn slice(name: &str, endpoints: &[(&str, Option<bool>)]) -> Value {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(address, ready)| json!({ "addresses": [address], "conditions": { "ready": ready } }))
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": name, "labels": { SERVICE_LABEL: "sie-worker" } },
        "endpoints": endpoints,
    })
}

/// What was told, in the order in which it was.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<BTreeSet<String>>>>);

impl Told {
    fn last(&self) -> Option<BTreeSet<String>> {
        self.0.lock().last().cloned()
    }

    /// Waits until just these are told, and says how long that took.
    async fn becomes(&self, hosts: &[&str]) -> Duration {
        let urls: BTreeSet<String> = hosts
            .iter()
            .map(|host| format!("http://{host}:8080"))
            .collect();
        let start = Instant::now();
        while self.last().as_ref() != Some(&urls) {
            let waited = start.elapsed();
            assert!(
                waited < Duration::from_secs(20),
                "{:?} is not {urls:?}",
                self.last()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        start.elapsed()
    }
}

fn options(port: u16, https: bool) -> KubernetesOptions {
    KubernetesOptions {
        namespace: "default".to_owned(),
        service: "sie-worker".to_owned(),
        port,
        https,
    }
}

fn watching(server: &Server) -> (Told, JoinHandle<()>) {
    let told = Told::default();
    let options = options(8080, false);
    let tell = {
        let told = told.clone();
        move |urls| told.0.lock().push(urls)
    };
    let task = tokio::spawn(watch_workers(server.client(), options, tell));
    (told, task)
}

const SOON: Duration = Duration::from_secs(1);

#[tokio::test]
async fn workers_that_come_and_go_are_told_within_a_second() {
    let server = Server::start().await;
    let (told, _task) = watching(&server);
    // No such service yet: no workers, and no error.
    told.becomes(&[]).await;
    server.put(
        SLICES,
        slice("a", &[("10.0.0.1", Some(true)), ("10.0.0.2", Some(false))]),
    );
    assert!(told.becomes(&["10.0.0.1"]).await < SOON);
    server.put(SLICES, slice("b", &[("10.0.0.3", None)]));
    assert!(told.becomes(&["10.0.0.1", "10.0.0.3"]).await < SOON);
    server.put(
        SLICES,
        slice("a", &[("10.0.0.1", Some(false)), ("10.0.0.2", Some(true))]),
    );
    assert!(told.becomes(&["10.0.0.2", "10.0.0.3"]).await < SOON);
    server.remove(SLICES, "b");
    assert!(told.becomes(&["10.0.0.2"]).await < SOON);
    // Another service's are none of ours.
    let mut other = slice("c", &[("10.0.0.9", None)]);
    other["metadata"]["labels"][SERVICE_LABEL] = json!("other");
    server.put(SLICES, other);
    server.put(SLICES, slice("d", &[("10.0.0.4", None)]));
    assert!(told.becomes(&["10.0.0.2", "10.0.0.4"]).await < SOON);
}

#[tokio::test]
async fn what_happened_while_nobody_watched_is_seen_after_an_expired_version() {
    let server = Server::start().await;
    server.put(SLICES, slice("a", &[("10.0.0.1", None)]));
    server.put(SLICES, slice("b", &[("10.0.0.2", None)]));
    let (told, _task) = watching(&server);
    told.becomes(&["10.0.0.1", "10.0.0.2"]).await;
    server.stop().await;
    server.remove(SLICES, "a");
    server.put(SLICES, slice("b", &[("10.0.0.3", None)]));
    server.expire_versions();
    server.restart().await;
    told.becomes(&["10.0.0.3"]).await;
    // While it was away, nobody was told that there are no workers.
    assert!(told.0.lock().iter().all(|urls| !urls.is_empty()));
}

#[tokio::test]
async fn an_expired_watch_lists_anew_within_a_second() {
    let server = Server::start().await;
    server.put(SLICES, slice("a", &[("10.0.0.1", None)]));
    let (told, _task) = watching(&server);
    told.becomes(&["10.0.0.1"]).await;
    server.remove(SLICES, "a");
    server.put(SLICES, slice("b", &[("10.0.0.2", None)]));
    server.expire_versions();
    assert!(told.becomes(&["10.0.0.2"]).await < SOON);
}

#[tokio::test]
async fn watches_that_end_and_errors_lose_nothing() {
    let server = Server::start().await;
    server.fail(&Method::GET, SLICES, 500, 2);
    let (told, _task) = watching(&server);
    told.becomes(&[]).await;
    for round in 1..5 {
        server.drop_watches();
        let host = format!("10.0.0.{round}");
        server.put(SLICES, slice("a", &[(&host, None)]));
        assert!(told.becomes(&[&host]).await < SOON);
    }
}

#[tokio::test]
async fn where_slices_are_forbidden_endpoints_are_read_and_where_both_are_it_goes_on_trying() {
    let server = Server::start().await;
    server.forbid(SLICES, true);
    server.forbid("endpoints", true);
    server.put(SLICES, slice("a", &[("10.0.0.1", None)]));
    server.put(
        "endpoints",
        json!({
            "apiVersion": "v1", "kind": "Endpoints", "metadata": { "name": "sie-worker" },
            "subsets": [{ "addresses": [{ "ip": "10.0.0.2" }], "notReadyAddresses": [{ "ip": "10.0.0.3" }] }],
        }),
    );
    let (told, task) = watching(&server);
    let asked = |resource: &str| {
        server
            .asked()
            .contains(&("list".to_owned(), resource.to_owned()))
    };
    while !(asked(SLICES) && asked("endpoints")) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(told.last().is_none() && !task.is_finished());
    server.forbid("endpoints", false);
    told.becomes(&["10.0.0.2"]).await;
    // The role was mended: what is newer is read once Endpoints are not.
    server.forbid(SLICES, false);
    server.forbid("endpoints", true);
    told.becomes(&["10.0.0.1"]).await;
    server.put(SLICES, slice("a", &[("10.0.0.5", None)]));
    told.becomes(&["10.0.0.5"]).await;
    for (_, resource, verbs) in crate::PERMISSIONS {
        if [SLICES, "endpoints"].contains(resource) {
            let asked = server.asked();
            let of_it = asked.iter().filter(|(_, of)| of == resource);
            let asked: BTreeSet<&str> = of_it.map(|(verb, _)| verb.as_str()).collect();
            assert_eq!(asked, verbs.iter().copied().collect(), "{resource}");
        }
    }
}

#[test]
fn a_pod_with_two_addresses_is_one_worker_and_a_name_is_none() {
    let read = |value: Value| serde_json::from_value::<EndpointSlice>(value).unwrap();
    let pod = |uid: &str| json!({ "kind": "Pod", "name": uid, "uid": uid });
    let mut v4 = slice("v4", &[("10.0.0.1", None), ("10.0.0.2", None)]);
    let mut v6 = slice("v6", &[("fd00::1", None), ("fd00::3", None)]);
    v4["endpoints"][0]["targetRef"] = pod("one");
    v6["endpoints"][0]["targetRef"] = pod("one");
    let name = slice("name", &[("worker.example.com", None)]);
    let slices = [read(v6), read(name), read(v4)];
    let urls = urls_of_slices(slices.iter(), &options(80, true));
    let expected = [
        "https://10.0.0.1:80",
        "https://10.0.0.2:80",
        "https://[fd00::3]:80",
    ];
    assert_eq!(urls.iter().collect::<Vec<_>>(), expected);
}
