use std::collections::HashSet;
use std::time::Instant;

use axum::http::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::super::super::table::State;
use super::super::super::{Candidate, Membership, Rules};
use super::super::Timing;
use super::*;
use crate::standin::Api as Server;

const MAPS: &str = "configmaps";
const LEASES: &str = "leases";

fn rules() -> Rules {
    Rules {
        max_pools: 32,
        lease: Duration::from_secs(1200),
        profiles: Vec::new(),
        default_profile: None,
    }
}

fn timing() -> Timing {
    Timing {
        lease: Duration::from_secs(1),
        retry: Duration::from_millis(200),
        call: Duration::from_secs(2),
        settle: Duration::from_millis(500),
    }
}

fn workers(urls: &[&str]) -> Workers {
    let worker = |url: &&str| Candidate {
        url: (*url).into(),
        name: (*url).into(),
        profile: "l4".into(),
        bundle: "default".into(),
        routable: true,
    };
    urls.iter().map(worker).collect()
}

/// A replica of the router, as far as pools go.
struct Replica {
    pools: Arc<Pools>,
    workers: watch::Sender<Workers>,
    task: JoinHandle<()>,
}

impl Replica {
    fn start(server: &Server, identity: &str, urls: &[&str]) -> Self {
        let rules = rules();
        let identity = identity.to_owned();
        let cluster = Cluster::new(&server.client(), "default", identity, &rules, timing());
        let pools = Pools::in_cluster(rules, cluster);
        let (tell, known) = watch::channel(workers(urls));
        let task = tokio::spawn(Arc::clone(&pools).run(known));
        Self {
            pools,
            workers: tell,
            task,
        }
    }

    fn leads(&self) -> bool {
        self.pools.cluster.as_ref().unwrap().leader.leads()
    }

    fn sees(&self, pool: &str) -> Option<Vec<String>> {
        match self.pools.membership(Some(pool)) {
            Membership::Only(urls) => Some(urls.iter().map(ToString::to_string).collect()),
            _ => None,
        }
    }

    async fn make(&self, name: &str, count: u32) -> Result<(), PoolError> {
        let body = json!({ "name": name, "gpus": { "l4": count } });
        self.pools.create(&body).await.map(drop)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

fn kept(server: &Server, pool: &str, key: &str) -> Value {
    let map = server.get(MAPS, &format!("sie-pool-{pool}")).unwrap();
    serde_json::from_str(map["data"][key].as_str().unwrap()).unwrap()
}

/// No worker is named by two objects.
fn assert_apart(server: &Server) {
    let mut seen = HashSet::new();
    for map in server.all(MAPS) {
        let status: Value = serde_json::from_str(map["data"]["status"].as_str().unwrap()).unwrap();
        for member in status["assigned_workers"].as_array().unwrap() {
            assert!(
                seen.insert(member["url"].to_string()),
                "{} is in two pools",
                member["url"]
            );
        }
    }
}

#[tokio::test]
async fn a_pool_that_another_replica_made_just_now_is_asked_for() {
    let server = Server::start().await;
    let maker = Replica::start(&server, "a", &["1", "2"]);
    until("it leads", || maker.leads()).await;
    until("workers are known", || {
        !maker.pools.inner.lock().workers.is_empty()
    })
    .await;
    maker.make("eval", 1).await.unwrap();
    // One that has not been told of anything yet.
    let rules = rules();
    let cluster = Cluster::new(&server.client(), "default", "b".into(), &rules, timing());
    let other = Pools::in_cluster(rules, cluster);
    let unknown = |membership| matches!(membership, Membership::Unknown);
    assert!(unknown(other.membership(Some("eval"))));
    assert!(other.membership_by_now(Some("eval")).await.admits("1"));
    assert!(unknown(other.membership_by_now(Some("nobodys")).await));
    assert!(unknown(other.membership_by_now(Some("No Name/")).await));
}

#[tokio::test]
async fn a_pool_made_on_one_replica_is_the_same_on_the_other() {
    let server = Server::start().await;
    let urls = ["1", "2", "3"];
    let (a, b) = (
        Replica::start(&server, "a", &urls),
        Replica::start(&server, "b", &urls),
    );
    until("somebody leads", || a.leads() || b.leads()).await;
    let follower = if a.leads() { &b } else { &a };
    let leader = if a.leads() { &a } else { &b };
    until("workers are known", || {
        !leader.pools.inner.lock().workers.is_empty()
    })
    .await;

    let body = json!({ "name": "eval", "gpus": { "l4": 2 }, "bundle": "default" });
    let made = follower.pools.create(&body).await.unwrap();
    // There were workers for it: the one that assigns did so at once.
    assert_eq!(made.status.state, State::Active);
    let seen = until("both see it", || {
        a.sees("eval") == b.sees("eval") && a.sees("eval").is_some()
    });
    assert!(seen.await < Duration::from_secs(1));
    assert_eq!(a.sees("eval").unwrap(), ["1", "2"]);
    assert!(!a.pools.membership(None).admits("1") && !b.pools.membership(None).admits("2"));

    // In the format of old.
    let map = server.get(MAPS, "sie-pool-eval").unwrap();
    assert_eq!(
        map["metadata"]["labels"]["sie.superlinked.com/type"],
        "pool"
    );
    assert_eq!(
        kept(&server, "eval", "spec"),
        json!({ "gpus": { "l4": 2 }, "bundle": "default", "minimum_worker_count": 0 })
    );
    let status = kept(&server, "eval", "status");
    assert_eq!(status["state"], "active");
    assert_eq!(
        status["assigned_workers"][0],
        json!({ "name": "1", "url": "1", "gpu": "l4" })
    );
    let lease = server.get(LEASES, "sie-pool-eval").unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "eval");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 1200);

