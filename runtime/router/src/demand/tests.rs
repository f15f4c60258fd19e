use prometheus_client::encoding::text;
use serde_json::json;

use super::*;
use crate::pools::Rules;

struct Bench {
    metrics: DemandMetrics,
    registry: Registry,
    pools: Arc<Pools>,
}

impl Bench {
    fn new(gpus: &[&str]) -> Self {
        let profiles: Vec<Arc<str>> = gpus.iter().map(|name| Arc::from(*name)).collect();
        let metrics = DemandMetrics::of(profiles.iter());
        let mut registry = Registry::default();
        metrics.register(&mut registry, &["sie_router", "sie_gateway"]);
        let pools = Pools::in_memory(Rules {
            max_pools: 8,
            lease: Duration::from_secs(1200),
            profiles: Vec::new(),
            default_profile: None,
        });
        Self {
            metrics,
            registry,
            pools,
        }
    }

    fn text(&self) -> String {
        let mut told = String::new();
        text::encode(&mut told, &self.registry).unwrap();
        told
    }

    fn says(&self, line: &str) -> bool {
        self.text().lines().any(|told| told == line)
    }
}

fn worker(url: &str) -> Candidate {
    Candidate {
        url: url.into(),
        name: url.into(),
        profile: "l4".into(),
        bundle: "default".into(),
        routable: true,
    }
}

const L4: &str = r#"sie_router_pending_demand{machine_profile="l4",bundle="default"}"#;

#[test]
fn demand_is_told_until_it_is_served_or_forgotten() {
    let bench = Bench::new(&["l4"]);
    let metrics = &bench.metrics;
    metrics.want("L4", "default", None);
    metrics.want("l4", "default", Some("eval"));
    metrics.want("l4", "default", Some("eval"));
    assert!(bench.says(&format!("{L4} 2")), "{}", bench.text());
    assert!(bench.says(&L4.replace("router", "gateway").replace('}', "} 2")));
    // A worker that is not ready serves nobody. Reading changes nothing.
    let mut one = worker("1");
    one.routable = false;
    let asked = metrics.started.elapsed();
    metrics.refresh(&bench.pools, &[one], asked);
    assert!(bench.says(&format!("{L4} 2")));
    // One without a pool serves those who name none.
    metrics.refresh(&bench.pools, &[worker("1")], asked);
    assert!(bench.says(&format!("{L4} 1")));
    metrics.refresh(&bench.pools, &[], asked + Duration::from_secs(121));
    assert!(!bench.text().contains(L4));
    assert_eq!(bench.pools.leased().len(), 0);
}

#[test]
fn a_request_that_is_repeated_keeps_demand_alive() {
    let wanted = || Wanted {
        profile: "l4".into(),
        bundle: "default".into(),
        pool: "a".into(),
    };
    let mut demand = Demand::default();
    let at = Duration::from_secs;
    for now in [0, 100, 200] {
        assert!(demand.record(wanted(), at(now)));
        demand.sweep(at(now + 119), |_| false);
        assert_eq!(demand.pending().len(), 1);
    }
    demand.sweep(at(320), |_| false);
    assert!(demand.pending().is_empty());
    let kinds = (0..100_000).filter(|at| {
        let mut other = wanted();
        other.pool = at.to_string().into();
        demand.record(other, Duration::ZERO)
    });
    assert_eq!(kinds.count(), 4096);
    assert!(demand.record(
        Wanted {
            pool: "5".into(),
            ..wanted()
        },
        at(1)
    ));
}

