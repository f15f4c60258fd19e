//! How many threads look-ups hold.

use parking_lot::{Condvar, Mutex};

use super::*;
use crate::bytes_view::{BytesSource, Room};
use crate::readers::READERS;
use crate::view::Source;

/// Holds whoever reads until it is opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

struct Gated(Arc<Gate>);

impl BytesSource for Gated {
    fn read(&self, id: &str, _: Room<'_>) -> Result<routir_core::BytesParts> {
        let mut open = self.0.open.lock();
        while !*open {
            self.0.opened.wait(&mut open);
        }
        Err(unknown(id))
    }
}

/// Whoever waits for an archive that is being indexed leaves threads for others, also when they
/// left themselves.
#[test]
fn readers_that_wait_leave_threads_for_others() {
    let tokio = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(READERS + 4)
        .enable_all()
        .build()
        .unwrap();
    let gate = Arc::new(Gate::default());
    let collection = Collection {
        inner: Arc::new(Inner {
            name: "c".to_owned(),
            views: vec![View {
                name: "v".into(),
                source: Source::Bytes {
                    bytes: Box::new(Gated(Arc::clone(&gate))),
                    languages: None,
                },
            }],
            default: 0,
            cache: None,
            max_document_bytes: 1,
            readers: Readers::default(),
        }),
    };
    let other = tokio.block_on(async {
        let fetch = |n: usize| {
            let collection = collection.clone();
            tokio::spawn(async move {
                let ids = [DocId::from(format!("d{n}"))];
                collection.fetch(None, &ids).await.unwrap().pop().unwrap()
            })
        };
        let left: Vec<_> = (0..2 * READERS).map(fetch).collect();
        tokio::task::yield_now().await;
        left.iter().for_each(tokio::task::JoinHandle::abort);
        let waiting: Vec<_> = (0..2 * READERS).map(fetch).collect();
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        let other = tokio::task::spawn_blocking(|| 7);
        let other = tokio::time::timeout(Duration::from_secs(5), other).await;
        *gate.open.lock() = true;
        gate.opened.notify_all();
        for fetched in waiting {
            let error = fetched.await.unwrap().unwrap_err();
            assert_eq!(error.code(), ErrorCode::UnknownDocument);
        }
        other
    });
    assert_eq!(other.unwrap().unwrap(), 7);
}
