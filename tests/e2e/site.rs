//! A temporary directory with the example configurations in it, and what runs there.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The repository's root.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// The configuration of the quick start, with `more` services: name, engine, configuration.
pub(crate) fn quick_start_and(more: &[(&str, &str, Value)]) -> String {
    let file = repository().join("configs/quickstart/config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let folder = repository().join("configs/quickstart");
    let absolute = |path: &mut Value| *path = json!(folder.join(path.as_str().unwrap()));
    let services = config["services"].as_array_mut().unwrap();
    for service in services.iter_mut().filter(|it| it["engine"] == "TrecRun") {
        absolute(&mut service["config"]["run"]);
        absolute(&mut service["config"]["topics"]);
    }
    for (name, engine, config) in more {
        services.push(json!({"name": name, "engine": engine, "config": config}));
    }
    for view in config["collections"][0]["views"]
        .as_object_mut()
        .unwrap()
        .values_mut()
    {
        absolute(&mut view["source"]["doc_path"]);
    }
    config.to_string()
}

/// A directory of its own for one test; removed at the end.
pub(crate) struct Site(TempDir);

impl Site {
    /// With a copy of the example configurations.
    pub(crate) fn new() -> Self {
        let site = Self(TempDir::new().unwrap());
        copy(&repository().join("configs"), &site.path("configs"));
        site
    }

    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside)
    }

    pub(crate) fn read(&self, inside: &str) -> String {
        fs::read_to_string(self.path(inside)).unwrap()
    }

    /// The binary, about to run here.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_routir-rt"));
        command
            .args(args)
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        for name in [
            "ROUTIR_API_KEY",
            "CORS_ALLOWED",
            "RUST_LOG",
            "CLICOLOR_FORCE",
        ] {
            command.env_remove(name);
        }
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    /// As [`Site::run`], which must succeed; what it printed.
    pub(crate) fn succeed(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.status, Some(0), "{args:?}: {}", ran.stderr);
        ran.stdout
    }

    /// Starts serving on a free port.
    pub(crate) fn serve(&self, config: &str, args: &[&str]) -> Server {
        let all = [&[config, "--port", "0", "--host", "127.0.0.1"], args].concat();
        self.start(self.command(&all))
    }

    /// Starts a server; its log goes to a file here.
    pub(crate) fn start(&self, mut command: Command) -> Server {
        command.stderr(fs::File::create(self.path("server.log")).unwrap());
        Server::start(command)
    }

    /// All files below `inside` whose names end in `suffix`.
    pub(crate) fn files(&self, inside: &str, suffix: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.path(inside), &mut found);
        found.retain(|path| path.to_str().unwrap().ends_with(suffix));
        found
    }
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found)
        } else {
            found.push(path)
        }
    }
}

/// Copies what is tracked: the sidecars of an earlier start stay where they are.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else if !entry.path().to_str().unwrap().contains(".routir-") {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// How a process ended.
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A server that runs; killed at the end unless it was stopped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) base: String,
    /// What it said at the start.
    pub(crate) banner: String,
    /// What requests of [`Server::get`] and [`Server::post`] carry as their key.
    pub(crate) key: Option<&'static str>,
    stdout: BufReader<ChildStdout>,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (base, banner) = (String::new(), String::new());
        let mut server = Self {
            child,
            base,
            banner,
            key: None,
            stdout,
        };
        server.await_address();
        server
    }

    /// Reads what it says until it says where it listens.
    fn await_address(&mut self) {
        while self.base.is_empty() {
            let start = self.banner.len();
            if self.stdout.read_line(&mut self.banner).unwrap() == 0 {
                panic!(
                    "the server did not start: {:?}: {}",
                    self.child.wait(),
                    self.banner
                );
            }
            let base = self.banner[start..].strip_prefix("listening on ");
            self.base = base.unwrap_or_default().trim_end().to_owned();
        }
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        let request = agent().get(format!("{}{path}", self.base));
        answer(self.with_key(request).call())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = agent().post(format!("{}{path}", self.base));
        answer(self.with_key(request).send_json(body))
    }

    fn with_key<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match self.key {
            Some(key) => request.header("authorization", format!("Bearer {key}")),
            None => request,
        }
    }

    /// The documents of a pipeline's answer, best first.
    pub(crate) fn ids(&self, pipeline: &str, query: &str) -> Vec<String> {
        let body = serde_json::json!(
            {"pipeline": pipeline, "query": query, "collection": "quickstart"});
        let (status, answer) = self.post("/pipeline", &body);
        assert_eq!(status, 200, "{answer}");
        answer["scores"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into()
}

fn answer(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, Value) {
    let mut answer = answer.unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (
        answer.status().as_u16(),
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}
