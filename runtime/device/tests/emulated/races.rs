//! What a device would lose only sometimes: races, copies that are not waited for, accesses that are not
//! aligned. An emulator that looks at every access finds them, in kernels made to have them and in none
//! of ours.

use std::panic::{AssertUnwindSafe, catch_unwind};

use routir_device::{Arg, Launch};

use crate::emulator::{Manner, accelerator, device};
use crate::hard;

const CHECKED: Manner = Manner {
    order: 0,
    checked: true,
    fails_after: None,
    out_of_memory: false,
    shared: 0,
    on_processor: false,
};

/// What an emulated launch of blocks of 64 threads says of a kernel.
fn said(kernel: &str, args: &[Arg]) -> String {
    let device = accelerator(CHECKED);
    let launch = Launch {
        kernel,
        blocks: [if kernel == "wrong_blocks" { 2 } else { 1 }, 1],
        threads: 64,
        shared: 4096,
        args,
    };
    let mut stream = device.stream().unwrap();
    // SAFETY: the arguments are the kernel's, and their memory lives as long as this function's caller.
    let outcome = catch_unwind(AssertUnwindSafe(|| unsafe { stream.launch(&launch) }));
    match outcome {
        Ok(done) => {
            done.unwrap();
            String::new()
        }
        Err(said) => said.downcast_ref::<String>().unwrap().clone(),
    }
}

#[test]
fn what_is_wrong_with_a_kernel_is_found_and_nothing_else() {
    let device = accelerator(CHECKED);
    let memory: Vec<_> = (0..3).map(|_| device.memory(4096).unwrap()).collect();
    let [read, written, other] = [0, 1, 2].map(|at| Arg::U64(memory[at].address()));
    let number = Arg::U32;
    let cases: [(&str, Vec<Arg>, &str); 20] = [
        ("wrong_neighbours", vec![number(1)], ""),
        ("wrong_neighbours", vec![number(0)], "nobody wrote is read"),
        ("wrong_neighbours", vec![number(2)], "nobody wrote is read"),
        ("wrong_blocks", vec![other], "another block read is written"),
        ("wrong_unwritten", vec![written], "nobody wrote"),
        ("wrong_copies", vec![read, written, number(0)], ""),
        (
            "wrong_copies",
            vec![read, written, number(1)],
            "is being copied to",
        ),
        (
            "wrong_copies",
            vec![read, written, number(2)],
            "nobody wrote is read",
        ),
        (
            "wrong_copies",
            vec![read, written, number(3)],
            "reads is written",
        ),
        (
            "wrong_copies",
            vec![read, written, number(4)],
            "not aligned",
        ),
        ("wrong_alignment", vec![read, written, number(4)], ""),
        (
            "wrong_alignment",
            vec![read, written, number(6)],
            "not aligned",
        ),
        ("wrong_meeting", vec![number(0), written], ""),
        (
            "wrong_meeting",
            vec![number(1), written],
            "different places",
        ),
        (
            "wrong_meeting",
            vec![number(2), written],
            "different places",
        ),
        ("wrong_meeting", vec![number(3), written], "never reach"),
        (
            "wrong_halves",
            vec![written],
            "what another thread wrote is read",
        ),
        ("wrong_adding", vec![number(0)], ""),
        (
            "wrong_adding",
            vec![number(1)],
            "what another thread reads is written",
        ),
        ("peak_copy", vec![read, written, Arg::U64(256)], ""),
    ];
    for (kernel, args, wanted) in cases {
        let got = said(kernel, &args);
        let right = match wanted {
            "" => got.is_empty(),
            wanted => got.contains(wanted),
        };
        assert!(right, "{kernel} {args:?}: `{got}`, not `{wanted}`");
    }
}

#[test]
fn what_is_hard_on_a_gpu_is_right_and_has_no_races() {
    hard::all(&device(CHECKED)).unwrap();
}
