//! The cache in Redis against a real `redis-server`: what is shared and what is not, and every way
//! in which a Redis can fail.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod server;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use routir_cache::{
    Cache, Key, RedisCache, RedisClient, RedisSettings, RedisSpace, Stored, codecs::Scores,
};
use routir_core::Metrics;
use serde_json::{Value, json};
use server::{Redis, free_port, is_here};
use tempfile::TempDir;

type Values = Arc<[f64]>;
type Scored = RedisCache<Values, Scores>;

/// One server's cache.
struct Side {
    client: RedisClient,
    cache: Scored,
    metrics: Metrics,
}

impl Side {
    fn new(url: &str, kwargs: Value, identity: &str) -> Self {
        Self::living(url, kwargs, identity, Duration::from_secs(600))
    }

    fn living(url: &str, kwargs: Value, identity: &str, ttl: Duration) -> Self {
        let Value::Object(kwargs) = kwargs else {
            panic!("arguments are an object");
        };
        let settings = RedisSettings::new(url, &kwargs, &|path| PathBuf::from(path)).unwrap();
        let metrics = Metrics::default();
        let client = RedisClient::start(settings, &metrics);
        let space = RedisSpace {
            client: client.clone(),
            identity: Arc::from(identity),
            ttl,
        };
        Self {
            client,
            cache: RedisCache::new(space, Scores),
            metrics,
        }
    }

    async fn connected(self) -> Self {
        until("connected", || self.client.is_connected()).await;
        self
    }

    /// Keeps a value and waits until it is kept.
    async fn keep(&self, name: &str, values: &[f64]) {
        let before = self.counted("put", "stored");
        self.cache.put(key(name), stored(values)).await;
        until("kept", || self.counted("put", "stored") > before).await;
    }

    async fn find(&self, name: &str) -> Option<Stored<Values>> {
        self.cache.get(&key(name)).await
    }

    fn counted(&self, operation: &str, outcome: &str) -> u64 {
        let labels = format!("operation=\"{operation}\",outcome=\"{outcome}\"}} ");
        let text = self.metrics.encode();
        let found = text.lines().find_map(|line| line.split_once(&labels));
        found.map_or(0, |(_, count)| count.parse().unwrap())
    }
}

fn key(name: &str) -> Key {
    Key::builder("search").text("query", name).build()
}

fn stored(values: &[f64]) -> Stored<Values> {
    Stored {
        value: Arc::from(values),
        timestamp: 1_700_000_000.5,
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < end, "never {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn servers_with_the_same_service_share_and_others_do_not() {
    if !is_here("sharing a Redis") {
        return;
    }
    let redis = Redis::start(&[]);
    let one = Side::new(&redis.url(), json!({}), "bm25").connected().await;
    let two = Side::new(&redis.url(), json!({}), "bm25").connected().await;
    let other = Side::new(&redis.url(), json!({}), "bm25 with k1=2")
        .connected()
        .await;
    let apart = Side::new(&redis.url(), json!({"key_prefix": "mine:"}), "bm25")
        .connected()
        .await;
    assert_eq!(one.find("q").await, None);
    one.keep("q", &[1.0, 0.1]).await;
    assert_eq!(two.find("q").await, Some(stored(&[1.0, 0.1])));
    assert_eq!(two.find("r").await, None);
    assert_eq!(other.find("q").await, None);
    assert_eq!(apart.find("q").await, None);
    assert_eq!(
        (two.counted("get", "hit"), two.counted("get", "miss")),
        (1, 1)
    );
    let keys = redis.keys();
    assert!(
        matches!(&keys[..], [key] if key.starts_with("routir-rt:RTC1:")),
        "{keys:?}"
    );
}

#[tokio::test]
async fn password_and_database_are_used() {
    if !is_here("the password of a Redis") {
        return;
    }
    let redis = Redis::start(&["--requirepass", "open sesame"]);
    let kwargs = json!({"password": "open sesame", "db": 3});
    let one = Side::new(&redis.url(), kwargs.clone(), "s")
        .connected()
        .await;
    one.keep("q", &[1.0]).await;
    let by_url = format!("redis://:open%20sesame@127.0.0.1:{}/3", redis.port);
    let two = Side::new(&by_url, json!({}), "s").connected().await;
    assert_eq!(two.find("q").await, Some(stored(&[1.0])));
    let mut elsewhere = kwargs;
    elsewhere["db"] = json!(4);
    let elsewhere = Side::new(&redis.url(), elsewhere, "s").connected().await;
    assert_eq!(elsewhere.find("q").await, None);
    // A wrong password is a Redis that is not there.
    let locked_out = Side::new(&redis.url(), json!({"password": "wrong"}), "s");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!locked_out.client.is_connected());
    assert_eq!(locked_out.find("q").await, None);
    assert_eq!(locked_out.counted("get", "unreachable"), 1);
}

