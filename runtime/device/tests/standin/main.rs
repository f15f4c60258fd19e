//! The host's side of the GPU code, over a stand-in for CUDA's driver: cudarc, modules, arguments,
//! staging, streams, discovery, memory, lost devices. What it cannot show is told in docs/devices.md.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test says what is wrong by failing"
)]

mod counts;
mod driver;
mod faults;
#[path = "../../examples/gpu/hard.rs"]
mod hard;
mod machines;
#[path = "../../examples/gpu/soak.rs"]
mod soak;
mod strict;
#[path = "../../examples/gpu/verify.rs"]
mod verify;

use std::sync::Arc;

use routir_device::{Device, Devices, Nvrtc};

/// Of the vectors that are searched again and again.
const SIZES: soak::Sizes = (8, 60, 12);

/// The first device, with its kernels.
fn first() -> Arc<Device> {
    if let Ok(nvrtc) = Nvrtc::load()
        && nvrtc.version() == "0.0"
    {
        eprintln!(
            "SKIPPED: what the compiler makes: there is no NVRTC, and it has a stand-in, too"
        );
    }
    Devices::discover()
        .open(0, Some(&driver::kernels()))
        .unwrap()
}

#[test]
fn what_is_hard_is_right() {
    let settings: [&[_]; 2] = [
        &[],
        // As little shared memory as a device has.
        &[("STANDIN_DEVICES", "8.9:1024"), ("STANDIN_ORDER", "2")],
    ];
    driver::over("what_is_hard_is_right", &settings, || {
        hard::all(&first()).unwrap();
    });
}

#[test]
fn every_kernel_equals_the_processors() {
    driver::over("every_kernel_equals_the_processors", &[&[]], || {
        verify::all(&first(), verify::Size::Small).unwrap();
    });
}

#[test]
fn batches_leave_nothing_behind() {
    driver::over("batches_leave_nothing_behind", &[&[]], || {
        let device = first();
        soak::all(&device, 10, SIZES).unwrap();
        let before = counts::Counts::now();
        soak::all(&device, 1000, SIZES).unwrap();
        let after = counts::Counts::now();
        assert!(after.launches > before.launches + 3000, "{after:?}");
        let launches = after.launches;
        assert_eq!(counts::Counts { launches, ..before }, after);
    });
}

#[test]
fn what_is_larger_than_staging_arrives_whole() {
    driver::over("what_is_larger_than_staging_arrives_whole", &[&[]], || {
        let device = first();
        // Staging memory is 8 MiB: it is taken again while more comes, also of small pieces.
        let mut sent = vec![0; 19 << 20];
        fastrand::Rng::with_seed(8).fill(&mut sent);
        let memory = device.memory("bytes", sent.len()).unwrap();
        let mut session = device.session().unwrap();
        for (number, piece) in sent.chunks(5 << 20).enumerate() {
            session.upload(&memory, number * (5 << 20), piece).unwrap();
        }
        let mut back = vec![0; sent.len()];
        session.download(&memory, 0, &mut back).unwrap();
        assert!(back == sent);
        session.upload(&memory, 0, &back).unwrap();
        session.download(&memory, 1, &mut back).unwrap_err();
        session.wait().unwrap();
    });
}