    // A renewal on one counts on the other.
    let before = leader.pools.get("eval").await.unwrap().status.last_renewed;
    follower.pools.renew("eval").await.unwrap();
    until("the renewal is seen", || {
        leader
            .pools
            .inner
            .lock()
            .table
            .get("eval")
            .unwrap()
            .last_renewed
            .as_secs_f64()
            > before
    })
    .await;
    assert_eq!(leader.pools.get("unknown").await.unwrap_err().status, 404);
    leader.pools.delete("eval").await.unwrap();
    until("it is gone", || follower.sees("eval").is_none()).await;
    assert!(follower.pools.membership(None).admits("1"));
    assert!(server.all(MAPS).is_empty());
    assert_eq!(follower.pools.delete("eval").await.unwrap_err().status, 404);

    // What is asked of the cluster is what the role allows.
    let renews = ("update".to_owned(), LEASES.to_owned());
    until("who leads goes on to", || server.asked().contains(&renews)).await;
    let asked: BTreeSet<(String, String)> = server.asked();
    for (_, resource, verbs) in crate::PERMISSIONS {
        if [MAPS, LEASES].contains(resource) {
            let of_it = asked.iter().filter(|(_, of)| of == resource);
            let asked: BTreeSet<&str> = of_it.map(|(verb, _)| verb.as_str()).collect();
            assert_eq!(asked, verbs.iter().copied().collect(), "{resource}");
        }
    }
}

#[tokio::test]
async fn pools_made_at_once_on_two_replicas_share_no_worker() {
    let server = Server::start().await;
    let urls = ["1", "2", "3", "4"];
    let (a, b) = (
        Replica::start(&server, "a", &urls),
        Replica::start(&server, "b", &urls),
    );
    // The same name, too: one of them makes it, the other finds it.
    let names = ["p0", "p1", "p2", "same"];
    let makes = names
        .iter()
        .flat_map(|name| [a.make(name, 1), b.make(name, 1)]);
    for made in futures_util::future::join_all(makes).await {
        made.unwrap();
    }
    let all_active = || {
        names.iter().all(|name| {
            a.sees(name).is_some_and(|urls| urls.len() == 1) && a.sees(name) == b.sees(name)
        })
    };
    until("all have their worker", all_active).await;
    assert_apart(&server);
    let held: HashSet<String> = names
        .iter()
        .flat_map(|name| a.sees(name).unwrap())
        .collect();
    assert_eq!(held.len(), 4);
}

