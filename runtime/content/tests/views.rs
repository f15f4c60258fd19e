//! Views of bytes and the segmented MS MARCO, as a collection's callers see them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use routir_config::{Config, Origin};
use routir_content::{Collection, OpenOptions};
use routir_core::{ContentSource, DocId, Document, ErrorCode, Payload, Result, ViewKind};
use serde_json::{Value, json};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn try_open(&self, mut config: Value) -> Result<Collection> {
        config["name"] = json!("c");
        let text = json!({"collections": [config]}).to_string();
        let loaded = Config::parse(text, Origin::inline()).unwrap();
        let options = OpenOptions {
            max_document_bytes: 10_000,
            ..OpenOptions::default()
        };
        Collection::open(&loaded.config.collections[0], &loaded.origin, &options)
    }

    fn open(&self, config: Value) -> Collection {
        self.try_open(config).unwrap()
    }
}

async fn fetch(from: &Collection, view: Option<&str>, ids: &[&str]) -> Vec<Result<Arc<Document>>> {
    let ids: Vec<_> = ids.iter().map(|&id| DocId::from(id)).collect();
    from.fetch(view, &ids).await.unwrap()
}

fn parts(document: &Result<Arc<Document>>) -> (Vec<&[u8]>, Option<&str>) {
    match &document.as_ref().unwrap().payload {
        Payload::Bytes(bytes) => {
            let parts = bytes.parts.iter().map(AsRef::as_ref).collect();
            (parts, bytes.mime.as_deref())
        }
        Payload::Text(text) => (vec![text.as_bytes()], None),
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn one_collection_shows_text_files_and_archives() {
    let place = Place::new();
    place.write("docs.jsonl", "{\"id\": \"v1\", \"text\": \"words\"}\n");
    for (name, bytes) in [("v1_1.jpg", "one"), ("v1_0.jpg", "zero"), ("big_0.jpg", "")] {
        place.write(&format!("frames/{name}"), bytes);
    }
    place.write("frames/big_1.jpg", vec![0; 10_001]);
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(5);
    tar.append_data(&mut header, "s/v1.wav", &b"sound"[..])
        .unwrap();
    place.write("sound.tar.gz", gzip(&tar.into_inner().unwrap()));
    place.write("languages.json", "{\"v1\": \"eng\"}");
    let collection = place.open(json!({
        "default_view": "text",
        "id_to_lang_mapping": place.path("languages.json"),
        "views": {
            "text": {"source": {"source": "text_jsonl", "doc_path": place.path("docs.jsonl")}},
            "frames": {"kind": "bytes", "source": {
                "source": "local_path",
                "path_glob": place.path("frames/{id}_*.jpg"),
                "base_dir": place.path("frames"),
            }},
            "sound": {"kind": "bytes", "source": {
                "source": "tar",
                "tar_template": place.path("sound.tar.gz"),
                "matcher": {"kind": "regex", "pattern": r"s/{id}\.wav"},
                "mime": "audio/x-wav",
            }},
        },
    }));
    let info = collection.info();
    assert_eq!(info.kind(None), Some(ViewKind::Text));
    assert_eq!(info.kind(Some("frames")), Some(ViewKind::Bytes));
    assert_eq!(info.kind(Some("sound")), Some(ViewKind::Bytes));

    let found = fetch(&collection, Some("frames"), &["v1", "zz", "big", "v1"]).await;
    let frames: (Vec<&[u8]>, _) = (vec![b"zero", b"one"], Some("image/jpeg"));
    assert_eq!(parts(&found[0]), frames);
    assert_eq!(parts(&found[3]), frames);
    let unknown = found[1].as_ref().unwrap_err();
    assert_eq!(unknown.message(), "ID zz is not found.");
    assert_eq!(found[2].as_ref().unwrap_err().code(), ErrorCode::TooLarge);
    assert_eq!(found[0].as_ref().unwrap().language.as_deref(), Some("eng"));
    assert_eq!(
        found[0].as_ref().unwrap().text().unwrap_err().code(),
        ErrorCode::Unsupported
    );

    let found = fetch(&collection, Some("sound"), &["v1"]).await;
    assert_eq!(parts(&found[0]), (vec![&b"sound"[..]], Some("audio/x-wav")));
    let found = fetch(&collection, None, &["v1"]).await;
    assert_eq!(parts(&found[0]).0, [b"words"]);
    let refused = collection.scan(Some("frames")).err().unwrap();
    assert_eq!(refused.code(), ErrorCode::Unsupported);
}

#[tokio::test]
async fn segments_are_found_by_their_ids_and_by_nothing_else() {
    let place = Place::new();
    let mut text = String::new();
    let mut ids = Vec::new();
    for n in 0..3000 {
        let id = format!("msmarco_v2.1_doc_07_{n}#{}_{}", n % 5, text.len());
        let body = "word ".repeat(n % 90);
        let line = json!({"docid": id, "title": format!("T{n}"), "segment": format!("{n} {body}")});
        text += &format!("{line}\n");
        ids.push(id);
    }
    place.write(
        "msmarco_v2.1_doc_segmented_07.json.gz",
        gzip(text.as_bytes()),
    );
    let config = json!({
        "doc_path": place.0.path(),
        "offset_source": "msmarco_seg",
        "content_field": "segment",
    });
    for _ in 0..2 {
        let collection = place.open(config.clone());
        let some: Vec<_> = ids.iter().step_by(97).map(String::as_str).collect();
        for (found, n) in fetch(&collection, None, &some)
            .await
            .iter()
            .zip((0..).step_by(97))
        {
            let found = found.as_ref().unwrap();
            assert!(found.text().unwrap().starts_with(&format!("{n} ")));
            assert_eq!(found.title.as_deref(), Some(&*format!("T{n}")));
        }
        let second: usize = ids[1].rsplit('_').next().unwrap().parse().unwrap();
        for absent in [
            // Another's offset, the middle of a line, past the end, another shard, no such id.
            format!("msmarco_v2.1_doc_07_0#0_{second}"),
            format!("msmarco_v2.1_doc_07_1#1_{}", second + 1),
            "msmarco_v2.1_doc_07_1#1_999999999999".to_owned(),
            "msmarco_v2.1_doc_08_0#0_0".to_owned(),
            "x".to_owned(),
        ] {
            let found = fetch(&collection, None, &[&absent]).await;
            let code = found[0].as_ref().unwrap_err().code();
            assert_eq!(code, ErrorCode::UnknownDocument, "{absent}");
        }
    }
    let error = place.try_open(json!({"doc_path": "/", "offset_source": "msmarco_seg"}));
    assert!(
        error
            .unwrap_err()
            .message()
            .contains("msmarco_v2.1_doc_segmented_")
    );
}

#[test]
fn templates_and_patterns_are_checked_at_the_start() {
    let place = Place::new();
    let bytes = |source: Value| json!({"views": {"v": {"kind": "bytes", "source": source}}});
    let files = |more: Value| {
        let mut source = json!({"source": "local_path"});
        source
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        bytes(source)
    };
    let tar = |template: PathBuf, pattern: &str| {
        let matcher = json!({"kind": "regex", "pattern": pattern});
        bytes(json!({"source": "tar", "tar_template": template, "matcher": matcher}))
    };
    place.write("text.tar", "this is no archive".repeat(100));
    for (config, expected) in [
        (files(json!({"path_template": "/d/{id}{x}.jpg"})), "{x}"),
        (files(json!({"path_template": "/d/{id:>9}.jpg"})), "format"),
        (
            files(json!({"path_template": "/d/{id}", "base_dir": place.path("none")})),
            "base directory",
        ),
        (tar(place.path("none.tar"), "{id}"), "none.tar"),
        (tar(place.path("none.tar"), "(?=a){id}"), "look around"),
        (tar(place.path("text.tar"), "{id}"), "no tar archive"),
    ] {
        let error = place.try_open(config).unwrap_err();
        assert!(error.message().contains(expected), "{error}");
        assert!(error.message().contains("view `v`"), "{error}");
    }
}

/// A directory may have letters that mean something in a template.
#[tokio::test]
async fn the_configurations_own_directory_is_no_template() {
    let place = Place::new();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(5);
    tar.append_data(&mut header, "v1.wav", &b"sound"[..])
        .unwrap();
    place.write("odd {shard} [x]/sound.tar", tar.into_inner().unwrap());
    place.write("odd {shard} [x]/v1.wav", "file");
    place.write("odd {shard} [x]/{id}.wav", "");
    let source = |source: Value| json!({"kind": "bytes", "source": source});
    let text = json!({"collections": [{"name": "c", "default_view": "tar", "views": {
        "tar": source(json!({
            "source": "tar",
            "tar_template": "sound.tar",
            "matcher": {"kind": "glob", "pattern": "{id}.wav"},
        })),
        "one": source(json!({"source": "local_path", "path_template": "{id}.wav"})),
        "all": source(json!({"source": "local_path", "path_glob": "{id}.wav"})),
    }}]});
    let at = place.path("odd {shard} [x]/config.json");
    let loaded = Config::parse(text.to_string(), Origin::file(at.to_str().unwrap())).unwrap();
    let config = &loaded.config.collections[0];
    let collection = Collection::open(config, &loaded.origin, &OpenOptions::default()).unwrap();
    for (view, bytes) in [("tar", "sound"), ("one", "file"), ("all", "file")] {
        let found = fetch(&collection, Some(view), &["v1"]).await;
        assert_eq!(parts(&found[0]).0, [bytes.as_bytes()], "{view}");
    }
}
