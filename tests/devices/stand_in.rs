//! The binary on a machine whose driver is a stand-in: `devices`, indices on one device and on two, what
//! does not fit, and a device that is lost.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::{Home, tiny};
use crate::driver::{command, kernels, said};
use crate::process::{Server, Site};
use crate::{faiss, index};

/// Two devices, of which an index may take 3 MiB each.
const TWO: (&str, &str) = ("STANDIN_DEVICES", "9.0:580,8.0:580");
/// More than one of them holds.
const MANY: usize = 70_000;
const FEW: usize = 300;

/// A folder with indices, and the tiny models.
struct Machine {
    site: Site,
    dense: String,
    late: String,
}

impl Machine {
    /// `None`, told loudly, where models or FAISS were not set up.
    fn new() -> Option<Self> {
        let home = Home::new();
        let ((dense, _), (late, _)) = (tiny(&home, "dense-mean")?, tiny(&home, "multi-vector")?);
        faiss::loaded()?;
        let site = Site::new();
        index(&site.path("few"), FEW);
        index(&site.path("many"), MANY);
        let documents =
            crate::DOCUMENTS.map(|(id, text)| json!({"id": id, "text": text}).to_string());
        fs::write(site.path("texts.jsonl"), documents.join("\n")).unwrap();
        Some(Self { site, dense, late })
    }

    fn dense(&self, name: &str, index: &str, on: &str) -> Value {
        json!({"name": name, "engine": crate::DENSE, "config": {
            "embedding_model_name": self.dense, "index_path": index, "index_device": on}})
    }

    fn late(&self, name: &str, on: &str) -> Value {
        json!({"name": name, "engine": "PLAIDX", "config": {
            "checkpoint": self.late, "index_path": "late", "build": true, "collection": "texts",
            "sliding_window_size": 20, "index_device": on}})
    }

    /// The binary, about to run with these services over such a stand-in.
    fn command(&self, services: &[Value], faults: &str) -> Command {
        let config = json!({"services": services,
            "collections": [{"name": "texts", "doc_path": "texts.jsonl"}]});
        fs::write(self.site.path("config.json"), config.to_string()).unwrap();
        let args = ["config.json", "--port", "0", "--host", "127.0.0.1"];
        let mut command = self.site.command(&args);
        let over = command_over(&[TWO, ("STANDIN_FAULTS", faults)]);
        command.envs(
            over.get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        );
        command.env("XDG_CACHE_HOME", kernels());
        command
    }

    fn serve(&self, services: &[Value], faults: &str) -> Server {
        self.site.start(self.command(services, faults))
    }

    /// What it logged, in which no call is that no driver would take.
    fn log(&self) -> String {
        let log = self.site.read("server.log");
        assert!(!log.contains("stand-in refuses"), "{log}");
        log
    }
}

fn command_over(settings: &[(&str, &str)]) -> Command {
    command(env!("CARGO_BIN_EXE_routir-rt"), settings)
}

fn search(server: &Server, service: &str) -> (u16, Value) {
    let body = json!({"service": service, "query": "tide of the moon", "limit": 5});
    server.post("/search", &body)
}

/// That two services find the same, with scores that are as close as on a device.
fn assert_alike(server: &Server, one: &str, other: &str) {
    let found = [one, other].map(|name| {
        let (status, answer) = search(server, name);
        assert_eq!(status, 200, "{name}: {answer}");
        answer["scores"].as_object().unwrap().clone()
    });
    assert!(found[0].keys().eq(found[1].keys()), "{found:?}");
    for (a, b) in found[0].values().zip(found[1].values()) {
        let far = (a.as_f64().unwrap() - b.as_f64().unwrap()).abs();
        assert!(far < 0.05, "{found:?}");
    }
}

#[test]
fn devices_are_told_in_text_and_as_an_object() {
    let two = [TWO];
    let output = command_over(&two)
        .args(["devices", "--format", "json"])
        .output()
        .unwrap();
    said(&output);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> = told["devices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["stand-in 0, no GPU", "stand-in 1, no GPU"]);
    assert_eq!(told["driver"]["cuda"], "12.8");
    assert_eq!(told["auto"]["exact_search"], "cuda:1", "{told}");
    let broken = [TWO, ("STANDIN_FAULTS", "1:context:1")];
    let output = command_over(&broken).arg("devices").output().unwrap();
    said(&output);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.contains("cuda:1              cannot be used: out of memory"),
        "{told}"
    );
    assert!(told.contains("  exact search      cuda:0"), "{told}");
}

#[test]
fn indices_on_devices_answer_as_on_the_processor() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let services = [
        machine.dense("near", "few", "cuda:1"),
        machine.dense("plain", "few", "cpu"),
        machine.dense("all", "many", "cuda:all"),
        machine.dense("auto", "many", "auto"),
        machine.late("late", "cuda:0"),
        machine.late("slow", "cpu"),
    ];
    let server = machine.serve(&services, "");
    assert_eq!(server.get("/readyz").0, 200);
    assert_alike(&server, "near", "plain");
    // It fits neither device alone: under `auto` the processor has it.
    assert_alike(&server, "all", "auto");
    assert_alike(&server, "late", "slow");
    let score = |name: &str| {
        let body = json!({"service": name, "query": "tide", "passages": ["moon", "bees"]});
        let (status, answer) = server.post("/score", &body);
        assert_eq!(status, 200, "{answer}");
        answer["scores"][0].as_f64().unwrap()
    };
    assert!((score("late") - score("slow")).abs() < 0.05);
    server.stop();
    let log = machine.log();
    assert!(
        log.contains("`index_device` is `auto`, and the processor is used"),
        "{log}"
    );
    assert!(
        log.contains("(stand-in 0, no GPU), `cuda:1` (stand-in 1, no GPU)"),
        "{log}"
    );
}

#[test]
fn an_index_that_does_not_fit_is_refused_with_the_sum() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let output = machine
        .command(&[machine.dense("big", "many", "cuda:0")], "")
        .output();
    let output = output.unwrap();
    let told = said(&output);
    assert!(!output.status.success(), "{told}");
    assert!(
        told.contains("needs 4.3 MiB on `cuda:0` (stand-in 0, no GPU)"),
        "{told}"
    );
}

#[test]
fn a_lost_device_fails_its_services_and_no_others() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let services = [
        machine.dense("near", "few", "cuda:0"),
        machine.dense("other", "few", "cuda:1"),
        machine.dense("plain", "few", "cpu"),
    ];
    let server = machine.serve(&services, "0:launch:7");
    assert_alike(&server, "near", "plain");
    let lost = (0..10).map(|_| search(&server, "near"));
    let (status, told) = { lost }.find(|(status, _)| *status != 200).unwrap();
    assert_eq!(status, 503, "{told}");
    let message = told.to_string();
    assert!(
        message.contains("`cuda:0` (stand-in 0, no GPU) failed"),
        "{told}"
    );
    assert!(message.contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{told}");
    assert_eq!(search(&server, "near").0, 503);
    let (status, ready) = server.get("/readyz");
    assert_eq!(status, 503, "{ready}");
    assert_alike(&server, "other", "plain");
    server.stop();
    machine.log();
}