#[tokio::test]
async fn conflicts_again_and_again_are_got_over_and_end() {
    let server = Server::start().await;
    let a = Replica::start(&server, "a", &["1", "2", "3"]);
    until("it leads", || a.leads()).await;
    server.fail(&Method::PATCH, MAPS, 409, 5);
    server.fail(&Method::PATCH, LEASES, 409, 2);
    a.make("p", 1).await.unwrap();
    server.fail(&Method::PATCH, MAPS, 409, 3);
    a.make("p", 2).await.unwrap();
    until("it has two", || {
        a.sees("p").is_some_and(|urls| urls.len() == 2)
    })
    .await;
    assert_eq!(kept(&server, "p", "spec")["gpus"], json!({ "l4": 2 }));
    // Two that want different things at once: one of them gets it, and both see the same.
    let b = Replica::start(&server, "b", &["1", "2", "3"]);
    let makes = (1..=3).flat_map(|count| [a.make("p", count), b.make("p", count)]);
    for made in futures_util::future::join_all(makes).await {
        made.unwrap();
    }
    let wanted = kept(&server, "p", "spec")["gpus"]["l4"].as_u64().unwrap();
    until("it has what it asks for", || {
        let members = a.sees("p");
        members == b.sees("p") && members.is_some_and(|urls| urls.len() as u64 == wanted)
    })
    .await;
    // Without end, it is told.
    server.fail(&Method::PATCH, MAPS, 409, 10_000);
    let error = a.make("p", wanted as u32 + 1).await.unwrap_err();
    assert_eq!((error.status, error.code), (409, "POOL_CONFLICT"));
}

#[tokio::test]
async fn a_dead_member_is_replaced_whoever_assigns_and_whoever_dies() {
    let server = Server::start().await;
    let urls = ["1", "2"];
    let (a, b) = (
        Replica::start(&server, "a", &urls),
        Replica::start(&server, "b", &urls),
    );
    a.make("p", 1).await.unwrap();
    until("it is active", || {
        a.sees("p").is_some_and(|urls| urls == ["1"])
    })
    .await;
    // The one that assigns dies without a word.
    until("somebody leads", || a.leads() || b.leads()).await;
    let (dies, lives) = if a.leads() { (a, b) } else { (b, a) };
    // The other sees other workers, and undoes nothing.
    let version = || server.get(MAPS, "sie-pool-p").unwrap()["metadata"]["resourceVersion"].clone();
    let before = version();
    for urls in [["2"], ["3"], ["2"], ["3"]] {
        lives.workers.send(workers(&urls)).unwrap();
        let knows = || lives.pools.inner.lock().workers[0].url.as_ref() == urls[0];
        until("it knows them", knows).await;
        tokio::time::sleep(timing().settle / 2).await;
    }
    assert_eq!(version(), before);
    drop(dies);
    let died = Instant::now();
    lives.workers.send(workers(&["2"])).unwrap();
    until("it is replaced", || {
        lives.sees("p").is_some_and(|urls| urls == ["2"])
    })
    .await;
    assert!(died.elapsed() < Duration::from_secs(5));
    // One that reaches nobody empties nothing.
    lives.workers.send(workers(&[])).unwrap();
    until("it is told", || {
        kept(&server, "p", "status")["state"] == "pending"
    })
    .await;
    assert_eq!(lives.sees("p").unwrap(), ["2"]);
}

#[tokio::test]
async fn one_that_leaves_in_order_is_followed_at_once() {
    let server = Server::start().await;
    let a = Replica::start(&server, "a", &["1"]);
    until("a leads", || a.leads()).await;
    let b = Replica::start(&server, "b", &["1"]);
    a.task.abort();
    a.pools.resign().await;
    let took = until("b leads", || b.leads()).await;
    assert!(took < Duration::from_millis(800), "{took:?}");
}

