use serde_json::json;

use super::*;
use crate::pools::Candidate;

fn rules() -> Rules {
    Rules {
        max_pools: 8,
        lease: Duration::from_secs(1200),
        profiles: vec!["a100".into(), "l4".into()],
        default_profile: Some("a100".into()),
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

/// Waits until something is so; the test's own time limit is the bound.
async fn until(what: impl Fn() -> bool) {
    let seen = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), seen)
        .await
        .unwrap();
}

fn started(urls: &[&str]) -> (Arc<Pools>, watch::Sender<Workers>) {
    let pools = Pools::in_memory(rules());
    let (tell, workers) = watch::channel(workers(urls));
    tokio::spawn(Arc::clone(&pools).run(workers));
    (pools, tell)
}

#[tokio::test]
async fn traffic_of_a_pool_and_of_none_never_meet() {
    let (pools, tell) = started(&["1", "2", "3"]);
    until(|| pools.view.load().unreserved.len() == 3).await;
    let made = pools
        .create(&json!({ "name": "a", "gpus": { "L4": 2 } }))
        .await
        .unwrap();
    assert_eq!(made.status.state, State::Active);
    let (of_pool, of_none) = (pools.membership(Some("a")), pools.membership(None));
    for url in ["1", "2", "3"] {
        assert_ne!(of_pool.admits(url), of_none.admits(url), "{url}");
    }
    assert!(pools.membership(Some("default")).admits("3"));
    assert!(matches!(pools.membership(Some("b")), Membership::Unknown));
    assert!(!pools.membership(Some("b")).admits("3"));

    // Its workers go: it does not fall back to others, and says so.
    tell.send(workers(&["3"])).unwrap();
    until(|| !pools.membership(Some("a")).admits("1")).await;
    assert_eq!(
        pools.get("a").await.unwrap().status.assigned_workers.len(),
        1
    );
    assert_eq!(pools.get("a").await.unwrap().status.state, State::Pending);
    assert!(!pools.membership(None).admits("3"));
    assert_eq!(
        pools.get("default").await.unwrap().status.state,
        State::Pending
    );
}

#[tokio::test]
async fn a_pool_is_told_in_the_shape_that_clients_read() {
    let (pools, _tell) = started(&["http://1:8080"]);
    until(|| !pools.view.load().unreserved.is_empty()).await;
    let body = json!({ "name": "eval", "gpus": { "l4": 1, "a100": 1 }, "bundle": "default",
        "minimum_worker_count": 3 });
    let made = serde_json::to_value(pools.create(&body).await.unwrap()).unwrap();
    assert_eq!(made["name"], "eval");
    assert_eq!(
        made["spec"],
        json!({ "gpus": { "l4": 1, "a100": 1 }, "bundle": "default", "minimum_worker_count": 3 })
    );
    let first = made["spec"]["gpus"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap();
    assert_eq!(first, "l4");
    assert_eq!(made["status"]["state"], "pending");
    assert_eq!(
        made["status"]["assigned_workers"],
        json!([{ "name": "http://1:8080", "url": "http://1:8080", "gpu": "l4" }])
    );
    assert!(made["status"]["created_at"].as_f64().unwrap() > 1.7e9);
    let left = made["status"]["expires_in_s"].as_f64().unwrap();
    assert!((1190.0..=1200.0).contains(&left), "{left}");

    let list = serde_json::to_value(pools.list().await).unwrap();
    assert_eq!(list["pools"][0]["name"], "default");
    assert_eq!(
        list["pools"][1],
        json!({ "name": "eval", "state": "pending", "gpus": { "l4": 1, "a100": 1 },
            "worker_count": 1 })
    );
    assert_eq!(pools.profile_of(Some("eval")).as_deref(), Some("l4"));
    assert_eq!(pools.profile_of(None).as_deref(), Some("a100"));
    // What scalers are told: its wishes, and its minimum beyond them.
    let leased: Vec<(String, u64)> = pools
        .leased()
        .iter()
        .map(|(key, count)| (key.0.to_string(), *count))
        .collect();
    assert_eq!(leased, [("a100".to_owned(), 1), ("l4".to_owned(), 2)]);
}

#[tokio::test]
async fn what_cannot_be_done_to_a_pool_is_told_with_a_status() {
    let (pools, _tell) = started(&[]);
    assert_eq!(pools.get("a").await.unwrap_err().status, 404);
    assert_eq!(pools.renew("a").await.unwrap_err().status, 404);
    assert_eq!(pools.delete("a").await.unwrap_err().code, "POOL_NOT_FOUND");
    assert_eq!(pools.delete("a/b").await.unwrap_err().status, 404);
    assert_eq!(pools.delete("default").await.unwrap_err().status, 400);
    assert!(pools.renew("default").await.is_ok());
    pools
        .create(&json!({ "name": "a", "gpus": { "l4": 1 } }))
        .await
        .unwrap();
    assert!(pools.renew("a").await.is_ok());
    assert!(pools.delete("a").await.is_ok());
    assert_eq!(pools.delete("a").await.unwrap_err().status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_nobody_renews_gives_its_workers_back() {
    let (pools, _tell) = started(&["1"]);
    until(|| !pools.view.load().unreserved.is_empty()).await;
    let body = json!({ "name": "a", "gpus": { "l4": 1 }, "ttl_seconds": 10 });
    pools.create(&body).await.unwrap();
    assert!(!pools.membership(None).admits("1"));
    // The table's time is the machine's: as if the pool had been renewed long ago.
    {
        let mut inner = pools.inner.lock();
        let mut pool = inner.table.get("a").unwrap().clone();
        pool.last_renewed -= Duration::from_secs(11);
        inner.table.restore([pool]);
    }
    tokio::time::sleep(SWEEP + Duration::from_secs(1)).await;
    assert!(matches!(pools.membership(Some("a")), Membership::Unknown));
    assert!(pools.membership(None).admits("1"));
}
