use routir_core::ErrorCode;
use routir_device::{Element, ExactOnCpu, ExactOnDevice, ExactSearch, Metric, Rows};

use crate::emulator::{Manner, device};

fn rows() -> Rows {
    Rows::new(Element::F16, 4, &[1.0; 400]).unwrap()
}

#[test]
fn a_device_that_fails_anywhere_fails_clearly_and_for_good_and_alone() {
    let kind = (Element::F16, Metric::InnerProduct);
    let cpu = ExactOnCpu::new(rows(), Metric::InnerProduct).unwrap();
    let mut searched = 0;
    for out_of_memory in [false, true] {
        for calls in 0..40 {
            let manner = Manner {
                fails_after: Some(calls),
                out_of_memory,
                ..Manner::default()
            };
            let device = device(manner);
            let other = crate::emulator::device(Manner::default());
            let search = ExactOnDevice::new(&device, "vectors", kind, (4, 100), [Ok(rows())]);
            let outcome = search.as_ref().map_err(Clone::clone);
            let outcome = outcome.and_then(|it| it.search(&[1.0; 4], 10, None));
            let Err(error) = outcome else {
                assert!(calls > 8, "there are more calls than {calls}");
                device.health().unwrap();
                searched += 1;
                continue;
            };
            assert_eq!(error.code(), ErrorCode::Unavailable, "{error}");
            assert!(error.message().contains("`emulated` failed"), "{error}");
            assert!(error.message().contains("made up"), "{error}");
            assert_eq!(
                error.message().contains("out of memory"),
                out_of_memory,
                "{error}"
            );
            // Not ready, and whoever asks again hears the same.
            assert_eq!(device.health().unwrap_err().message(), error.message());
            if let Ok(search) = &search {
                let again = search.search(&[1.0; 4], 10, None).unwrap_err();
                assert_eq!(again.message(), error.message());
            }
            drop(search);
            assert_eq!(device.budget().left(), device.budget().total());
            // Others go on.
            let search = ExactOnDevice::new(&other, "vectors", kind, (4, 100), [Ok(rows())]);
            let found = search.unwrap().search(&[1.0; 4], 10, None).unwrap();
            assert_eq!(found, cpu.search(&[1.0; 4], 10, None).unwrap());
        }
    }
    assert!(searched > 0, "no number of calls was enough");
}

#[test]
fn what_does_not_fit_is_refused_before_the_device_is_asked() {
    let device = device(Manner::default());
    let size = (1024, 1 << 20);
    let kind = (Element::F32, Metric::L2);
    let error = ExactOnDevice::new(&device, "index `big`", kind, size, [])
        .err()
        .unwrap();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(
        error
            .message()
            .contains("index `big` needs 4.0 GiB on `emulated`"),
        "{error}"
    );
    device.health().unwrap();
}

#[test]
fn blocks_that_are_not_what_was_announced_are_refused() {
    let device = device(Manner::default());
    let kind = (Element::F16, Metric::InnerProduct);
    for (dim, len) in [(4, 99), (4, 101), (8, 100)] {
        assert!(ExactOnDevice::new(&device, "vectors", kind, (dim, len), [Ok(rows())]).is_err());
    }
    device.health().unwrap();
    assert_eq!(device.budget().left(), device.budget().total());
}
