//! That the stand-in is as strict as a driver: what CUDA refuses is refused here, and what is asked for is
//! not done before somebody waits.

use cudarc::driver::{CudaContext, DriverError, result, sys};
use cudarc::nvrtc::Ptx;
use routir_device::{
    Devices, Element, ExactOnCpu, ExactOnDevice, ExactSearch, KernelCache, Metric, Nvrtc, Rows,
};
use sys::CUresult as Code;

use crate::driver::{command, kernels, over};

fn code<T>(outcome: Result<T, DriverError>) -> Code {
    outcome.err().map_or(Code::CUDA_SUCCESS, |error| error.0)
}

/// Runs it again, where calls are wrong on purpose.
fn wrong(test: &str, body: impl Fn()) {
    if std::env::var_os("STANDIN_RUNS").is_some_and(|it| it == test) {
        return body();
    }
    let output = command(std::env::current_exe().unwrap(), &[("STANDIN_RUNS", test)])
        .args([test, "--exact"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("stand-in refuses"), "{said}");
}

#[test]
fn what_cuda_refuses_is_refused() {
    wrong("strict::what_cuda_refuses_is_refused", || {
        let context = CudaContext::new(0).unwrap();
        let stream = context.new_stream().unwrap();
        // SAFETY: every call is checked, which is what is tested.
        unsafe {
            let memory = result::malloc_sync(100).unwrap();
            let copy = |at: u64, bytes: usize| {
                let bytes = vec![0_u8; bytes];
                code(result::memcpy_htod_async(at, &bytes, stream.cu_stream()))
            };
            assert_eq!(copy(memory, 100), Code::CUDA_SUCCESS);
            assert_eq!(copy(memory, 101), Code::CUDA_ERROR_INVALID_VALUE);
            assert_eq!(copy(memory + 100, 1), Code::CUDA_ERROR_INVALID_VALUE);
            assert_eq!(copy(8, 1), Code::CUDA_ERROR_INVALID_VALUE);
            let elsewhere = std::thread::spawn(|| code(result::malloc_sync(1)));
            let elsewhere = elsewhere.join().unwrap();
            assert_eq!(elsewhere, Code::CUDA_ERROR_INVALID_CONTEXT);
            result::free_sync(memory).unwrap();
            assert_eq!(copy(memory, 1), Code::CUDA_ERROR_INVALID_VALUE);
            let twice = code(result::free_sync(memory));
            assert_eq!(twice, Code::CUDA_ERROR_INVALID_VALUE);
            let much = code(result::malloc_sync(3 << 30));
            assert_eq!(much, Code::CUDA_ERROR_OUT_OF_MEMORY);
        }
    });
}

#[test]
fn a_kernel_that_touches_what_is_no_memory_fails_all_that_follows() {
    wrong(
        "strict::a_kernel_that_touches_what_is_no_memory_fails_all_that_follows",
        || {
            let nvrtc = Nvrtc::load().unwrap();
            let compiled = KernelCache::new(Some(&kernels())).compiled(&nvrtc, "sm_90", "12.8");
            let compiled = compiled.unwrap();
            let (_, image) = compiled.images().find(|it| it.0 == "peaks.cu").unwrap();
            let context = CudaContext::new(0).unwrap();
            let module = context.load_module(Ptx::from_binary(image.to_vec()));
            let copy = module.unwrap().load_function("peak_copy").unwrap();
            let stream = context.new_stream().unwrap();
            // SAFETY: every call is checked, which is what is tested.
            unsafe {
                let mut memory = result::malloc_sync(256).unwrap();
                let mut launch = |mut count: u64, shared| {
                    let at = (&raw mut memory).cast();
                    let mut args = [at, at, (&raw mut count).cast()];
                    let (blocks, threads) = ((1, 1, 1), (32, 1, 1));
                    let stream = stream.cu_stream();
                    let function = copy.cu_function();
                    code(result::launch_kernel(
                        function, blocks, threads, shared, stream, &mut args,
                    ))
                };
                assert_eq!(launch(16, 49 << 10), Code::CUDA_ERROR_INVALID_VALUE);
                assert_eq!(launch(16, 0), Code::CUDA_SUCCESS);
                stream.synchronize().unwrap();
                assert_eq!(launch(17, 0), Code::CUDA_SUCCESS);
                let failed = Code::CUDA_ERROR_ILLEGAL_ADDRESS;
                assert_eq!(code(stream.synchronize()), failed);
                assert_eq!(code(result::malloc_sync(1)), failed);
                assert_eq!(code(result::free_sync(memory)), failed);
            }
        },
    );
}

#[test]
fn nothing_is_done_before_somebody_waits() {
    let name = "strict::nothing_is_done_before_somebody_waits";
    over(name, &[&[]], || {
        let context = CudaContext::new(0).unwrap();
        let stream = context.new_stream().unwrap();
        // SAFETY: all memory lives until the stream was waited for.
        unsafe {
            let memory = result::malloc_sync(4).unwrap();
            let mut pinned = context.alloc_pinned_with_flags::<u8>(8, 0).unwrap();
            let pinned = pinned.as_mut_slice().unwrap();
            pinned.copy_from_slice(&[1, 2, 3, 4, 0, 0, 0, 0]);
            let (from, to) = pinned.split_at_mut(4);
            result::memcpy_htod_async(memory, from, stream.cu_stream()).unwrap();
            result::memcpy_dtoh_async(to, memory, stream.cu_stream()).unwrap();
            // Too early: this is what goes to the device.
            from[0] = 9;
            assert_eq!(to, [0; 4]);
            stream.synchronize().unwrap();
            assert_eq!(to, [9, 2, 3, 4]);
            result::free_sync(memory).unwrap();
        }
    });
}

#[test]
fn threads_on_two_devices_meet_in_any_order() {
    let name = "strict::threads_on_two_devices_meet_in_any_order";
    let drawn: &[_] = &[
        ("STANDIN_DEVICES", "9.0:1024,8.0:1024"),
        ("STANDIN_ORDER", "77"),
    ];
    over(name, &[drawn], || {
        let found = Devices::discover();
        let kind = (Element::F32, Metric::L2);
        let values: Vec<f32> = (0..300).map(|at| ((at * 7) % 31) as f32).collect();
        let rows = Rows::new(Element::F32, 3, &values).unwrap();
        let searches: Vec<_> = (0..4)
            .map(|at| {
                let device = found.open(at % 2, Some(&kernels())).unwrap();
                ExactOnDevice::new(&device, "vectors", kind, (3, 100), [Ok(rows.clone())]).unwrap()
            })
            .collect();
        let cpu = ExactOnCpu::new(rows, Metric::L2).unwrap();
        std::thread::scope(|threads| {
            for search in &searches {
                for at in 0..2 {
                    let cpu = &cpu;
                    threads.spawn(move || {
                        for turn in 0..6 {
                            let asked = vec![(at + turn) as f32; 3 * (1 + turn)];
                            let got = search.search(&asked, 5, None).unwrap();
                            assert_eq!(got, cpu.search(&asked, 5, None).unwrap());
                        }
                    });
                }
            }
        });
    });
}
