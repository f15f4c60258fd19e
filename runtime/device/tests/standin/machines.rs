//! Machines as there are many: without a GPU, with an old driver, with GPUs of which some cannot be used.

use std::fs;

use routir_device::{DeviceChoice, Devices, Placement};

use crate::driver::{kernels, over};

#[test]
fn two_devices_are_told_as_they_are_and_kernels_are_kept() {
    let name = "machines::two_devices_are_told_as_they_are_and_kernels_are_kept";
    let two: &[_] = &[("STANDIN_DEVICES", "9.0:2048,8.0:4096")];
    over(name, &[two], || {
        let found = Devices::discover();
        assert_eq!(found.driver.as_ref().unwrap().cuda, "12.8");
        let [first, second] = &found.devices[..] else {
            unreachable!("two were asked for");
        };
        assert!(first.name.contains("stand-in"), "{}", first.name);
        assert_eq!(first.compute_capability, (9, 0));
        assert_eq!(second.compute_capability, (8, 0));
        assert_eq!(second.total_bytes, 4 << 30);
        assert!(second.free_bytes < second.total_bytes && second.free_bytes > 3 << 30);
        let most_free = DeviceChoice::Auto.place(&found).unwrap();
        assert_eq!(most_free, Placement::Cuda(1));
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let device = found.open(1, Some(dir.path())).unwrap();
            let left = second.free_bytes - (512 << 20);
            assert_eq!(device.budget().left(), left);
            let kept = fs::read_dir(dir.path()).unwrap().count();
            assert_eq!(kept, routir_device::SOURCES.len());
        }
        let none = found.open(2, None).unwrap_err();
        assert!(none.message().contains("has no `cuda:2`"), "{none}");
    });
}

/// That there is no GPU, and why.
fn without(test: &str, settings: &[(&str, &str)], why: &str) {
    over(test, &[settings], || {
        let found = Devices::discover();
        let absent = found.absent.clone().unwrap();
        assert!(found.devices.is_empty() && absent.contains(why), "{absent}");
        let error = DeviceChoice::Cuda(None).place(&found).unwrap_err();
        assert!(error.message().contains(why), "{error}");
        let auto = DeviceChoice::Auto.place(&found).unwrap();
        assert_eq!(auto, Placement::Cpu(Some(absent)));
        assert!(found.open(0, None).unwrap_err().message().contains(why));
    });
}

#[test]
fn a_driver_without_a_gpu_is_no_error() {
    let name = "machines::a_driver_without_a_gpu_is_no_error";
    without(name, &[("STANDIN_DEVICES", "")], "CUDA_VISIBLE_DEVICES");
}

#[test]
fn an_old_driver_is_told() {
    let name = "machines::an_old_driver_is_told";
    without(name, &[("STANDIN_DRIVER", "11.8")], "for CUDA 11.8");
}

#[test]
fn an_old_gpu_is_told() {
    let name = "machines::an_old_gpu_is_told";
    without(name, &[("STANDIN_DEVICES", "7.5:2048")], "capability 7.5");
}

#[test]
fn a_gpu_that_cannot_be_used_harms_no_other() {
    let name = "machines::a_gpu_that_cannot_be_used_harms_no_other";
    let settings: [&[_]; 2] = [
        &[
            ("STANDIN_DEVICES", "9.0:4096,9.0:2048"),
            ("STANDIN_FAULTS", "0:context:1"),
        ],
        // The older one has more memory.
        &[("STANDIN_DEVICES", "7.5:4096,9.0:2048")],
    ];
    over(name, &settings, || {
        let found = Devices::discover();
        assert_eq!(found.devices.len(), 1);
        assert_eq!(found.failed[0].number, 0);
        for choice in [DeviceChoice::Auto, DeviceChoice::Cuda(None)] {
            assert_eq!(choice.place(&found).unwrap(), Placement::Cuda(1));
        }
        let error = DeviceChoice::Cuda(Some(0)).place(&found).unwrap_err();
        assert!(error.message().contains(&found.failed[0].why), "{error}");
        let error = found.open(0, None).unwrap_err();
        assert!(error.message().contains(&found.failed[0].why), "{error}");
        found.open(1, Some(&kernels())).unwrap().health().unwrap();
    });
}
