//! A collection as its callers see it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "helpers of tests"
)]

use std::cell::RefCell;
use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use routir_config::{Config, Origin};
use routir_content::{Collection, OpenOptions, Phase};
use routir_core::{ContentSource, DocId, Document, ErrorCode, Result};
use serde_json::{Value, json};

const DOCS: &str = r#"{"id": "d1", "title": "One", "text": "first", "more": "and on"}
{"id": "dé2", "text": "second"}
{"id": 3, "text": "third", "more": null}
{"id": "d1", "title": "Eins", "text": "first again"}
{"id": "mute", "other": "x"}
"#;

struct Corpus(tempfile::TempDir);

impl Corpus {
    fn new(text: &str) -> Self {
        let corpus = Self(tempfile::tempdir().unwrap());
        fs::write(corpus.path("docs.jsonl"), text).unwrap();
        corpus
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn open_with(&self, mut config: Value, options: &OpenOptions<'_>) -> Result<Collection> {
        config["name"] = json!("c");
        let text = json!({"collections": [config]}).to_string();
        let loaded = Config::parse(text, Origin::inline()).unwrap();
        Collection::open(&loaded.config.collections[0], &loaded.origin, options)
    }

    fn open(&self, config: Value) -> Collection {
        self.open_with(config, &OpenOptions::default()).unwrap()
    }

    /// A configuration with one view per entry of `views`.
    fn config(&self, views: Value) -> Value {
        let views = views.as_object().unwrap().iter().map(|(name, more)| {
            let mut source = json!({"source": "text_jsonl", "doc_path": self.path("docs.jsonl")});
            source
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            (name.clone(), json!({"kind": "text", "source": source}))
        });
        json!({"views": Value::Object(views.collect())})
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries.map(|e| name(e).into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn ids(ids: &[&str]) -> Vec<DocId> {
    ids.iter().map(|&id| DocId::from(id)).collect()
}

async fn fetch(
    collection: &Collection,
    view: Option<&str>,
    wanted: &[&str],
) -> Vec<Result<Arc<Document>>> {
    collection.fetch(view, &ids(wanted)).await.unwrap()
}

async fn text(collection: &Collection, view: Option<&str>, id: &str) -> String {
    fetch(collection, view, &[id]).await[0]
        .as_ref()
        .unwrap()
        .text()
        .unwrap()
        .to_string()
}

#[tokio::test]
async fn documents_come_in_the_order_of_the_ids_each_found_or_failed_alone() {
    let corpus = Corpus::new(DOCS);
    for load_all in [false, true] {
        let mut config = corpus.config(json!({"text": {}}));
        config["force_load_all_documents"] = json!(load_all);
        let collection = corpus.open(config);
        for _ in 0..2 {
            let found = fetch(&collection, None, &["3", "zz", "d1", "dé2", "3"]).await;
            let texts: Vec<_> = found
                .iter()
                .map(|d| {
                    d.as_ref()
                        .map(|d| &**d.text().unwrap())
                        .map_err(|e| e.code())
                })
                .collect();
            let unknown = Err(ErrorCode::UnknownDocument);
            let expected = [
                Ok("third"),
                unknown,
                Ok("first again"),
                Ok("second"),
                Ok("third"),
            ];
            assert_eq!(texts, expected);
            assert_eq!(
                found[1].as_ref().unwrap_err().message(),
                "ID zz is not found."
            );
            assert_eq!(found[2].as_ref().unwrap().title.as_deref(), Some("Eins"));
            assert_eq!(found[3].as_ref().unwrap().title, None);
            assert_eq!(found[3].as_ref().unwrap().language, None);
        }
    }
}

#[tokio::test]
async fn a_document_without_any_of_the_fields_is_an_error_that_names_them() {
    let corpus = Corpus::new(DOCS);
    for load_all in [false, true] {
        let mut config = corpus.config(json!({"text": {"content_fields": ["text", "more"]}}));
        config["force_load_all_documents"] = json!(load_all);
        let collection = corpus.open(config);
        let found = fetch(&collection, None, &["mute", "d1"]).await;
        let error = found[0].as_ref().unwrap_err();
        assert_eq!(error.code(), ErrorCode::EngineFailure);
        assert!(error.message().contains("document mute"), "{error}");
        assert!(error.message().contains("`text`, `more`"), "{error}");
        assert!(found[1].is_ok());
    }
}

#[tokio::test]
async fn views_share_one_index_and_read_their_own_fields() {
    let corpus = Corpus::new(DOCS);
    let mut config = corpus.config(json!({
        "short": {},
        "long": {"content_fields": ["title", "text", "more"], "sep": " / "},
        "by_title": {"id_field": "title", "content_fields": "more"},
    }));
    config["default_view"] = json!("long");
    let collection = corpus.open(config);
    assert_eq!(text(&collection, None, "d1").await, "Eins / first again");
    assert_eq!(text(&collection, Some("short"), "d1").await, "first again");
    assert_eq!(text(&collection, Some("by_title"), "One").await, "and on");
    assert_eq!(text(&collection, Some("long"), "3").await, "third");
    // One for `id`, one for `title`.
    assert_eq!(corpus.files().len(), 3, "{:?}", corpus.files());

    let error = collection
        .fetch(Some("shrt"), &ids(&["d1"]))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownName);
    assert!(error.message().contains("did you mean `short`?"), "{error}");
    assert_eq!(&*collection.info().default_view, "long");
    assert_eq!(collection.info().views.len(), 3);
}

#[tokio::test]
async fn a_legacy_collection_is_one_text_view_beside_routirs_own_pickle() {
    let corpus = Corpus::new(DOCS);
    let pickle = corpus.path("docs.offsetmap");
    fs::write(&pickle, b"\x80\x04 theirs").unwrap();
    let collection = corpus.open(json!({
        "doc_path": corpus.path("docs.jsonl"),
        "content_field": ["text", "more"],
        "cache_path": pickle,
    }));
    assert_eq!(text(&collection, Some("text"), "3").await, "third");
    assert_eq!(fs::read(&pickle).unwrap(), b"\x80\x04 theirs");
    let files = [
        "docs.jsonl",
        "docs.offsetmap",
        "docs.offsetmap.routir-offsets",
    ];
    assert_eq!(corpus.files(), files);
}

#[tokio::test]
async fn languages_come_from_the_mapping() {
    let corpus = Corpus::new(DOCS);
    fs::write(corpus.path("lang.json"), r#"{"d1": "eng", "3": "zho"}"#).unwrap();
    let mut config = corpus.config(json!({"text": {}}));
    config["id_to_lang_mapping"] = json!(corpus.path("lang.json"));
    let collection = corpus.open(config);
    let found = fetch(&collection, None, &["d1", "3", "dé2"]).await;
    let languages: Vec<_> = found
        .iter()
        .map(|document| document.as_ref().unwrap().language.as_deref())
        .collect();
    assert_eq!(languages, [Some("eng"), Some("zho"), Some("")]);
}

#[tokio::test]
async fn indices_go_where_they_are_told() {
    let corpus = Corpus::new(DOCS);
    let cache = corpus.path("deep/cache");
    let config = corpus.config(json!({"text": {"cache_dir": &cache}}));
    let collection = corpus.open(config);
    assert_eq!(text(&collection, None, "3").await, "third");
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 1);

    let other = corpus.path("other");
    let options = OpenOptions {
        cache_dir: Some(&other),
        ..OpenOptions::default()
    };
    corpus
        .open_with(corpus.config(json!({"text": {}})), &options)
        .unwrap();
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);

    fs::write(corpus.path("a_file"), "").unwrap();
    let config = corpus.config(json!({"text": {"cache_dir": corpus.path("a_file")}}));
    let error = corpus
        .open_with(config, &OpenOptions::default())
        .unwrap_err();
    assert!(error.message().contains("a_file"), "{error}");
    assert!(
        error.message().starts_with("collection `c`: view `text`: "),
        "{error}"
    );
}

#[test]
fn a_corpus_that_cannot_be_written_beside_uses_the_users_cache() {
    let corpus = Corpus::new(DOCS);
    let locked = corpus.path("locked");
    fs::create_dir(&locked).unwrap();
    fs::copy(corpus.path("docs.jsonl"), locked.join("docs.jsonl")).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(locked.join("probe"), "").is_ok() {
        // Not a print macro: of a test that passes the runner hides those.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: this user may write everywhere, so no directory can refuse"
        );
        return;
    }
    corpus.open(json!({"doc_path": locked.join("docs.jsonl")}));
    assert_eq!(fs::read_dir(&locked).unwrap().count(), 1);
}

#[tokio::test]
async fn a_cached_document_outlives_its_file_and_a_read_one_does_not() {
    let corpus = Corpus::new(DOCS);
    for (cache, survives) in [(256, true), (0, false)] {
        fs::write(corpus.path("docs.jsonl"), DOCS).unwrap();
        let mut config = corpus.config(json!({"text": {}}));
        config["cache"] = json!(cache);
        let collection = corpus.open(config);
        assert_eq!(text(&collection, None, "3").await, "third");
        fs::write(corpus.path("docs.jsonl"), "").unwrap();
        assert_eq!(fetch(&collection, None, &["3"]).await[0].is_ok(), survives);
        assert!(fetch(&collection, None, &["dé2"]).await[0].is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_read_at_once() {
    let text: String = (0..5000)
        .map(|i| format!("{{\"id\": \"d{i}\", \"text\": \"t{i}\"}}\n"))
        .collect();
    let corpus = Corpus::new(&text);
    let collection = corpus.open(corpus.config(json!({"text": {}})));
    let tasks: Vec<_> = (0..32)
        .map(|task| {
            let collection = collection.clone();
            tokio::spawn(async move {
                let wanted: Vec<usize> = (0..100).map(|i| (i * 37 + task * 101) % 5000).collect();
                let ids: Vec<DocId> = wanted
                    .iter()
                    .map(|i| DocId::from(format!("d{i}")))
                    .collect();
                let found = collection.fetch(None, &ids).await.unwrap();
                for (i, document) in wanted.iter().zip(found) {
                    assert_eq!(**document.unwrap().text().unwrap(), format!("t{i}"));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

fn scanned(collection: &Collection, view: Option<&str>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let scan = collection.scan(view).unwrap();
    scan.scan(&mut |document| {
        found.push((document.id.to_string(), document.text.to_string()));
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

#[test]
fn a_scan_gives_every_document_once_in_the_files_order() {
    let corpus = Corpus::new(&format!("not json\n{DOCS}"));
    let collection = corpus.open(corpus.config(json!({"text": {}})));
    let expected = [("dé2", "second"), ("3", "third"), ("d1", "first again")];
    let expected = expected.map(|(id, text)| (id.to_owned(), text.to_owned()));
    assert_eq!(scanned(&collection, None), expected);
    assert_eq!(
        collection.scan(None).unwrap().len(),
        4,
        "the mute one is a document too"
    );
    assert!(collection.scan(Some("nope")).is_err());

    let mut count = 0;
    let first = &mut |_| {
        count += 1;
        ControlFlow::Break(())
    };
    collection.scan(None).unwrap().scan(first).unwrap();
    assert_eq!(count, 1);
}

#[test]
fn a_scans_stamp_changes_with_the_corpus_and_with_the_view() {
    let corpus = Corpus::new(DOCS);
    let stamp = |collection: &Collection| collection.scan(None).unwrap().stamp().unwrap();
    let view = |view: Value| corpus.open(corpus.config(json!({"text": view})));
    let plain = view(json!({}));
    let first = stamp(&plain);
    assert_eq!(first, stamp(&view(json!({}))));
    assert_ne!(first, stamp(&view(json!({"sep": " "}))));
    assert_ne!(
        first,
        stamp(&view(json!({"content_fields": ["text", "title"]})))
    );
    fs::write(corpus.path("docs.jsonl"), DOCS.replace("first", "worst")).unwrap();
    assert_ne!(first, stamp(&view(json!({}))));
    let error = plain
        .scan(None)
        .unwrap()
        .scan(&mut |_| ControlFlow::Continue(()))
        .unwrap_err();
    assert!(
        error.message().contains("changed since it was indexed"),
        "{error}"
    );
}

#[test]
fn progress_is_told_from_start_to_end() {
    let corpus = Corpus::new(DOCS);
    let plain = corpus.path("docs.jsonl");
    let packed = zstd::encode_all(DOCS.as_bytes(), 1).unwrap();
    fs::write(&plain, packed).unwrap();
    let told = RefCell::new(Vec::new());
    let tell = |progress: routir_content::Progress<'_>| {
        assert_eq!(progress.path, Path::new(&plain));
        assert!(progress.bytes_done <= progress.bytes_total);
        let end = progress.bytes_done == progress.bytes_total;
        told.borrow_mut().push((progress.phase, end));
    };
    let options = OpenOptions {
        progress: Some(&tell),
        ..OpenOptions::default()
    };
    let mut config = corpus.config(json!({"text": {}}));
    config["force_load_all_documents"] = json!(true);
    corpus.open_with(config, &options).unwrap();
    for phase in [Phase::Unpacking, Phase::Indexing, Phase::Loading] {
        assert!(
            told.borrow().contains(&(phase, true)),
            "{phase:?}: {:?}",
            told.borrow()
        );
    }
}

#[test]
fn what_is_not_read_yet_is_refused_by_name() {
    let corpus = Corpus::new(DOCS);
    let refused = |config: Value, what: &str| {
        let error = corpus
            .open_with(config, &OpenOptions::default())
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unsupported);
        assert!(error.message().contains(what), "{error}");
    };
    let mut irds = corpus.config(json!({"text": {}}));
    irds["processor"] = json!("IRDSProcessor");
    refused(irds, "IRDSProcessor");

    let missing = json!({"doc_path": corpus.path("nope.jsonl")});
    let error = corpus
        .open_with(missing, &OpenOptions::default())
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.message().contains("nope.jsonl"), "{error}");
}

#[tokio::test]
async fn a_real_collection_answers_every_document() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/vaswani/docs.jsonl");
    let Ok(file) = fs::read_to_string(&path) else {
        // Not a print macro: of a test that passes the runner hides those.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {} is not there",
            path.display()
        );
        return;
    };
    let cache = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        cache_dir: Some(cache.path()),
        ..OpenOptions::default()
    };
    let corpus = Corpus::new("");
    let collection = corpus
        .open_with(json!({"doc_path": path}), &options)
        .unwrap();
    let documents: Vec<Value> = file
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ids: Vec<DocId> = documents
        .iter()
        .map(|document| document["id"].as_str().unwrap().into())
        .collect();
    let found = collection.fetch(None, &ids).await.unwrap();
    for (document, found) in documents.iter().zip(found) {
        assert_eq!(document["text"], **found.unwrap().text().unwrap());
    }
    assert_eq!(scanned(&collection, None).len(), documents.len());
}
