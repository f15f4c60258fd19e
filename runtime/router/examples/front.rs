//! The router's front before one worker, for measuring what it adds.
//!
//! `front PORT WORKER_PORT [THREADS [BUSY_POLL_US]]`; without `THREADS`, one per core, and none of their
//! own with 0.

#![expect(
    clippy::unwrap_used,
    reason = "a failure ends the program, as it should"
)]

use std::future::pending;
use std::thread::available_parallelism;
use std::time::Duration;

use routir_router::{Router, RouterOptions};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

fn main() {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().unwrap().parse().unwrap();
    let worker = format!("http://127.0.0.1:{}", args.next().unwrap());
    let threads = match args.next() {
        Some(threads) => threads.parse().unwrap(),
        None => available_parallelism().unwrap().get(),
    };
    let busy_poll = args.next().map_or(0, |micros| micros.parse().unwrap());
    let reactor = Builder::new_multi_thread().enable_all().build();
    reactor.unwrap().block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let options = RouterOptions {
            workers: vec![worker],
            threads,
            busy_poll: Duration::from_micros(busy_poll),
            ..RouterOptions::default()
        };
        let router = Router::new(options).unwrap();
        routir_router::serve(listener, router, pending())
            .await
            .unwrap();
    });
}
