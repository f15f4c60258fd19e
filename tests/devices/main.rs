//! A server whose GPU is lost, over HTTP: the GPU is the emulator of the device room's tests; engines,
//! runtime and server are the real ones. And the real binary, over a stand-in for CUDA's driver.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, and helpers are not seen as tests"
)]

#[path = "../../runtime/engines/tests/common/mod.rs"]
mod common;
#[path = "../../runtime/device/tests/standin/driver.rs"]
#[allow(dead_code, reason = "the device room's own tests use all of it")]
mod driver;
#[path = "../../runtime/device/tests/emulated/emulator.rs"]
mod emulator;
#[path = "../../runtime/engines/tests/common/faiss.rs"]
mod faiss;
#[path = "../e2e/site.rs"]
#[allow(dead_code, reason = "the tests from end to end use all of it")]
mod process;
mod stand_in;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{Home, tiny};
use emulator::{Manner, device};
use routir_batch::{BatchSettings, Policy};
use routir_core::Roles;
use routir_device::Device;
use routir_engines::SharedDevices;
use routir_exec::{Runtime, RuntimeSettings, ServiceSpec};
use routir_index::faiss::Metric;
use routir_server::{App, Listeners, ServerOptions, serve};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const DENSE: &str = "SentenceTransformerEngine";
/// More than a device finds for one query.
const VECTORS: usize = 1300;

const DOCUMENTS: [(&str, &str); 4] = [
    ("bees", "Bees dance."),
    ("moon", "The tide of the moon."),
    ("honey", "honey honey honey"),
    ("is", "Is it relevant?"),
];

/// Engines on two devices, of which the first fails after some calls, and on the processor.
struct Engines {
    home: Home,
    dense: String,
    late: String,
}

impl Engines {
    /// `None`, told loudly, where models or FAISS were not set up.
    fn new(devices: Vec<Arc<Device>>) -> Option<Self> {
        let home = Home {
            devices: SharedDevices::of(devices),
            ..Home::new()
        };
        let home = home.collection("texts", &DOCUMENTS);
        let (dense, _) = tiny(&home, "dense-mean")?;
        let (late, _) = tiny(&home, "multi-vector")?;
        faiss::loaded()?;
        index(&home.dir.path().join("flat"), VECTORS);
        Some(Self { home, dense, late })
    }

    fn dense(&self, on: &str) -> Roles {
        let config = json!({"embedding_model_name": self.dense, "index_path": "flat",
            "index_device": on});
        self.home.build(DENSE, &config).unwrap()
    }

    fn late(&self, on: &str) -> Roles {
        let config = json!({"checkpoint": self.late, "index_path": "late", "build": true,
            "sliding_window_size": 20, "index_device": on});
        self.home.build("PLAIDX", &config).unwrap()
    }
}

/// An index of `count` vectors of 16 numbers.
fn index(folder: &Path, count: usize) {
    let number = |at: usize| ((at * 7919) % 2003) as f32 / 1000.0 - 1.0;
    let vectors: Vec<f32> = (0..count * 16).map(number).collect();
    let ids: Vec<String> = (0..count).map(|at| format!("d{at}")).collect();
    faiss::index(folder, ("Flat", Metric::L2), &vectors, &ids);
}

fn service(name: &str, roles: Roles) -> ServiceSpec {
    ServiceSpec {
        name: Arc::from(name),
        engine: Arc::from("Test"),
        roles,
        batch: BatchSettings {
            name: Arc::from(name),
            policy: Policy {
                max_requests: 8,
                max_tokens: None,
                max_wait: Duration::ZERO,
            },
            capacity: 64,
            concurrency: 4,
        },
        at_once: 4,
        inside: 64,
        cache: None,
        identity: None,
        public: false,
    }
}

/// A server that runs until its runtime is dropped.
struct Site {
    address: SocketAddr,
    _tokio: tokio::runtime::Runtime,
}

impl Site {
    fn new(services: Vec<(&str, Roles)>, tokio: tokio::runtime::Runtime) -> Self {
        let address = tokio.block_on(async {
            let mergers = routir_engines::builtin_mergers();
            let runtime = services
                .into_iter()
                .chain(mergers)
                .fold(
                    Runtime::builder(RuntimeSettings::default()),
                    |builder, (name, roles)| builder.service(service(name, roles)),
                )
                .build()
                .unwrap();
            let app = App::new(Arc::new(runtime), ServerOptions::default()).unwrap();
            let rest = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = rest.local_addr().unwrap();
            let listeners = Listeners { rest, grpc: None };
            tokio::spawn(serve(listeners, app, std::future::pending()));
            address
        });
        Self {
            address,
            _tokio: tokio,
        }
    }

