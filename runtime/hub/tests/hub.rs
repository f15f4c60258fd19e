//! Repositories of a hub, against a small stand-in for it that does what hubs do on bad days.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{COMMIT, Fault, StandIn};
use routir_core::{Error, ErrorCode};
use routir_hub::{Dataset, Hub};
use sha2::{Digest, Sha256};

const DOCUMENTS: &str = "{\"id\": \"1\", \"text\": \"one\"}\n{\"id\": \"2\", \"text\": \"two\"}\n";
const FILES: &[(&str, &str)] = &[
    ("README.md", "read me"),
    ("data/the docs.jsonl", DOCUMENTS),
    ("index/config.json", "{}"),
    ("index/deep/part.bin", "0123456789"),
];

fn dataset(text: &str) -> Dataset {
    Dataset::parse(text).unwrap().unwrap()
}

fn hub(stand_in: &StandIn, cache: &Path) -> Hub {
    // Long enough for a slow machine, short enough to wait for.
    Hub::new(&stand_in.address, cache, false).with_stall(Duration::from_secs(5))
}

fn documents(hub: &Hub) -> Result<String, Error> {
    let path = dataset("hfds:owner/name").documents(hub)?;
    Ok(std::fs::read_to_string(path).unwrap())
}

fn digest(text: &str) -> String {
    let digits = Sha256::digest(text);
    digits.iter().map(|it| format!("{it:02x}")).collect()
}

#[test]
fn documents_and_index_are_fetched_once_each() {
    let stand_in = StandIn::start(FILES, None);
    let cache = tempfile::tempdir().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let hub = hub(&stand_in, cache.path()).telling(move |now| {
        let now = format!("{} {} {}/{}", now.repo, now.name, now.done, now.total);
        heard.lock().unwrap().push(now);
    });
    assert_eq!(documents(&hub).unwrap(), DOCUMENTS);
    let asked = stand_in.asked();
    assert!(
        asked.iter().all(|path| !path.contains("index")),
        "{asked:?}"
    );
    let last = format!("owner/name data/the docs.jsonl {0}/{0}", DOCUMENTS.len());
    assert_eq!(told.lock().unwrap().last().unwrap(), &last);
    let index = dataset("hfds:owner/name").index(&hub).unwrap();
    let snapshot = format!("datasets--owner--name/snapshots/{COMMIT}/index");
    assert!(index.ends_with(snapshot), "{}", index.display());
    let part = std::fs::read_to_string(index.join("deep/part.bin")).unwrap();
    assert_eq!(part, "0123456789");
    stand_in.asked();
    documents(&hub).unwrap();
    dataset("hfds:owner/name").index(&hub).unwrap();
    let listing = "/api/datasets/owner/name/revision/main";
    assert_eq!(stand_in.asked(), [listing, listing]);
}

#[test]
fn a_hub_that_hangs_is_left_with_what_to_do() {
    for (end, at) in [("/revision/main", 0), ("docs.jsonl", 0), ("docs.jsonl", 9)] {
        let stand_in = StandIn::start(FILES, None);
        stand_in.fault(Fault::Hangs { end, at });
        let cache = tempfile::tempdir().unwrap();
        let hub = hub(&stand_in, cache.path()).with_stall(Duration::from_millis(300));
        let started = Instant::now();
        let error = documents(&hub).unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(60));
        assert_eq!(error.code(), ErrorCode::Unavailable);
        let message = error.message();
        assert!(
            message.starts_with("dataset `hfds:owner/name`: "),
            "{message}"
        );
        assert!(
            message.contains("in reach, or give a local copy"),
            "{message}"
        );
        stand_in.heal();
        let hub = hub.with_stall(Duration::from_secs(5));
        assert_eq!(documents(&hub).unwrap(), DOCUMENTS, "{end} {at}");
    }
}

#[test]
fn what_broke_off_is_gone_on_with() {
    let stand_in = StandIn::start(FILES, None);
    stand_in.fault(Fault::Breaks {
        end: "docs.jsonl",
        at: 10,
        times: 2,
    });
    let cache = tempfile::tempdir().unwrap();
    assert_eq!(documents(&hub(&stand_in, cache.path())).unwrap(), DOCUMENTS);
    // A hub that knows no ranges sends it from the beginning.
    let stand_in = StandIn::start(FILES, None);
    stand_in.fault(Fault::NoRanges);
    stand_in.fault(Fault::Breaks {
        end: "docs.jsonl",
        at: 10,
        times: 1,
    });
    let cache = tempfile::tempdir().unwrap();
    assert_eq!(documents(&hub(&stand_in, cache.path())).unwrap(), DOCUMENTS);
}

#[test]
fn half_a_file_is_no_file() {
    let stand_in = StandIn::start(FILES, None);
    stand_in.fault(Fault::Breaks {
        end: "docs.jsonl",
        at: 0,
        times: usize::MAX,
    });
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&stand_in, cache.path());
    let error = documents(&hub).unwrap_err();
    assert!(error.message().contains("broke off after 0 of"), "{error}");
    let offline = Hub::new(&stand_in.address, cache.path(), true);
    let error = documents(&offline).unwrap_err();
    assert!(error.message().contains("HF_HUB_OFFLINE"), "{error}");
    // A part that is whole, as when the process ended before it could be renamed, is taken.
    let blobs = cache.path().join("datasets--owner--name/blobs");
    let part = blobs.join("etag-data-the-docs.jsonl.part");
    std::fs::write(&part, DOCUMENTS).unwrap();
    assert_eq!(documents(&hub).unwrap(), DOCUMENTS);
    assert!(!part.exists());
}

