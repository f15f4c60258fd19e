//! The manifests in `configs/deploy`: every field is one that Kubernetes knows, and what refers to
//! something else refers to something that is there.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a manifest that is not as it should be ends the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Container, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../configs/deploy")
}

fn documents(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder().join(file)).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|why| panic!("{file}: {why}"))
}

/// All documents by kind and name.
fn all() -> BTreeMap<(String, String), Value> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if !file.ends_with(".yaml") || file == "kustomization.yaml" {
            continue;
        }
        for document in documents(&file) {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let key = (text(&document["kind"]), text(&document["metadata"]["name"]));
            let twice = all.insert(key.clone(), document);
            assert!(twice.is_none(), "{key:?} is there twice");
        }
    }
    all
}

fn read<T: DeserializeOwned>(kind: &str, name: &str) -> T {
    let document = all()[&(kind.to_owned(), name.to_owned())].clone();
    serde_json::from_value(document).unwrap()
}

/// What is not understood is lost on the way through the type: then it differs.
fn survives<T: DeserializeOwned + Serialize>(document: &Value) {
    let read: T = serde_json::from_value(document.clone())
        .unwrap_or_else(|why| panic!("{why}: {document:#}"));
    let written = serde_json::to_value(read).unwrap();
    let told = format!("{} {}", document["kind"], document["metadata"]["name"]);
    assert_eq!(
        &written, document,
        "{told} has a field that Kubernetes does not know"
    );
}

/// A ScaledObject, as far as ours go.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScaledObject {
    api_version: String,
    kind: String,
    metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    spec: ScaledObjectSpec,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScaledObjectSpec {
    scale_target_ref: Target,
    min_replica_count: u32,
    max_replica_count: u32,
    polling_interval: u32,
    cooldown_period: u32,
    triggers: Vec<Trigger>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Target {
    api_version: String,
    kind: String,
    name: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trigger {
    #[serde(rename = "type")]
    kind: String,
    metadata: Prometheus,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Prometheus {
    server_address: String,
    query: String,
    threshold: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    activation_threshold: Option<String>,
}

#[test]
fn every_document_is_of_a_known_kind_and_has_known_fields_alone() {
    let all = all();
    assert!(all.len() >= 9);
    for ((kind, _), document) in &all {
        match (document["apiVersion"].as_str().unwrap(), kind.as_str()) {
            ("apps/v1", "Deployment") => survives::<Deployment>(document),
            ("apps/v1", "StatefulSet") => survives::<StatefulSet>(document),
            ("v1", "Service") => survives::<Service>(document),
            ("v1", "ServiceAccount") => survives::<ServiceAccount>(document),
            ("policy/v1", "PodDisruptionBudget") => survives::<PodDisruptionBudget>(document),
            ("rbac.authorization.k8s.io/v1", "Role") => survives::<Role>(document),
            ("rbac.authorization.k8s.io/v1", "RoleBinding") => survives::<RoleBinding>(document),
            ("keda.sh/v1alpha1", "ScaledObject") => survives::<ScaledObject>(document),
            other => panic!("{other:?} is not looked at by this test"),
        }
        // The namespace is the kustomization's.
        assert!(document["metadata"].get("namespace").is_none());
    }
}

#[test]
fn a_misspelt_field_is_found() {
    let mut document = all()[&("Service".to_owned(), "sie-router".to_owned())].clone();
    document["spec"]["selectors"] = Value::Object(serde_json::Map::new());
    let found = std::panic::catch_unwind(|| survives::<Service>(&document));
    assert!(found.is_err());
}

#[test]
fn the_kustomization_names_every_file() {
    let kustomization = documents("kustomization.yaml").remove(0);
    let named: BTreeSet<&str> = kustomization["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r.as_str().unwrap())
        .collect();
    let generator = &kustomization["configMapGenerator"][0];
    for file in generator["files"].as_array().unwrap() {
        let text = std::fs::read_to_string(folder().join(file.as_str().unwrap())).unwrap();
        serde_json::from_str::<Value>(&text).unwrap();
    }
    for entry in std::fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let is_resource = file.ends_with(".yaml") && file != "kustomization.yaml";
        assert_eq!(named.contains(file.as_str()), is_resource, "{file}");
    }
    // The workers read what is generated.
    let workers: StatefulSet = read("StatefulSet", "sie-worker-l4-spot");
    let volumes = workers
        .spec
        .unwrap()
        .template
        .spec
        .unwrap()
        .volumes
        .unwrap();
    let maps = volumes
        .iter()
        .filter_map(|volume| volume.config_map.as_ref());
    let maps: Vec<&str> = maps.map(|map| map.name.as_str()).collect();
    assert_eq!(maps, [generator["name"].as_str().unwrap()]);
}

#[test]
fn the_role_allows_just_what_the_router_asks() {
    let role: Role = read("Role", "sie-router");
    let mut allowed = BTreeSet::new();
    for rule in role.rules.unwrap() {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    allowed.insert((group.clone(), resource.clone(), verb.clone()));
                }
            }
        }
    }
    let mut asked = BTreeSet::new();
    for (group, resource, verbs) in routir_router::PERMISSIONS {
        for verb in *verbs {
            asked.insert((
                (*group).to_owned(),
                (*resource).to_owned(),
                (*verb).to_owned(),
            ));
        }
    }
    assert_eq!(allowed, asked);

    let binding: RoleBinding = read("RoleBinding", "sie-router");
    assert_eq!(
        (
            binding.role_ref.kind.as_str(),
            binding.role_ref.name.as_str()
        ),
        ("Role", "sie-router")
    );
    let router: Deployment = read("Deployment", "sie-router");
    let account = router
        .spec
        .unwrap()
        .template
        .spec
        .unwrap()
        .service_account_name
        .unwrap();
    assert_eq!(binding.subjects.unwrap()[0].name, account);
    let _: ServiceAccount = read("ServiceAccount", &account);
}

