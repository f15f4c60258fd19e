//! A run that was killed goes on where it stopped.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::site::{Site, agent};

const CONFIG: &str = "configs/quickstart/config.json";
const TOPICS: &str = "configs/quickstart/topics.tsv";

/// Passes requests on to `upstream`, and after `answers` pipelines keeps silent.
fn stalling_server(upstream: String, answers: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let answered = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (upstream, answered) = (upstream.clone(), Arc::clone(&answered));
            std::thread::spawn(move || pass_on(connection, &upstream, &answered, answers));
        }
    });
    base
}

fn pass_on(mut connection: TcpStream, upstream: &str, answered: &AtomicUsize, answers: usize) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    loop {
        let (mut path, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let lower = line.to_lowercase();
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap().to_owned();
            } else if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            } else if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        if path == "/pipeline" && answered.fetch_add(1, Ordering::SeqCst) >= answers {
            std::thread::park();
        }
        let mut answer = agent()
            .post(format!("{upstream}{path}"))
            .send(&body[..])
            .unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        let (status, length) = (answer.status().as_u16(), text.len());
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n");
        if connection
            .write_all(format!("{head}{text}").as_bytes())
            .is_err()
        {
            return;
        }
    }
}

#[test]
fn what_a_killed_run_wrote_is_kept_and_the_rest_is_added() {
    let site = Site::new();
    let server = site.serve(CONFIG, &[]);
    for format in ["trec", "jsonl"] {
        let whole = format!("whole.{format}");
        let part = format!("part.{format}");
        let common = [
            "run",
            "--topics",
            TOPICS,
            "--pipeline",
            "bm25%7",
            "--format",
            format,
        ];
        site.succeed(&[&common[..], &["--server", &server.base, "-o", &whole]].concat());

        let stalling = stalling_server(server.base.clone(), 12);
        let args = [
            &common[..],
            &["--server", &stalling, "-o", &part, "--concurrency", "1"],
        ]
        .concat();
        let mut running = site.command(&args).stderr(Stdio::null()).spawn().unwrap();
        let topics = |text: &str| {
            let mut topics: Vec<_> = text
                .lines()
                .filter_map(|line| line.split(' ').next())
                .collect();
            topics.dedup();
            topics.len()
        };
        let enough = |text: &str| {
            if format == "trec" {
                topics(text)
            } else {
                text.lines().count()
            }
        };
        while enough(&fs::read_to_string(site.path(&part)).unwrap_or_default()) < 12 {
            assert!(running.try_wait().unwrap().is_none(), "it ended too early");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        running.kill().unwrap();
        running.wait().unwrap();

        // As if the machine had stopped in the middle of a block.
        let cut = site.read(&part);
        fs::write(site.path(&part), &cut[..cut.len() - 9]).unwrap();
        let resume = ["--server", &server.base, "-o", &part, "--resume"];
        let log = site.run(&[&common[..], &resume[..]].concat());
        assert_eq!(log.status, Some(0), "{}", log.stderr);
        assert!(
            log.stderr.contains("11 topics are there already; 19 to go"),
            "{}",
            log.stderr
        );
        let expected = site.read(&whole).replace(&stalling, &server.base);
        assert_eq!(site.read(&part).replace(&stalling, &server.base), expected);
    }
}

#[test]
fn failed_topics_are_tried_again_and_take_their_places() {
    let site = Site::new();
    let run = |topics: &str, config: &str, more: &[&str]| {
        fs::write(site.path("t.tsv"), topics).unwrap();
        let args = [
            "run",
            config,
            "--topics",
            "t.tsv",
            "--pipeline",
            "title%2",
            "-o",
            "a.run",
        ];
        site.run(&[&args[..], more].concat())
    };
    // In the first run, topic b is none of those that `title` knows.
    assert_eq!(
        run(
            "a\tjava coffee\nb\tnobody\nc\tjava coffee\nd\tjava coffee\n",
            CONFIG,
            &[]
        )
        .status,
        Some(1)
    );
    let ran = run(
        "a\tjava coffee\nb\tjava coffee\nc\tjava coffee\nd\tjava coffee\n",
        CONFIG,
        &["--resume"],
    );
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let text = site.read("a.run");
    let topics: Vec<_> = text.lines().map(|line| &line[..1]).collect();
    assert_eq!(topics, ["a", "a", "b", "b", "c", "c", "d", "d"]);
}

#[test]
fn a_file_of_something_else_is_not_gone_on_with() {
    let site = Site::new();
    let run = [
        "run",
        CONFIG,
        "--topics",
        TOPICS,
        "--pipeline",
        "bm25",
        "--resume",
        "-o",
        "a.run",
    ];
    for (text, why) in [
        ("precious notes\n", "a.run:1: not a line of a TREC run"),
        (
            "q01 Q0 d 1 1.0 other\n",
            "a.run:1: it comes from another run",
        ),
        (
            "zz Q0 d 1 1.0 routir-rt\nq01 Q0 d 1 1.0 routir-rt\n",
            "a.run has topic `zz`",
        ),
    ] {
        fs::write(site.path("a.run"), text).unwrap();
        let ran = site.run(&run);
        assert_eq!(ran.status, Some(2));
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
        assert_eq!(site.read("a.run"), text);
    }
}