#[tokio::test]
async fn values_expire() {
    if !is_here("expiry in Redis") {
        return;
    }
    let redis = Redis::start(&[]);
    let ttl = Duration::from_millis(400);
    let side = Side::living(&redis.url(), json!({}), "s", ttl)
        .connected()
        .await;
    side.keep("q", &[1.0]).await;
    let name = redis.keys().remove(0);
    let left = redis.say(&[b"PTTL", name.as_bytes()]);
    let left: i64 = left.trim_start_matches(':').parse().unwrap();
    assert!((1..=400).contains(&left), "{left}");
    until("gone", || redis.keys().is_empty()).await;
    assert_eq!(side.find("q").await, None);
}

#[tokio::test]
async fn what_is_not_ours_is_a_miss() {
    if !is_here("foreign values in Redis") {
        return;
    }
    let redis = Redis::start(&[]);
    let side = Side::new(&redis.url(), json!({}), "s").connected().await;
    side.keep("q", &[1.0]).await;
    side.keep("r", &[2.0]).await;
    let keys = redis.keys();
    let (first, second) = (keys[0].as_bytes(), keys[1].as_bytes());
    // One value under another's key, another program's value, a flipped byte.
    redis.say(&[b"COPY", second, first, b"REPLACE"]);
    let both = (side.find("q").await, side.find("r").await);
    assert!(
        matches!(both, (None, Some(_)) | (Some(_), None)),
        "{both:?}"
    );
    redis.say(&[b"SET", first, b"{\"scores\": {}}"]);
    redis.say(&[b"SETRANGE", second, b"50", b"x"]);
    assert_eq!((side.find("q").await, side.find("r").await), (None, None));
    assert_eq!(side.counted("get", "corrupt"), 3);
    // A value of another type.
    redis.say(&[b"DEL", first]);
    redis.say(&[b"LPUSH", first, b"x"]);
    let _ = (side.find("q").await, side.find("r").await);
    assert_eq!(side.counted("get", "error"), 1);
    // A flood is cut where it lies.
    redis.say(&[b"DEL", first]);
    redis.say(&[b"SETRANGE", first, b"30000000", b"x"]);
    let _ = (side.find("q").await, side.find("r").await);
    assert!(side.client.is_connected());
    // And it is put right by the next answer.
    side.keep("q", &[3.0]).await;
    side.keep("r", &[4.0]).await;
    assert_eq!(side.find("q").await, Some(stored(&[3.0])));
}

#[tokio::test]
async fn a_value_that_is_too_large_is_not_kept() {
    if !is_here("large values in Redis") {
        return;
    }
    let redis = Redis::start(&[]);
    let side = Side::new(&redis.url(), json!({}), "s").connected().await;
    let large = vec![0.5; 200_000];
    side.cache.put(key("q"), stored(&large)).await;
    until("refused", || side.counted("put", "oversize") == 1).await;
    assert!(redis.keys().is_empty());
}

#[tokio::test]
async fn a_redis_that_is_killed_is_missed_and_found_again() {
    if !is_here("a Redis that is killed") {
        return;
    }
    let mut redis = Redis::start(&[]);
    let side = Side::new(&redis.url(), json!({}), "s").connected().await;
    side.keep("q", &[1.0]).await;
    redis.kill();
    until("lost", || !side.client.is_connected()).await;
    assert_eq!(side.find("q").await, None);
    side.cache.put(key("q"), stored(&[2.0])).await;
    assert!(side.counted("get", "unreachable") >= 1);
    assert_eq!(side.counted("put", "unreachable"), 1);
    redis.restart();
    until("back", || side.client.is_connected()).await;
    side.keep("q", &[3.0]).await;
    assert_eq!(side.find("q").await, Some(stored(&[3.0])));
}

#[tokio::test]
async fn a_redis_that_is_not_there_at_first_is_found_later() {
    if !is_here("a Redis that comes later") {
        return;
    }
    let port = free_port();
    let side = Side::new(&format!("redis://127.0.0.1:{port}"), json!({}), "s");
    assert_eq!(side.find("q").await, None);
    let _redis = Redis::start_in(TempDir::new().unwrap(), port, &[]);
    let side = side.connected().await;
    side.keep("q", &[1.0]).await;
}

