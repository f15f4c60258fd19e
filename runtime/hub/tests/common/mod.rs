//! A small hub on a port of its own, with one repository `owner/name`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

/// The commit that every revision of the repository is.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What goes wrong.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Files whose path ends so are not sent beyond this many bytes, this often.
    Breaks {
        end: &'static str,
        at: usize,
        times: usize,
    },
    /// What is asked for under such a path is begun, sent up to so many bytes, and nothing follows
    /// until the stand-in is dropped.
    Hangs { end: &'static str, at: usize },
    /// Such files are said to have this etag.
    Etag { end: &'static str, etag: String },
    /// Ranges are not known: everything is always sent from the beginning.
    NoRanges,
    /// Every answer has this status.
    Status(&'static str),
}

/// A hub.
pub(crate) struct StandIn {
    /// `http://…`
    pub(crate) address: String,
    state: Arc<State>,
    // Dropped, it lets those go that hang.
    _alive: Sender<()>,
}

struct State {
    files: BTreeMap<String, Vec<u8>>,
    token: Option<String>,
    faults: Mutex<Vec<Fault>>,
    asked: Mutex<Vec<String>>,
    dead: Mutex<Receiver<()>>,
}

impl StandIn {
    /// Serves these files; with a `token`, only to those who have it.
    pub(crate) fn start<T: AsRef<[u8]>>(files: &[(&str, T)], token: Option<&str>) -> Self {
        let files = files.iter();
        let files = files.map(|(name, text)| (name.to_string(), text.as_ref().to_vec()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (alive, dead) = channel();
        let state = Arc::new(State {
            files: files.collect(),
            token: token.map(|it| format!("Bearer {it}")),
            faults: Mutex::default(),
            asked: Mutex::default(),
            dead: Mutex::new(dead),
        });
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&served);
                std::thread::spawn(move || state.answer(stream));
            }
        });
        Self {
            address,
            state,
            _alive: alive,
        }
    }

    /// From now on this goes wrong, too.
    pub(crate) fn fault(&self, fault: Fault) {
        self.state.faults.lock().unwrap().push(fault);
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&self) {
        self.state.faults.lock().unwrap().clear();
    }

    /// What has been asked for since this was last asked.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.asked.lock().unwrap())
    }
}

struct Answer {
    head: String,
    body: Vec<u8>,
    /// How much of the body is sent.
    sent: usize,
    hangs: bool,
}

impl Answer {
    fn status(status: &str) -> Self {
        Self::ok(status, "", Vec::new())
    }

    fn ok(status: &str, headers: &str, body: Vec<u8>) -> Self {
        let length = body.len();
        Self {
            head: format!(
                "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n"
            ),
            sent: length,
            body,
            hangs: false,
        }
    }
}

impl State {
    fn answer(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(&stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                break;
            }
            head.push(line.trim_end().to_owned());
        }
        let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else {
            return;
        };
        self.asked.lock().unwrap().push(path.to_owned());
        let header = |name: &str| {
            let mut headers = head.iter().filter_map(|line| line.split_once(": "));
            let found = headers.find(|(header, _)| header.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_owned())
        };
        let answer = self.answer_to(
            path,
            header("range").as_deref(),
            header("authorization").as_deref(),
        );
        let body = answer.body.get(..answer.sent).unwrap_or_default();
        let sent = stream
            .write_all(answer.head.as_bytes())
            .and_then(|()| stream.write_all(body));
        if answer.hangs && sent.is_ok() {
            let _ = self.dead.lock().unwrap().recv();
        }
    }

    fn answer_to(&self, path: &str, range: Option<&str>, token: Option<&str>) -> Answer {
        let faults = self.faults.lock().unwrap().clone();
        for fault in &faults {
            if let Fault::Status(status) = fault {
                return Answer::status(status);
            }
        }
        if self.token.is_some() && token != self.token.as_deref() {
            return Answer::status("401 Unauthorized");
        }
        let dataset = path.strip_prefix("/datasets").unwrap_or(path);
        let resolved = dataset.strip_prefix(&format!("/owner/name/resolve/{COMMIT}/"));
        let mut answer = if path == "/api/models/owner/name/revision/main"
            || path == "/api/datasets/owner/name/revision/main"
        {
            let names = self.files.keys();
            let names = names.map(|name| format!("{{\"rfilename\": \"{name}\"}}"));
            let names = names.collect::<Vec<_>>().join(", ");
            let body = format!("{{\"sha\": \"{COMMIT}\", \"siblings\": [{names}]}}");
            Answer::ok("200 OK", "", body.into_bytes())
        } else if let Some((name, body)) =
            resolved.and_then(|name| self.files.get_key_value(&name.replace("%20", " ")))
        {
            file(name, body, range, &faults)
        } else {
            return Answer::status("404 Not Found");
        };
        for fault in self.faults.lock().unwrap().iter_mut() {
            match fault {
                // The question how large it is, is answered.
                Fault::Breaks { end, at, times }
                    if path.ends_with(*end) && *times > 0 && answer.body.len() > 1 =>
                {
                    *times -= 1;
                    answer.sent = answer.sent.min(*at);
                }
                Fault::Hangs { end, at } if path.ends_with(*end) => {
                    answer.sent = answer.sent.min(*at);
                    answer.hangs = answer.sent < answer.body.len();
                }
                _ => {}
            }
        }
        answer
    }
}

fn file(name: &str, body: &[u8], range: Option<&str>, faults: &[Fault]) -> Answer {
    let mut etag = format!("etag-{}", name.replace(['/', ' '], "-"));
    for fault in faults {
        match fault {
            Fault::Etag { end, etag: other } if name.ends_with(end) => etag.clone_from(other),
            _ => {}
        }
    }
    let ranges = !faults.iter().any(|it| matches!(it, Fault::NoRanges));
    let asked = range.unwrap_or("bytes=0-").trim_start_matches("bytes=");
    let (start, end) = asked.split_once('-').unwrap();
    let size = body.len();
    let start: usize = start.parse().unwrap();
    let end = end.parse().map_or(size, |end: usize| end + 1).min(size);
    if start > end || (start == size && size > 0) {
        return Answer::status("416 Range Not Satisfiable");
    }
    let mut headers = format!("x-repo-commit: {COMMIT}\r\netag: \"{etag}\"\r\n");
    // Whoever asks for one byte wants to know how many there are.
    if !ranges && end - start != 1 {
        return Answer::ok("200 OK", &headers, body.to_vec());
    }
    let last = end.saturating_sub(1);
    headers += &format!("content-range: bytes {start}-{last}/{size}\r\n");
    Answer::ok(
        "206 Partial Content",
        &headers,
        body.get(start..end).unwrap().to_vec(),
    )
}