    fn answer(mut response: ureq::http::Response<ureq::Body>) -> (u16, Value) {
        let body = response.body_mut().read_to_string().unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&body).unwrap())
    }

    fn agent() -> ureq::Agent {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)));
        config.build().into()
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let url = format!("http://{}{path}", self.address);
        Self::answer(Self::agent().get(url).call().unwrap())
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("http://{}{path}", self.address);
        let request = Self::agent()
            .post(url)
            .header("content-type", "application/json");
        Self::answer(request.send(body.to_string()).unwrap())
    }

    fn search(&self, service: &str, limit: usize) -> (u16, Value) {
        let body = json!({"service": service, "query": "tide of the moon", "limit": limit});
        self.post("/search", &body)
    }

    /// Which services are not ready. The checks are in no order.
    fn not_ready(&self) -> BTreeSet<String> {
        let (_, ready) = self.get("/readyz");
        let checks = ready["checks"].as_array().unwrap();
        let wrong = checks.iter().filter(|check| check["ready"] == false);
        wrong
            .map(|check| check["name"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[test]
fn a_lost_device_fails_its_requests_and_readiness_and_the_process_goes_on() {
    for out_of_memory in [false, true] {
        let failing = Manner {
            fails_after: Some(150),
            out_of_memory,
            ..Manner::default()
        };
        let Some(engines) = Engines::new(vec![device(failing), device(Manner::default())]) else {
            return;
        };
        let tokio = tokio::runtime::Builder::new_multi_thread();
        let tokio = { tokio }.worker_threads(2).enable_all().build().unwrap();
        let services = {
            let _inside = tokio.enter();
            vec![
                ("near", engines.dense("cuda:0")),
                ("other", engines.dense("cuda:1")),
                ("plain", engines.dense("cpu")),
                ("late", engines.late("cuda:0")),
                ("slow", engines.late("cpu")),
            ]
        };
        let site = Site::new(services, tokio);
        assert_eq!(site.get("/readyz").0, 200);
        for name in ["near", "other", "plain", "late", "slow"] {
            let (status, answer) = site.search(name, 3);
            assert_eq!(status, 200, "{name}: {answer}");
            assert_eq!(answer["scores"].as_object().unwrap().len(), 3, "{answer}");
        }

        // More than a device finds is the request's mistake, and harms nobody.
        let (status, told) = site.search("other", 1025);
        assert_eq!(status, 400, "{told}");
        assert!(
            told.to_string().contains("1025 results of one search"),
            "{told}"
        );
        assert_eq!(site.search("other", 1024).0, 200);
        assert_eq!(site.search("plain", 1025).0, 200);
        assert_eq!(site.get("/readyz").0, 200);

        let lost = (0..150).map(|_| site.search("near", 3));
        let lost = { lost }.find(|(status, _)| *status != 200);
        let (status, told) = lost.expect("the device fails");
        assert_eq!(status, 503, "{told}");
        let message = told.to_string();
        assert!(
            message.contains("`emulated` failed and is not used any more"),
            "{message}"
        );
        assert_eq!(message.contains("out of memory"), out_of_memory);
        // Whoever is on it, and whoever asks it, from now on.
        let score = json!({"service": "late", "query": "tide", "passages": ["moon", "bees"]});
        for (status, told) in [
            site.search("near", 3),
            site.search("late", 3),
            site.post("/score", &score),
            site.post(
                "/pipeline",
                &json!({"pipeline": "{near, plain}RRF", "query": "tide"}),
            ),
        ] {
            assert_eq!(status, 503, "{told}");
        }
        assert_eq!(site.get("/readyz").0, 503);
        let on_it = ["service late", "service near"].map(str::to_owned);
        assert_eq!(site.not_ready(), BTreeSet::from(on_it));
        // Everybody else goes on.
        assert_eq!(site.get("/healthz").0, 200);
        for name in ["other", "plain", "slow"] {
            let (status, answer) = site.search(name, 3);
            assert_eq!(status, 200, "{name}: {answer}");
        }
        let score = json!({"service": "slow", "query": "tide", "passages": ["moon", "bees"]});
        let (status, answer) = site.post("/score", &score);
        assert_eq!(status, 200, "{answer}");
    }
}