/// Stalls are told by their count, not by the clock: after three look-ups that were not answered, none
/// asks any more.
#[tokio::test]
async fn a_redis_that_stalls_is_left_alone() {
    if !is_here("a Redis that stalls") {
        return;
    }
    let redis = Redis::start(&[]);
    let kwargs = json!({"socket_connect_timeout": 0.2});
    let side = Side::new(&redis.url(), kwargs, "s").connected().await;
    side.keep("q", &[1.0]).await;
    redis.signal("STOP");
    for _ in 0..3 {
        assert_eq!(side.find("q").await, None);
    }
    assert_eq!(side.counted("get", "timeout"), 3);
    assert!(!side.client.is_connected());
    for _ in 0..1000 {
        assert_eq!(side.find("q").await, None);
    }
    assert_eq!(side.counted("get", "timeout"), 3);
    assert_eq!(side.counted("get", "unreachable"), 1000);
    redis.signal("CONT");
    let side = side.connected().await;
    until("answered", || true).await;
    assert_eq!(side.find("q").await, Some(stored(&[1.0])));
}

/// A peer that speaks no Redis, and one that floods whoever connects.
#[tokio::test]
async fn nonsense_and_floods_are_no_redis() {
    let floods: [&[u8]; 3] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"$99999999999\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        b"*2000000000\r\n*2000000000\r\n",
    ];
    for flood in floods {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut sink = [0; 16];
                let _ = stream.read(&mut sink);
                let _ = stream.write_all(flood);
                // As much as it takes, as fast as it goes.
                while stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
            }
        });
        let side = Side::new(&url, json!({"socket_connect_timeout": 1}), "s");
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(side.find("q").await, None);
        assert!(!side.client.is_connected());
    }
}

fn openssl(dir: &TempDir, args: &[&str]) -> bool {
    let done = Command::new("openssl")
        .args(args)
        .current_dir(dir.path())
        .output();
    done.is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn tls_is_spoken_and_certificates_are_checked() {
    if !is_here("TLS to a Redis") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let subject = ["-subj", "/CN=authority", "-days", "30", "-nodes", "-newkey"];
    let authority = ["req", "-x509", "-keyout", "ca.key", "-out", "ca.pem"];
    let request = [
        "req",
        "-keyout",
        "key.pem",
        "-out",
        "req.pem",
        "-subj",
        "/CN=redis",
        "-nodes",
    ];
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    std::fs::write(dir.path().join("san"), "subjectAltName=DNS:localhost\n").unwrap();
    let sign = [
        "x509", "-req", "-in", "req.pem", "-CA", "ca.pem", "-CAkey", "ca.key",
    ];
    let more = [
        "-CAcreateserial",
        "-out",
        "cert.pem",
        "-days",
        "30",
        "-extfile",
        "san",
    ];
    let made = openssl(&dir, &[&authority[..], &subject, &key[1..]].concat())
        && openssl(&dir, &[&request[..], &key].concat())
        && openssl(&dir, &[&sign[..], &more].concat());
    if !made {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: openssl made no certificates; TLS to a Redis was not tested"
        );
        return;
    }
    let authority = dir.path().join("ca.pem").display().to_string();
    let port = free_port();
    let tls_port = port.to_string();
    let certificates = ["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"];
    let clients = ["--tls-ca-cert-file", "ca.pem", "--tls-auth-clients", "no"];
    let all = [&["--tls-port", &tls_port][..], &certificates, &clients].concat();
    let _redis = Redis::start_in(dir, port, &all);
    let url = format!("rediss://localhost:{port}");
    let side = Side::new(&url, json!({"ssl_ca_certs": authority}), "s")
        .connected()
        .await;
    side.keep("q", &[1.0]).await;
    assert_eq!(side.find("q").await, Some(stored(&[1.0])));
    let by_number = format!("rediss://127.0.0.1:{port}");
    let unnamed = json!({"ssl_ca_certs": authority, "ssl_check_hostname": false});
    let unnamed = Side::new(&by_number, unnamed, "s").connected().await;
    assert_eq!(unnamed.find("q").await, Some(stored(&[1.0])));
    let blind = Side::new(&by_number, json!({"ssl_cert_reqs": "none"}), "s")
        .connected()
        .await;
    assert_eq!(blind.find("q").await, Some(stored(&[1.0])));
    // The authority is nobody whom the system knows; the number is not on the certificate.
    let stranger = Side::new(&url, json!({}), "s");
    let misnamed = Side::new(&by_number, json!({"ssl_ca_certs": authority}), "s");
    tokio::time::sleep(Duration::from_millis(500)).await;
    for side in [stranger, misnamed] {
        assert!(!side.client.is_connected());
        assert_eq!(side.find("q").await, None);
    }
}
