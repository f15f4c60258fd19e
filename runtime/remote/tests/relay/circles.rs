//! Requests that come back to where they were.

use std::sync::Arc;

use routir_core::{ErrorCode, Imports as _, Role};
use routir_remote::relay::{Peers, RelayService};
use routir_server::ServerOptions;
use tokio::net::TcpListener;

use super::common::{Front, Server, import, peer, runtime, runtime_of, search};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_go_in_circles_are_refused() {
    // Two servers, each of which has `x` from the other, by their configuration.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (one, two) = (Peers::default(), Peers::default());
    let relay = |peers: &Peers, base: &str| {
        let service = RelayService::new(peers.get(&peer(base)).unwrap(), "x");
        let roles = Arc::new(service).roles(&[Role::Search]);
        runtime_of(vec![("x", roles)], None)
    };
    let options = |peers: &Peers| ServerOptions {
        server_id: Arc::clone(peers.id()),
        ..ServerOptions::default()
    };
    let first = Server::start(&relay(&one, &format!("http://{address}")), options(&one)).await;
    let _second = Server::on(address, &relay(&two, &first.base()), options(&two)).await;
    let outside = Peers::default();
    let error = search(&relay(&outside, &first.base()), "x")
        .await
        .unwrap_err();
    // The request's own fault, so that nobody tries again.
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    let circle = format!("{} > {} > {}", one.id(), two.id(), one.id());
    assert!(error.message().contains(&circle), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_import_each_other_take_nothing_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let one = Front::new(
        runtime(&["s1"], None),
        vec![import(&format!("http://{address}"))],
    )
    .await;
    let first = Server::start(&one.runtime, one.options()).await;
    let imports = vec![import(&first.base()), import(&format!("http://{address}"))];
    let two = Front::new(runtime(&["s2"], None), imports).await;
    let _second = Server::on(address, &two.runtime, two.options()).await;
    one.until("both know both", |one| one.services() == ["s1", "s2"])
        .await;
    two.until("it knows itself", |two| {
        two.imports.status()[1]
            .detail
            .contains("this server itself")
    })
    .await;
    assert_eq!(two.services(), ["s1", "s2"]);
    // Now `s2` leaves its server: its importer must not offer it back for ever.
    let third = Front::new(runtime(&[], None), vec![import(&first.base())]).await;
    let ways = third.imports.services();
    assert_eq!(
        ways["s2"],
        [Arc::clone(one.peers.id()), Arc::clone(two.peers.id())]
    );
    assert!(one.search("s2").await.is_ok() && two.search("s1").await.is_ok());
    assert!(third.search("s2").await.is_ok());
}
