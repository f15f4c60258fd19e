//! What the router answers itself holds up no thread that connections are dealt to, and ends with
//! its client.

use std::future::pending;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use axum::body::Body;
use hyper::{Request, Response, StatusCode};
use parking_lot::Mutex;
use routir_core::BoxFuture;
use routir_router::{Local, RouterOptions, RoutirSide};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::stand::{Stand, send};

const PATIENCE: Duration = Duration::from_secs(20);

/// Says when it is asked, and holds its thread until it is let go; or says when its caller left.
struct Slow {
    tell: UnboundedSender<&'static str>,
    hold: Option<Mutex<mpsc::Receiver<()>>>,
}

struct Left(UnboundedSender<&'static str>);

impl Drop for Left {
    fn drop(&mut self) {
        let _ = self.0.send("left");
    }
}

impl Local for Slow {
    fn rest(&self, _: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(async {
            self.tell.send("asked").unwrap();
            match &self.hold {
                Some(hold) => hold.lock().recv().unwrap(),
                None => {
                    let _left = Left(self.tell.clone());
                    pending::<()>().await;
                }
            }
            Response::new(Body::empty())
        })
    }

    fn grpc(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        self.rest(request)
    }
}

/// A router with one thread for connections, where that answers.
async fn stand(hold: Option<mpsc::Receiver<()>>) -> (Stand, UnboundedReceiver<&'static str>) {
    let (tell, told) = unbounded_channel();
    let hold = hold.map(Mutex::new);
    let side = RoutirSide {
        local: Arc::new(Slow { tell, hold }),
        ..Stand::side()
    };
    let options = RouterOptions {
        threads: 1,
        ..RouterOptions::default()
    };
    (Stand::answering(side, options).await, told)
}

fn get(stand: &Stand, path: &str) -> Request<Body> {
    let request = Request::get(format!("{}{path}", stand.base));
    request.body(Body::empty()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_pipeline_that_computes_for_long_holds_up_nobody_else() {
    let (let_go, hold) = mpsc::channel();
    let (stand, mut told) = stand(Some(hold)).await;
    let slow = tokio::spawn(send(get(&stand, "/avail")));
    assert_eq!(timeout(PATIENCE, told.recv()).await.unwrap(), Some("asked"));
    let other = timeout(PATIENCE, send(get(&stand, "/healthz"))).await;
    let_go.send(()).unwrap();
    assert_eq!(other.unwrap().status(), StatusCode::OK);
    assert_eq!(slow.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn who_leaves_takes_along_what_the_router_does_for_him() {
    let (stand, mut told) = stand(None).await;
    let address = stand.base.strip_prefix("http://").unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = b"GET /avail HTTP/1.1\r\nhost: r\r\n\r\n";
    client.write_all(head).await.unwrap();
    assert_eq!(timeout(PATIENCE, told.recv()).await.unwrap(), Some("asked"));
    drop(client);
    assert_eq!(timeout(PATIENCE, told.recv()).await.unwrap(), Some("left"));
}
