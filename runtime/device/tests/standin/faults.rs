//! Devices that fail, memory that does not suffice, and what is given back.

use routir_core::{ErrorCode, Result};
use routir_device::{Devices, Element, ExactOnCpu, ExactOnDevice, ExactSearch, Metric, Rows};

use crate::counts::Counts;
use crate::driver::{kernels, over};

const KIND: (Element, Metric) = (Element::F16, Metric::InnerProduct);

fn rows() -> Rows {
    Rows::new(Element::F16, 4, &[1.0; 400]).unwrap()
}

#[test]
fn a_kernel_that_fails_loses_its_device_and_no_other() {
    let name = "faults::a_kernel_that_fails_loses_its_device_and_no_other";
    let fails = |nth: &'static str| {
        [
            ("STANDIN_DEVICES", "9.0:1024,9.0:1024"),
            ("STANDIN_FAULTS", nth),
        ]
    };
    let settings = ["0:launch:1", "0:launch:2", "0:launch:7"].map(fails);
    over(name, &settings.each_ref().map(|it| &it[..]), || {
        let found = Devices::discover();
        let devices = [0, 1].map(|number| found.open(number, Some(&kernels())).unwrap());
        let of =
            |device| ExactOnDevice::new(device, "vectors", KIND, (4, 100), [Ok(rows())]).unwrap();
        let [first, other] = [of(&devices[0]), of(&devices[1])];
        let search = |_| first.search(&[1.0; 4], 10, None);
        let error = (0..20).map(search).find_map(Result::err).unwrap();
        assert_eq!(error.code(), ErrorCode::Unavailable);
        for told in ["stand-in 0", "CUDA_ERROR_ILLEGAL_ADDRESS"] {
            assert!(error.message().contains(told), "{error}");
        }
        assert_eq!(devices[0].health().unwrap_err().message(), error.message());
        drop(first);
        assert_eq!(devices[0].budget().left(), devices[0].budget().total());
        let cpu = ExactOnCpu::new(rows(), Metric::InnerProduct).unwrap();
        let found = other.search(&[1.0; 4], 10, None).unwrap();
        assert_eq!(found, cpu.search(&[1.0; 4], 10, None).unwrap());
        // Who looks again sees the others, and why that one is none of them.
        let again = Devices::discover();
        assert_eq!(again.devices.len(), 1);
        assert!(again.failed[0].why.contains("illegal memory access"));
    });
}

#[test]
fn memory_that_the_driver_refuses_is_told_and_what_was_taken_comes_back() {
    let name = "faults::memory_that_the_driver_refuses_is_told_and_what_was_taken_comes_back";
    // Within the budget: somebody else took it meanwhile.
    let refused: &[_] = &[("STANDIN_FAULTS", "0:memory:2")];
    over(name, &[refused], || {
        let device = crate::first();
        let error = ExactOnDevice::new(&device, "vectors", KIND, (4, 100), [Ok(rows())]);
        let error = error.err().unwrap();
        assert!(error.message().contains("it is out of memory"), "{error}");
        assert_eq!(device.budget().left(), device.budget().total());
        // A lack of memory is nothing that CUDA keeps in mind: what was taken could be freed.
        let counts = Counts::now();
        assert_eq!((counts.blocks, counts.pinned), (0, 0));
    });
}

#[test]
fn all_of_the_budget_can_be_taken_and_no_more() {
    let name = "faults::all_of_the_budget_can_be_taken_and_no_more";
    // What is left of it beside the context and others is 24 MiB.
    let small: &[_] = &[("STANDIN_DEVICES", "9.0:600")];
    over(name, &[small], || {
        let device = crate::first();
        assert_eq!(device.budget().total(), 24 << 20);
        let held: Vec<_> = (0..24)
            .map(|_| device.memory("a part", 1 << 20).unwrap())
            .collect();
        let error = device.memory("one more", 1).err().unwrap();
        assert!(error.message().contains("0.0 KiB of 24.0 MiB"), "{error}");
        drop(held);
        device.memory("all", 24 << 20).unwrap();
        device.health().unwrap();
        assert_eq!(Counts::now().blocks, 0);
    });
}

#[test]
fn what_is_given_up_half_way_harms_nobody() {
    let name = "faults::what_is_given_up_half_way_harms_nobody";
    over(name, &[&[]], || {
        let device = crate::first();
        // The second block is wrong, when copies of the first wait to be done.
        let wrong = Rows::new(Element::F16, 8, &[1.0; 800]).unwrap();
        let blocks = [Ok(rows()), Ok(wrong)];
        assert!(ExactOnDevice::new(&device, "vectors", KIND, (4, 200), blocks).is_err());
        device.health().unwrap();
        let counts = Counts::now();
        assert_eq!((counts.blocks, counts.pinned, counts.streams), (0, 0, 0));
        drop(device);
        assert_eq!(Counts::now().modules, 0);
    });
}