#[tokio::test]
async fn without_the_api_known_pools_go_on_and_new_ones_are_refused() {
    let server = Server::start().await;
    let a = Replica::start(&server, "a", &["1", "2"]);
    until("it leads", || a.leads()).await;
    a.make("p", 1).await.unwrap();
    until("it is active", || {
        a.sees("p").is_some_and(|urls| urls == ["1"])
    })
    .await;
    server.stop().await;
    let error = a.make("q", 1).await.unwrap_err();
    assert_eq!((error.status, error.code), (503, "POOLS_UNAVAILABLE"));
    assert!(error.retry_after.is_some());
    assert_eq!(a.pools.renew("p").await.unwrap_err().status, 503);
    assert_eq!(a.sees("p").unwrap(), ["1"]);
    assert!(!a.pools.membership(None).admits("1"));
    assert!(a.pools.get("p").await.is_ok());
    server.restart().await;
    let made = || async { a.make("q", 1).await.is_ok() };
    assert!(made().await);
    until("it is active", || {
        a.sees("q").is_some_and(|urls| urls == ["2"])
    })
    .await;
}

#[tokio::test]
async fn what_nobody_renews_is_collected_and_what_is_broken_harms_nobody() {
    let server = Server::start().await;
    let labels = json!({ "sie.superlinked.com/type": "pool" });
    let map = |name: &str, spec: &str, status: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": format!("sie-pool-{name}"), "labels": labels },
            "data": { "spec": spec, "status": status },
        })
    };
    let member = |url: &str| json!({ "name": url, "url": url, "gpu": "l4" });
    let now = now_s();
    let status = |members: &[&str], renewed: f64| {
        let members: Vec<Value> = members.iter().map(|url| member(url)).collect();
        json!({ "state": "active", "assigned_workers": members, "created_at": renewed,
            "last_renewed": renewed })
        .to_string()
    };
    let one = r#"{"gpus": {"l4": 1}, "minimum_worker_count": 0}"#;
    // As the router before left them: one that lives, one that is over, one that claims the same
    // worker, and rubbish.
    server.put(MAPS, map("lives", one, &status(&["1"], now - 100.0)));
    server.put(MAPS, map("over", one, &status(&["2"], now - 5000.0)));
    server.put(MAPS, map("claims", one, &status(&["1"], now - 50.0)));
    server.put(MAPS, map("rubbish", r#"{"gpus": {"l4": "two"}}"#, "[]"));
    server.put(
        MAPS,
        map("default", r#"{"gpus": {"l4": 999}}"#, &status(&[], now)),
    );
    server.put(MAPS, map("UPPER", one, "{}"));
    // A lease without a pool, and one that was renewed though the pool does not say so.
    let lease = |name: &str, renewed: &str| {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": format!("sie-pool-{name}") },
            "spec": { "holderIdentity": name, "leaseDurationSeconds": 1200, "renewTime": renewed },
        })
    };
    let mut orphan = lease("orphan", "2020-01-01T00:00:00.000000Z");
    orphan["metadata"]["labels"] = labels.clone();
    server.put(LEASES, orphan);
    server.put(MAPS, map("renewed", one, &status(&["3"], now - 5000.0)));
    server.put(LEASES, lease("renewed", "2100-01-01T00:00:00.000000Z"));
    let a = Replica::start(&server, "a", &["1", "2"]);
    until("the claim is settled", || {
        a.sees("claims").is_some_and(|urls| urls == ["2"])
    })
    .await;
    assert_eq!(a.sees("lives").unwrap(), ["1"]);
    assert!(a.sees("over").is_none() && server.get(MAPS, "sie-pool-over").is_none());
    assert!(a.sees("rubbish").is_none() && server.get(MAPS, "sie-pool-rubbish").is_some());
    until("what is left is swept", || {
        server.get(LEASES, "sie-pool-orphan").is_none()
    })
    .await;
    assert!(server.get(MAPS, "sie-pool-renewed").is_some());
    assert_eq!(
        a.pools.get("renewed").await.unwrap().status.state,
        State::Pending
    );
    assert_eq!(a.pools.list().await.pools.len(), 4);
}

fn now_s() -> f64 {
    super::super::now().as_secs_f64()
}

#[path = "random_tests.rs"]
mod random;
