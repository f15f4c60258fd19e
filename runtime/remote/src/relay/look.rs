//! Asking a server what it offers.

use std::time::{Duration, Instant};

use routir_client::{CallOptions, Transport};

use super::Peer;
use super::offer::{Offer, Speaks};

/// The longest that one look at a server may take.
const LOOK: Duration = Duration::from_secs(5);

/// What a server offers now to the one whose id is `own`, or why that cannot be found out; by `until`,
/// if that is sooner.
pub(super) async fn look(peer: &Peer, own: &str, until: Option<Instant>) -> Result<Offer, String> {
    let longest = Instant::now() + LOOK.min(peer.settings().timeout);
    let options = CallOptions {
        retries: Some(0),
        deadline: Some(until.map_or(longest, |until| until.min(longest))),
        ..CallOptions::default()
    };
    let avail = peer.client().avail(options).await;
    let avail = avail.map_err(|error| error.message().to_owned())?;
    let grpc = match peer.settings().transport {
        Transport::Rest => Some(false),
        _ if peer.has_grpc() => Some(true),
        _ => None,
    };
    let rest = peer.has_rest();
    Offer::read(
        avail,
        own,
        Speaks {
            rest,
            grpc,
            bytes: true,
        },
    )
}