#[tokio::test]
async fn machines_that_pools_ask_for_are_told_while_they_live() {
    let bench = Bench::new(&["l4"]);
    let body = json!({ "name": "eval", "gpus": { "l4": 2 }, "bundle": "bge" });
    bench.pools.create(&body).await.unwrap();
    bench
        .pools
        .create(&json!({ "name": "other", "gpus": { "L4": 3 } }))
        .await
        .unwrap();
    bench.metrics.refresh(&bench.pools, &[], Duration::ZERO);
    let leased = |bundle: &str, count: u32| {
        format!(r#"sie_router_active_lease_gpus{{machine_profile="l4",bundle="{bundle}"}} {count}"#)
    };
    assert!(
        bench.says(&leased("bge", 2)) && bench.says(&leased("default", 3)),
        "{}",
        bench.text()
    );
    bench.pools.delete("eval").await.unwrap();
    bench.metrics.refresh(&bench.pools, &[], Duration::ZERO);
    assert!(!bench.text().contains(r#"bundle="bge""#));
}

#[tokio::test]
async fn a_worker_of_another_pool_does_not_end_a_pools_demand() {
    let bench = Bench::new(&["l4"]);
    let (tell, workers) = watch::channel(Workers::from([worker("1")]));
    let running = tokio::spawn(Arc::clone(&bench.pools).run(workers));
    bench
        .pools
        .create(&json!({ "name": "rich", "gpus": { "l4": 1 } }))
        .await
        .unwrap();
    while bench.pools.membership(None).admits("1") {
        tokio::task::yield_now().await;
    }
    bench
        .pools
        .create(&json!({ "name": "poor", "gpus": { "l4": 1 } }))
        .await
        .unwrap();
    bench.metrics.want("l4", "default", Some("poor"));
    bench
        .metrics
        .refresh(&bench.pools, &[worker("1")], Duration::ZERO);
    assert!(bench.says(&format!("{L4} 1")), "{}", bench.text());
    running.abort();
    drop(tell);
}

#[test]
fn names_that_were_refused_take_no_place_of_those_that_are_wanted() {
    let bench = Bench::new(&["l4", "bge-large"]);
    let metrics = &bench.metrics;
    let invented = |at: u32| (format!("a{at}"), format!("b{at}"));
    for (profile, bundle) in (0..100).map(invented) {
        metrics.reject(&profile, &bundle, Reason::GpuNotConfigured);
        metrics.want("l4", &bundle, None);
    }
    metrics.want("l4", "BGE-large", None);
    metrics.want("new", "default", None);
    let pending = |profile: &str, bundle: &str| {
        format!(r#"sie_router_pending_demand{{machine_profile="{profile}",bundle="{bundle}"}} 1"#)
    };
    assert!(bench.says(&pending("l4", "bge-large")), "{}", bench.text());
    assert!(bench.says(&pending("new", "default")));
    // Strangers are counted while they are asked for, and then nothing is told of them any more.
    metrics.want("l4", "late", None);
    metrics.reject("new", "b1", Reason::NoCapacity);
    assert!(!bench.text().contains(r#"bundle="late""#) && bench.text().contains(r#""b1""#));
    let later = metrics.started.elapsed() + Duration::from_secs(121);
    metrics.refresh(&bench.pools, &[], later);
    assert!(!bench.text().contains(r#""b1""#), "{}", bench.text());
    metrics.want("l4", "late", None);
    assert!(bench.says(&pending("l4", "late")), "{}", bench.text());
}

#[test]
fn names_that_strangers_make_up_are_no_series_without_end() {
    let bench = Bench::new(&["l4"]);
    for at in 0..1000 {
        bench.metrics.reject(
            &format!("made-up-{at}"),
            "default",
            Reason::GpuNotConfigured,
        );
        bench
            .metrics
            .want(&format!("made-up-{at}"), "default", None);
        bench.metrics.provisioning(&format!("made-up-{at}"));
    }
    bench
        .metrics
        .reject("has \"quotes\"\n", "x y", Reason::NoCapacity);
    bench
        .metrics
        .reject("", "default", Reason::NoHealthyWorkers);
    bench.metrics.reject("L4", "default", Reason::Worker503);
    let told = bench.text();
    assert!(told.lines().count() < 600, "{} lines", told.lines().count());
    let rejected = |profile: &str, bundle: &str, reason: &str, count: u32| {
        format!(
            "sie_router_rejected_requests_total{{machine_profile=\"{profile}\",bundle=\"{bundle}\",reason=\"{reason}\"}} {count}"
        )
    };
    assert!(
        bench.says(&rejected("other", "default", "gpu_not_configured", 1000)),
        "{told}"
    );
    assert!(
        bench.says(&rejected("other", "other", "no_capacity", 1)),
        "{told}"
    );
    assert!(
        bench.says(&rejected("unknown", "default", "no_healthy_workers", 1)),
        "{told}"
    );
    assert!(
        bench.says(&rejected("l4", "default", "worker_503", 1)),
        "{told}"
    );
    assert!(
        told.contains("sie_gateway_provisioning_responses_total{machine_profile=\"made-up-1\"} 1")
    );
}