#[test]
fn another_file_than_promised_is_thrown_away() {
    let stand_in = StandIn::start(FILES, None);
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&stand_in, cache.path());
    stand_in.fault(Fault::Etag {
        end: "docs.jsonl",
        etag: digest("another text"),
    });
    let error = documents(&hub).unwrap_err();
    assert!(error.message().contains("SHA-256"), "{error}");
    stand_in.heal();
    stand_in.fault(Fault::Etag {
        end: "docs.jsonl",
        etag: digest(DOCUMENTS),
    });
    assert_eq!(documents(&hub).unwrap(), DOCUMENTS);
}

#[test]
fn an_etag_that_leads_elsewhere_is_refused() {
    let stand_in = StandIn::start(FILES, None);
    stand_in.fault(Fault::Etag {
        end: "docs.jsonl",
        etag: "../../../escaped".to_owned(),
    });
    let outside = tempfile::tempdir().unwrap();
    let cache = outside.path().join("a/cache");
    let error = documents(&hub(&stand_in, &cache)).unwrap_err();
    assert!(error.message().contains("etag"), "{error}");
    assert!(!outside.path().join("escaped").exists());
}

#[test]
fn what_is_refused_is_told_apart_from_what_is_away() {
    let stand_in = StandIn::start(FILES, Some("secret"));
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&stand_in, cache.path());
    let error = documents(&hub).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.message().contains("HF_TOKEN"), "{error}");
    let known = hub.with_token("secret");
    assert_eq!(documents(&known).unwrap(), DOCUMENTS);
    let error = dataset("hfds:owner/other").documents(&known).unwrap_err();
    assert!(error.message().contains("no such dataset"), "{error}");
    let error = dataset("hfds:owner/name:other/index").index(&known);
    assert!(error.unwrap_err().message().contains("`other/index`"));
    // The cache does while the hub is away, and says nothing of what it has not got.
    stand_in.fault(Fault::Status("503 Service Unavailable"));
    assert_eq!(documents(&known).unwrap(), DOCUMENTS);
    let error = dataset("hfds:owner/name").index(&known).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(error.message().contains("status 503"), "{error}");
}

#[test]
fn offline_nothing_is_asked_and_what_is_not_whole_is_not_there() {
    let stand_in = StandIn::start(FILES, None);
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&stand_in, cache.path());
    documents(&hub).unwrap();
    let index = dataset("hfds:owner/name").index(&hub).unwrap();
    stand_in.asked();
    let offline = Hub::new(&stand_in.address, cache.path(), true);
    assert_eq!(documents(&offline).unwrap(), DOCUMENTS);
    assert!(dataset("hfds:owner/name").index(&offline).is_ok());
    std::fs::remove_file(index.join("deep/part.bin")).unwrap();
    let error = dataset("hfds:owner/name").index(&offline).unwrap_err();
    assert!(error.message().contains("`index/deep/part.bin` is missing"));
    assert!(stand_in.asked().is_empty());
    // With the hub in reach only that file's link is made anew.
    assert!(dataset("hfds:owner/name").index(&hub).is_ok());
    assert!(index.join("deep/part.bin").is_file());
}

#[test]
fn two_at_once_fetch_it_once() {
    let stand_in = StandIn::start(FILES, None);
    let cache = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let each = || documents(&hub(&stand_in, cache.path())).unwrap();
        let both = [scope.spawn(each), scope.spawn(each)];
        for one in both {
            assert_eq!(one.join().unwrap(), DOCUMENTS);
        }
    });
    let asked = stand_in.asked();
    let fetched = asked.iter().filter(|path| path.contains("docs"));
    // How large it is, and what it holds.
    assert_eq!(fetched.count(), 2, "{asked:?}");
}

#[test]
fn whoever_holds_the_lock_and_does_nothing_is_not_waited_for() {
    let stand_in = StandIn::start(FILES, None);
    let cache = tempfile::tempdir().unwrap();
    let own = cache.path().join("datasets--owner--name/routir");
    std::fs::create_dir_all(&own).unwrap();
    let held = std::fs::File::create(own.join("lock")).unwrap();
    held.lock().unwrap();
    let hub = hub(&stand_in, cache.path()).with_stall(Duration::from_millis(300));
    let error = documents(&hub).unwrap_err();
    assert!(error.message().contains("another process"), "{error}");
    drop(held);
    assert_eq!(documents(&hub).unwrap(), DOCUMENTS);
}

#[test]
fn files_of_one_kind_lie_in_one_folder() {
    let files = [
        ("s/a_1.json.gz", "1"),
        ("s/a_2.json.gz", "2"),
        ("x.txt", "x"),
    ];
    let stand_in = StandIn::start(&files, None);
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&stand_in, cache.path());
    let folder = dataset("hfds:owner/name").files(&hub, ".json.gz").unwrap();
    assert!(folder.ends_with("s"));
    assert_eq!(
        routir_hub::list(&folder, 1).unwrap(),
        ["a_1.json.gz", "a_2.json.gz"]
    );
    assert!(!stand_in.asked().iter().any(|path| path.contains("x.txt")));
}
