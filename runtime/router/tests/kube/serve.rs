//! The stand-in over HTTP: paths, verbs, watches.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Shared, Store};

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let app = Router::new().fallback(handle).with_state(shared);
    // Dropped with this task, which ends the connections.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let app = app.clone();
        connections.spawn(async move {
            let service = TowerToHyperService::new(app);
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let query: HashMap<String, String> = parse_query(request.uri().query().unwrap_or_default());
    let body = axum::body::to_bytes(request.into_body(), 1 << 20)
        .await
        .unwrap();
    // …/namespaces/{namespace}/{resource}[/{name}]
    let mut parts = path
        .split('/')
        .skip_while(|part| *part != "namespaces")
        .skip(2);
    let Some(resource) = parts.next().map(str::to_owned) else {
        return status(404, "NotFound", "no such path");
    };
    let name = parts.next().map(str::to_owned);
    let watches = query.get("watch").is_some_and(|value| value == "true");
    let verb = match (&method, &name, watches) {
        (&Method::GET, None, true) => "watch",
        (&Method::GET, None, false) => "list",
        (&Method::GET, Some(_), _) => "get",
        (&Method::POST, ..) => "create",
        (&Method::PUT, ..) => "update",
        (&Method::PATCH, ..) => "patch",
        _ => "delete",
    };
    {
        let mut store = shared.store.lock();
        store.asked.insert((verb.to_owned(), resource.clone()));
        if store.forbidden.contains(&resource) {
            return status(403, "Forbidden", &format!("{resource} is forbidden"));
        }
        if let Some(code) = store.take_fault(&method, &resource) {
            let reason = match code {
                409 => "Conflict",
                _ => "InternalError",
            };
            return status(code, reason, "so it was told to fail");
        }
    }
    if watches {
        return watch(&shared, resource, &query);
    }
    let answer = answer(
        &mut shared.store.lock(),
        verb,
        &resource,
        name,
        &query,
        &body,
    );
    let version = shared.store.lock().version;
    shared.changed.send_replace(version);
    answer
}

fn answer(
    store: &mut Store,
    verb: &str,
    resource: &str,
    name: Option<String>,
    query: &HashMap<String, String>,
    body: &Bytes,
) -> Response {
    if verb == "list" {
        let of_kind = store
            .objects
            .iter()
            .filter(|((kind, _), _)| kind == resource);
        let items: Vec<&Value> = of_kind
            .map(|(_, object)| object)
            .filter(|object| is_selected(object, query))
            .collect();
        let list = json!({
            "kind": "List", "apiVersion": "v1",
            "metadata": { "resourceVersion": store.version.to_string() },
            "items": items,
        });
        return reply(200, &list);
    }
    let sent: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let name = name.unwrap_or_else(|| {
        sent["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    });
    let there = store
        .objects
        .get(&(resource.to_owned(), name.clone()))
        .cloned();
    if verb == "create" {
        return match there {
            Some(_) => status(
                409,
                "AlreadyExists",
                &format!("{resource} \"{name}\" already exists"),
            ),
            None => reply(201, &store.write(resource, &name, sent)),
        };
    }
    let Some(there) = there else {
        return status(404, "NotFound", &format!("{resource} \"{name}\" not found"));
    };
    let expects = match verb {
        "delete" => &sent["preconditions"],
        _ => &sent["metadata"],
    };
    let differs = |field: &str| {
        let expected = expects[field].as_str().filter(|text| !text.is_empty());
        expected.is_some_and(|expected| there["metadata"][field] != expected)
    };
    if differs("resourceVersion") || differs("uid") {
        return status(409, "Conflict", "the object has been modified");
    }
    match verb {
        "get" => reply(200, &there),
        "update" => reply(200, &store.write(resource, &name, sent)),
        "patch" => {
            let mut merged = there;
            merge(&mut merged, sent);
            reply(200, &store.write(resource, &name, merged))
        }
        _ => {
            store.delete(resource, &name);
            status(200, "", "deleted")
        }
    }
}

/// One watch: what happened since the version asked for, and what happens from now on.
fn watch(shared: &Arc<Shared>, resource: String, query: &HashMap<String, String>) -> Response {
    struct Watch {
        shared: Arc<Shared>,
        resource: String,
        query: HashMap<String, String>,
        from: u64,
        changed: watch::Receiver<u64>,
        ended: watch::Receiver<u64>,
        until: tokio::time::Instant,
        over: bool,
    }
    let number = |key: &str| query.get(key).and_then(|text| text.parse::<u64>().ok());
    let seconds = number("timeoutSeconds").unwrap_or(60);
    let state = Watch {
        shared: Arc::clone(shared),
        resource,
        query: query.clone(),
        from: number("resourceVersion").unwrap_or(0),
        changed: shared.changed.subscribe(),
        ended: shared.watches.subscribe(),
        until: tokio::time::Instant::now() + Duration::from_secs(seconds),
        over: false,
    };
    let lines = futures_util::stream::unfold(state, |mut watch| async move {
        if watch.over {
            return None;
        }
        loop {
            watch.changed.borrow_and_update();
            let mut lines = String::new();
            {
                let store = watch.shared.store.lock();
                if watch.from < store.oldest {
                    let gone = json!({ "type": "ERROR", "object": {
                        "kind": "Status", "apiVersion": "v1", "status": "Failure", "metadata": {},
                        "code": 410, "reason": "Expired", "message": "too old resource version",
                    }});
                    watch.over = true;
                    lines = format!("{gone}\n");
                } else {
                    for entry in &store.log {
                        let newer = entry.version > watch.from && entry.resource == watch.resource;
                        if newer && is_selected(&entry.object, &watch.query) {
                            let event = json!({ "type": entry.kind, "object": entry.object });
                            lines.push_str(&format!("{event}\n"));
                        }
                    }
                    watch.from = store.version;
                }
            }
            if !lines.is_empty() {
                return Some((Ok::<_, Infallible>(Bytes::from(lines)), watch));
            }
            tokio::select! {
                _ = watch.changed.changed() => {}
                _ = watch.ended.changed() => return None,
                () = tokio::time::sleep_until(watch.until) => return None,
                () = tokio::time::sleep(Duration::from_millis(300)) => {
                    let object = json!({
                        "kind": "Bookmark", "apiVersion": "v1",
                        "metadata": { "resourceVersion": watch.from.to_string() },
                    });
                    let line = format!("{}\n", json!({ "type": "BOOKMARK", "object": object }));
                    return Some((Ok(Bytes::from(line)), watch));
                }
            }
        }
    });
    let body = Body::from_stream(lines);
    let response = Response::builder().header("content-type", "application/json");
    response.body(body).unwrap()
}

/// Selectors of one `key=value`, as labels or as the name.
fn is_selected(object: &Value, query: &HashMap<String, String>) -> bool {
    let label = query
        .get("labelSelector")
        .and_then(|text| text.split_once('='));
    let field = query
        .get("fieldSelector")
        .and_then(|text| text.split_once('='));
    label.is_none_or(|(key, value)| object["metadata"]["labels"][key] == value)
        && field.is_none_or(|(_, value)| object["metadata"]["name"] == value)
}

/// RFC 7386.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.as_object_mut().unwrap().remove(&key);
            }
            value => merge(&mut target[key], value),
        }
    }
}

fn parse_query(query: &str) -> HashMap<String, String> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, tail)) = rest.split_first() {
            match (first, tail) {
                (b'%', [high, low, tail @ ..]) => {
                    let hex = String::from_utf8_lossy(&[*high, *low]).into_owned();
                    bytes.push(u8::from_str_radix(&hex, 16).unwrap());
                    rest = tail;
                }
                _ => {
                    bytes.push(*first);
                    rest = tail;
                }
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (decoded(key), decoded(value)))
        .collect()
}

fn status(code: u16, reason: &str, message: &str) -> Response {
    let outcome = match code {
        200..300 => "Success",
        _ => "Failure",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": outcome,
        "message": message, "reason": reason, "code": code,
    });
    reply(code, &status)
}

fn reply(code: u16, body: &Value) -> Response {
    let response = Response::builder()
        .status(StatusCode::from_u16(code).unwrap())
        .header("content-type", "application/json");
    response.body(Body::from(body.to_string())).unwrap()
}
