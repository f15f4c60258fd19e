//! A real `redis-server` on a free port in a directory of its own, killed at the end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A Redis that runs.
pub(crate) struct Redis {
    child: Child,
    pub(crate) port: u16,
    args: Vec<String>,
    dir: TempDir,
}

/// Whether there is a `redis-server`; says loudly what is skipped without one.
pub(crate) fn is_here(test: &str) -> bool {
    let asked = Command::new("redis-server")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if asked.is_ok_and(|status| status.success()) {
        return true;
    }
    // Not a print macro: of a test that passes the runner hides those.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: there is no redis-server here; {test} was not tested (./setup.sh installs it)"
    );
    false
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Redis {
    /// Starts one, with more arguments; its files lie in the directory that `args` gets.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_in(TempDir::new().unwrap(), free_port(), args)
    }

    /// As [`Redis::start`] in a directory that holds something.
    pub(crate) fn start_in(dir: TempDir, port: u16, args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let child = spawn(&dir, port, &args);
        let redis = Self {
            child,
            port,
            args,
            dir,
        };
        redis.await_start();
        redis
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, empty, on the same port.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.dir, self.port, &self.args);
        self.await_start();
    }

    /// Says one command as it stands; the first line of the answer.
    pub(crate) fn say(&self, words: &[&[u8]]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let mut text = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            text.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            text.extend_from_slice(word);
            text.extend_from_slice(b"\r\n");
        }
        stream.write_all(&text).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The names of all keys of the first database, in order.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .write_all(b"*2\r\n$4\r\nKEYS\r\n$1\r\n*\r\n")
            .unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let count: usize = line.trim_start_matches('*').trim_end().parse().unwrap();
        let mut keys = Vec::new();
        for _ in 0..count {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let length: usize = line.trim_start_matches('$').trim_end().parse().unwrap();
            let mut key = vec![0; length + 2];
            reader.read_exact(&mut key).unwrap();
            keys.push(String::from_utf8_lossy(&key).trim_end().to_owned());
        }
        keys.sort();
        keys
    }

    fn await_start(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < until, "redis-server did not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn spawn(dir: &TempDir, port: u16, args: &[String]) -> Child {
    let plain = if args.iter().any(|arg| arg == "--tls-port") {
        "0".to_owned()
    } else {
        port.to_string()
    };
    let mut command = Command::new("redis-server");
    command
        .args(["--port", &plain, "--bind", "127.0.0.1", "--save", ""])
        .args(["--appendonly", "no", "--daemonize", "no"])
        .args(args)
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command.spawn().unwrap()
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
