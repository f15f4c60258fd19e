//! How a server lives: little memory, whole caches, a calm end.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::site::Site;

/// The most that an empty server may hold.
const EMPTY_KIB: u64 = 40 * 1024;
/// The most of that that is its own, and not pages of the binary, of which an unoptimised one has
/// several times as many.
const OWN_KIB: u64 = 8 * 1024;

#[test]
fn an_empty_server_is_small() {
    let site = Site::new();
    let server = site.serve("{}", &[]);
    assert_eq!(server.get("/ping").0, 200);
    let Ok(status) = fs::read_to_string(format!("/proc/{}/status", server.child.id())) else {
        // Not a print macro: of a test that passes the runner hides those.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: there is no /proc here; memory was not measured"
        );
        return;
    };
    let kib = |what: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(what));
        let said = line.unwrap().trim().trim_end_matches(" kB");
        said.parse().unwrap()
    };
    let (all, own) = (kib("VmRSS:"), kib("RssAnon:"));
    assert!(own <= OWN_KIB, "an empty server holds {own} KiB of its own");
    let optimised = !cfg!(debug_assertions);
    assert!(
        !optimised || all <= EMPTY_KIB,
        "an empty server holds {all} KiB"
    );
}

#[test]
fn a_request_in_flight_is_answered_before_the_server_ends() {
    let site = Site::new();
    let mut server = site.serve("configs/quickstart/config.json", &[]);
    let address = server.base.strip_prefix("http://").unwrap().to_owned();
    let body = r#"{"service": "bm25", "query": "java coffee", "limit": 3}"#;
    let (first, rest) = body.split_at(20);
    let mut connection = TcpStream::connect(&address).unwrap();
    let length = body.len();
    let head = format!(
        "POST /search HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).unwrap();
    // The server says so when it begins to read the body: now the request is in flight.
    let mut go_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    connection.read_exact(&mut go_on).unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100 "));
    connection.write_all(first.as_bytes()).unwrap();
    server.signal("TERM");
    while TcpStream::connect(&address).is_ok() {
        std::thread::yield_now();
    }
    assert!(
        server.child.try_wait().unwrap().is_none(),
        "it waits for the request"
    );
    connection.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains(r#""scores":{"#), "{answer}");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn interrupting_stops_it_too() {
    let site = Site::new();
    let mut server = site.serve("{}", &[]);
    server.signal("INT");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

/// What may happen to a file's bytes.
type Damage = fn(&mut Vec<u8>);

#[test]
fn damaged_caches_are_built_anew() {
    let site = Site::new();
    let config = "configs/quickstart/config.json";
    let ask = || {
        let server = site.serve(config, &[]);
        let answers = (
            server.ids(
                "bm25%20",
                "how do honeybees tell each other where to find food",
            ),
            server.ids("bm25%20 >> overlap%20", "java coffee"),
        );
        server.stop();
        answers
    };
    let answers = ask();
    let caches = || {
        let mut files = site.files(".cache", "");
        files.extend(site.files("configs", ".routir-offsets"));
        files
    };
    assert!(caches().len() >= 3, "{:?}", caches());
    let truncate: Damage = |bytes| bytes.truncate(bytes.len() / 2);
    let garble: Damage = |bytes| bytes.iter_mut().step_by(7).for_each(|byte| *byte ^= 0x5a);
    let ways: [Damage; 3] = [truncate, garble, Vec::clear];
    for (way, damage) in ways.into_iter().enumerate() {
        for file in caches() {
            let mut bytes = fs::read(&file).unwrap();
            damage(&mut bytes);
            fs::write(&file, bytes).unwrap();
        }
        assert_eq!(ask(), answers, "after damage {way}");
    }
    fs::remove_dir_all(site.path(".cache")).unwrap();
    assert_eq!(ask(), answers, "after removal");
}
