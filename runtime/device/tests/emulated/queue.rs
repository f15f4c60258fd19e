//! Whatever is computed on a device is in its queue, once, from when it waits until it is done.

use std::sync::Arc;

use routir_device::{
    Coarse, Device, Element, ExactOnDevice, ExactSearch, MaxSim, MaxSimOfTexts, MaxSimOnDevice,
    Metric, PqList, PqOnDevice, PqParts, PqSearch, PqVectors, Rows, TokenRows,
};

use crate::emulator::{Gate, Manner, gated};

/// Two lists of a vector each.
fn codes() -> PqVectors {
    let parts = PqParts {
        dim: 2,
        parts: 1,
        bits: 4,
        codebooks: vec![1.0; 32],
    };
    let coarse = Coarse {
        centroids: vec![0.0, 0.0, 1.0, 1.0],
        by_residual: true,
    };
    let lists = (0..2).map(|id| PqList {
        ids: vec![id],
        codes: vec![3],
    });
    PqVectors::new(parts, Metric::L2, Some(coarse), lists.collect()).unwrap()
}

/// Looks at the queue at each kernel of `work`, which two threads do at once.
fn watched(device: &Arc<Device>, gate: &Arc<Gate>, what: &str, work: impl Fn() + Sync) {
    assert_eq!(device.queued(), 0, "{what}");
    std::thread::scope(|scope| {
        let closed = gate.close();
        let threads = [(); 2].map(|()| scope.spawn(&work));
        // One of them stands there, and the other waits for it.
        while gate.standing() == 0 || device.queued() < 2 {
            std::thread::yield_now();
        }
        assert_eq!((gate.standing(), device.queued()), (1, 2), "{what}");
        drop(closed);
        for thread in threads {
            thread.join().unwrap();
        }
    });
    assert_eq!(device.queued(), 0, "{what}");
}

#[test]
fn searches_and_comparisons_are_counted_once_from_when_they_wait() {
    let (device, gate) = gated(Manner::default());
    let rows = Rows::new(Element::F16, 2, &[1.0; 20]).unwrap();
    let kind = (Element::F16, Metric::L2);
    let exact = ExactOnDevice::new(&device, "vectors", kind, (2, 10), [Ok(rows)]).unwrap();
    watched(&device, &gate, "exact search", || {
        exact.search(&[1.0; 2], 3, None).unwrap();
    });
    let pq = PqOnDevice::new(&device, "codes", codes()).unwrap();
    watched(&device, &gate, "codes, and the lists before them", || {
        pq.search(&[1.0; 2], 1, 1, None).unwrap();
    });
    let texts = TokenRows::new(2, [[1.0, 2.0, 3.0, 4.0].as_slice()]).unwrap();
    let here = MaxSimOnDevice::new(&device, "documents", &texts).unwrap();
    watched(&device, &gate, "documents that lie there", || {
        here.score(&texts, &[[0, 0]]).unwrap();
    });
    let brought = MaxSimOfTexts::new(&device, 2).unwrap();
    watched(&device, &gate, "documents that are brought", || {
        brought.score(&texts, &texts, &[[0, 0]]).unwrap();
    });
}
