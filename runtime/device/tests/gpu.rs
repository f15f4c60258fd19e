//! On a machine with a GPU, every kernel equals the processor's there too. Elsewhere it says why not.

#[path = "../examples/gpu/hard.rs"]
mod hard;
#[path = "../examples/gpu/soak.rs"]
mod soak;
#[path = "../examples/gpu/verify.rs"]
mod verify;

use routir_core::ErrorCode;
use routir_device::{DeviceChoice, Devices, Nvrtc, Placement};

#[test]
fn every_kernel_equals_the_processors() {
    let devices = Devices::discover();
    let Some(info) = devices.devices.first() else {
        eprintln!("SKIPPED: {}", devices.absent.unwrap());
        return;
    };
    if let Err(error) = Nvrtc::load() {
        eprintln!("SKIPPED: {error}");
        return;
    }
    let device = devices.open(info.number, None).unwrap();
    hard::all(&device).unwrap();
    verify::all(&device, verify::Size::Whole).unwrap();
    soak::all(&device, 10_000, (64, 600, 40)).unwrap();
}

#[test]
fn this_machine_is_told_as_it_is() {
    let devices = Devices::discover();
    let asked = DeviceChoice::Cuda(None).place(&devices);
    let auto = DeviceChoice::Auto.place(&devices).unwrap();
    if devices.devices.is_empty() {
        let error = asked.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unavailable);
        let why = devices.absent.clone().unwrap();
        assert!(error.message().contains(&why), "{error}");
        assert_eq!(auto, Placement::Cpu(Some(why)));
        assert!(devices.open(0, None).is_err());
    } else {
        assert_eq!(asked.unwrap(), auto);
    }
}
