//! The kernels' logic, on the emulator: everything that a device computes equals what the processor
//! does. What the emulator cannot show is told in docs/devices.md.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by failing"
)]

mod emulator;
mod exact;
mod faults;
#[path = "../../examples/gpu/hard.rs"]
mod hard;
mod maxsim;
mod pq;
mod queue;
mod races;
#[path = "../../examples/gpu/soak.rs"]
mod soak;
mod texts;

use routir_device::Found;

use emulator::{Manner, device};

#[test]
fn searches_leave_nothing_behind() {
    soak::all(&device(Manner::default()), 30, (64, 600, 40)).unwrap();
}

/// That two answers are the same: equal when `tolerance` is 0, else with scores that are as close,
/// and in an order that differs only among such.
fn assert_alike(got: &[Vec<Found>], wanted: &[Vec<Found>], tolerance: f32, what: &str) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (got, wanted) in got.iter().zip(wanted) {
        if tolerance == 0.0 {
            assert_eq!(got, wanted, "{what}");
            continue;
        }
        assert_eq!(got.len(), wanted.len(), "{what}");
        for (a, b) in got.iter().zip(wanted) {
            assert!(
                (a.score - b.score).abs() <= tolerance,
                "{what}: {a:?} {b:?}"
            );
        }
        let sorted = got.windows(2).all(|it| {
            it[0].score > it[1].score
                || (it[0].score == it[1].score && it[0].position < it[1].position)
        });
        assert!(sorted, "{what}: not in order");
    }
}

/// Numbers from -1 to 1.
fn random(random: &mut fastrand::Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| random.f32() * 2.0 - 1.0).collect()
}

/// Small whole numbers, of which every sum is exact and many are equal.
fn whole(random: &mut fastrand::Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| f32::from(random.i8(-2..=2))).collect()
}