/// Labels of the pods, their container, and the labels that select them.
struct Pods {
    labels: BTreeMap<String, String>,
    selector: BTreeMap<String, String>,
    container: Container,
}

fn router() -> Pods {
    let spec = read::<Deployment>("Deployment", "sie-router").spec.unwrap();
    Pods {
        labels: spec.template.metadata.unwrap().labels.unwrap(),
        selector: spec.selector.match_labels.unwrap(),
        container: spec.template.spec.unwrap().containers.remove(0),
    }
}

fn workers() -> Pods {
    let spec = read::<StatefulSet>("StatefulSet", "sie-worker-l4-spot")
        .spec
        .unwrap();
    Pods {
        labels: spec.template.metadata.unwrap().labels.unwrap(),
        selector: spec.selector.match_labels.unwrap(),
        container: spec.template.spec.unwrap().containers.remove(0),
    }
}

fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    !selector.is_empty()
        && selector
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
}

fn env(container: &Container, name: &str) -> String {
    let env = container
        .env
        .as_ref()
        .unwrap()
        .iter()
        .find(|env| env.name == name);
    env.unwrap().value.clone().unwrap()
}

fn argument(container: &Container, name: &str) -> String {
    let args = container.args.as_ref().unwrap();
    let value = args
        .iter()
        .find_map(|arg| arg.strip_prefix(&format!("{name}=")));
    value
        .unwrap_or_else(|| panic!("no {name} in {args:?}"))
        .to_owned()
}

#[test]
fn selectors_select_their_pods_and_ports_are_the_ones_that_are_listened_on() {
    for (pods, service) in [(router(), "sie-router"), (workers(), "sie-worker")] {
        assert!(selects(&pods.selector, &pods.labels));
        let service: Service = read("Service", service);
        let spec = service.spec.unwrap();
        assert!(selects(&spec.selector.unwrap(), &pods.labels));

        let container = &pods.container;
        assert_eq!(container.command.as_deref().unwrap(), ["routir-rt"]);
        assert_eq!(container.image.as_deref(), Some("routir-rt"));
        let port = &container.ports.as_ref().unwrap()[0];
        assert_eq!(
            argument(container, "--port"),
            port.container_port.to_string()
        );
        let served = &spec.ports.unwrap()[0];
        assert_eq!(served.port, port.container_port);
        let named = |port: &_| serde_json::to_value(port).unwrap();
        assert_eq!(
            named(served.target_port.as_ref().unwrap()),
            port.name.as_deref().unwrap()
        );
        let probes = [
            &container.startup_probe,
            &container.liveness_probe,
            &container.readiness_probe,
        ];
        for (probe, path) in probes.into_iter().zip(["/healthz", "/healthz", "/readyz"]) {
            let get = probe.as_ref().unwrap().http_get.as_ref().unwrap();
            assert_eq!(get.path.as_deref(), Some(path));
            assert_eq!(named(&get.port), port.name.as_deref().unwrap());
        }
    }
    let budget: PodDisruptionBudget = read("PodDisruptionBudget", "sie-router");
    let selector = budget.spec.unwrap().selector.unwrap().match_labels.unwrap();
    assert!(selects(&selector, &router().labels) && !selects(&selector, &workers().labels));
}

#[test]
fn the_router_looks_where_the_workers_are() {
    let (router, workers) = (router().container, workers().container);
    assert_eq!(
        router.args.as_ref().unwrap()[..3],
        ["router", "serve", "--kubernetes"]
    );
    let service: Service = read("Service", &argument(&router, "--k8s-service"));
    assert_eq!(service.spec.unwrap().cluster_ip.as_deref(), Some("None"));
    assert_eq!(
        argument(&router, "--k8s-port"),
        argument(&workers, "--port")
    );
    let set: StatefulSet = read("StatefulSet", "sie-worker-l4-spot");
    assert_eq!(
        set.spec.unwrap().service_name,
        Some(argument(&router, "--k8s-service"))
    );
}

#[test]
fn machines_are_started_for_the_profile_that_the_workers_have() {
    let (router, workers) = (router().container, workers().container);
    let (profile, bundle) = (
        env(&workers, "SIE_MACHINE_PROFILE"),
        env(&workers, "SIE_BUNDLE"),
    );
    let configured = env(&router, "SIE_ROUTER_CONFIGURED_GPUS");
    assert!(configured.split(',').any(|name| name == profile));
    let labels = format!(r#"{{machine_profile="{profile}", bundle="{bundle}"}}"#);
    let metrics = [
        "sie_router_pending_demand",
        "sie_router_worker_queue_depth",
        "sie_router_active_lease_gpus",
        "sie_router_rejected_requests_total",
    ];
    let scaler: ScaledObject = read("ScaledObject", "sie-worker-l4-spot");
    for (trigger, metric) in scaler.spec.triggers.iter().zip(metrics) {
        assert!(
            trigger
                .metadata
                .query
                .contains(&format!("{metric}{labels}")),
            "{}",
            trigger.metadata.query
        );
    }
    assert_eq!(scaler.spec.triggers.len(), metrics.len());
    let all = all();
    for ((kind, _), document) in &all {
        if kind == "ScaledObject" {
            let scaler: ScaledObject = serde_json::from_value(document.clone()).unwrap();
            let target = scaler.spec.scale_target_ref;
            assert!(all.contains_key(&(target.kind, target.name)));
            assert!(scaler.spec.min_replica_count <= scaler.spec.max_replica_count);
            assert!(
                scaler
                    .spec
                    .triggers
                    .iter()
                    .all(|trigger| trigger.kind == "prometheus")
            );
        }
    }
}
