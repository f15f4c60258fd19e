//! The kernels, compiled by the machine's C++ compiler, as a device. See `emulator/`.

use std::ffi::{CString, c_char, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use libloading::Library;
use parking_lot::{Condvar, Mutex};
use routir_device::{Accelerator, Arg, Device, Fault, Launch, Memory, Stream};

type Emulate = unsafe extern "C" fn(
    *const c_char,
    u32,
    u32,
    u32,
    u32,
    *mut *mut c_void,
    u32,
    *mut c_char,
    u32,
) -> i32;

/// Bytes behind memory that nothing may write.
const GUARD: usize = 64;
const GUARD_WORD: u128 = 0xa5a5_a5a5_a5a5_a5a5_a5a5_a5a5_a5a5_a5a5;

/// The emulator; `checked` is one that looks at every access to memory, and takes several times as long.
fn emulate(checked: bool) -> &'static Mutex<Emulate> {
    static LOADED: [OnceLock<Mutex<Emulate>>; 2] = [OnceLock::new(), OnceLock::new()];
    LOADED[usize::from(checked)].get_or_init(|| {
        let library = build(checked);
        // SAFETY: our own library, whose function has this type.
        let function = unsafe {
            let loaded = Library::new(&library).unwrap();
            std::fs::remove_file(&library).unwrap();
            let library: &'static Library = Box::leak(Box::new(loaded));
            *library.get::<Emulate>(b"emulate\0").unwrap()
        };
        Mutex::new(function)
    })
}

fn build(checked: bool) -> PathBuf {
    // Engines' tests use this file, too.
    let room = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../device"));
    let sources = std::fs::read_dir(room.join("emulator"))
        .unwrap()
        .map(|it| it.unwrap().path())
        .filter(|it| it.extension().is_some_and(|it| it == "cpp"));
    let (emulator, kernels): (Vec<_>, Vec<_>) =
        sources.partition(|it| it.ends_with("emulator.cpp") || it.ends_with("checks.cpp"));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let compile = |arguments: &[&str], sources: &[PathBuf]| {
        let compiled = Command::new("c++")
            .args(["-std=c++20", "-O1", "-g1", "-fPIC"])
            .arg("-I")
            .arg(room.join("emulator"))
            .args(arguments)
            .args(sources)
            .current_dir(folder.path())
            .output()
            .expect("c++ is needed; run setup.sh");
        let said = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "{said}");
    };
    let looked_at: &[&str] = match checked {
        true => &[
            "-c",
            "-fsanitize=thread,alignment,bounds,shift",
            "-Wno-tsan",
        ],
        false => &["-c"],
    };
    compile(looked_at, &kernels);
    let mut parts: Vec<PathBuf> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    parts.extend(emulator);
    let file = format!("emulator-{}-{checked}.so", std::process::id());
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    compile(&["-shared", "-o", library.to_str().unwrap()], &parts);
    library
}

/// What an emulated device does besides computing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// In which order a block's threads go on: 0, 1 or 2.
    pub(crate) order: u32,
    /// Whether races and accesses that a device refuses are looked for. With ROUTIR_CHECK_KERNELS in
    /// the environment they are, in all tests.
    pub(crate) checked: bool,
    /// After how many calls the device fails, if it does.
    pub(crate) fails_after: Option<usize>,
    /// Whether it then says that it is out of memory.
    pub(crate) out_of_memory: bool,
    /// Shared memory of a block; 0 is as much as an H100 has.
    pub(crate) shared: usize,
    /// Whether it says that its memory is the processor's, so that models compute on it there.
    pub(crate) on_processor: bool,
}

/// A device of three multiprocessors, of which 1 GiB may be used.
pub(crate) fn device(manner: Manner) -> Arc<Device> {
    gated(manner).0
}

/// The same, and where its kernels can be held up.
pub(crate) fn gated(manner: Manner) -> (Arc<Device>, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let emulated = emulated(manner, Arc::clone(&gate));
    let device = Device::new("`emulated`", emulated, 1 << 30);
    (Arc::new(device), gate)
}

/// The same without a budget.
#[allow(dead_code, reason = "each test file uses a part")]
pub(crate) fn accelerator(manner: Manner) -> Arc<dyn Accelerator> {
    emulated(manner, Arc::default())
}

fn emulated(manner: Manner, gate: Arc<Gate>) -> Arc<dyn Accelerator> {
    Arc::new(Emulated(Arc::new(State {
        manner,
        calls: AtomicUsize::new(0),
        gate,
    })))
}

/// Where kernels stand while it is closed.
#[derive(Default)]
pub(crate) struct Gate {
    /// Whether it is closed, and how many stand there.
    state: Mutex<(bool, usize)>,
    opened: Condvar,
}

#[allow(dead_code, reason = "each test file uses a part")]
impl Gate {
    /// Closes it until what is answered is dropped.
    pub(crate) fn close(self: &Arc<Self>) -> Closed {
        self.state.lock().0 = true;
        Closed(Arc::clone(self))
    }

    /// How many kernels stand there.
    pub(crate) fn standing(&self) -> usize {
        self.state.lock().1
    }

    fn pass(&self) {
        let mut state = self.state.lock();
        state.1 += 1;
        while state.0 {
            self.opened.wait(&mut state);
        }
        state.1 -= 1;
    }
}

/// A gate that is closed.
pub(crate) struct Closed(Arc<Gate>);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.state.lock().0 = false;
        self.0.opened.notify_all();
    }
}

struct State {
    manner: Manner,
    calls: AtomicUsize,
    gate: Arc<Gate>,
}

impl State {
    fn call(&self) -> Result<(), Fault> {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        match self.manner.fails_after {
            Some(after) if calls >= after && self.manner.out_of_memory => {
                Err(Fault::OutOfMemory("made up".to_owned()))
            }
            Some(after) if calls >= after => Err(Fault::Failed("made up".to_owned())),
            _ => Ok(()),
        }
    }
}

struct Emulated(Arc<State>);

impl Accelerator for Emulated {
    fn shared_memory(&self) -> usize {
        match self.0.manner.shared {
            0 => 227 << 10,
            bytes => bytes,
        }
    }

    fn processors(&self) -> usize {
        3
    }

    fn on_processor(&self) -> bool {
        self.0.manner.on_processor
    }

    fn memory(&self, bytes: usize) -> Result<Box<dyn Memory>, Fault> {
        self.0.call()?;
        // What nobody wrote is no number.
        let mut words = vec![u128::MAX; bytes.div_ceil(16)];
        words.extend([GUARD_WORD; GUARD / 16]);
        Ok(Box::new(Words(words)))
    }

    fn stream(&self) -> Result<Box<dyn Stream>, Fault> {
        self.0.call()?;
        Ok(Box::new(Work(Arc::clone(&self.0))))
    }
}

struct Words(Vec<u128>);

impl Memory for Words {
    fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        let guard = self.0.len() - GUARD / 16;
        let kept = self.0[guard..].iter().all(|it| *it == GUARD_WORD);
        assert!(
            kept || std::thread::panicking(),
            "a kernel wrote behind its memory"
        );
    }
}

struct Work(Arc<State>);

impl Stream for Work {
    unsafe fn upload(&mut self, to: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.0.call()?;
        // SAFETY: the caller says that so much memory is there.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) };
        Ok(())
    }

    unsafe fn download(&mut self, from: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        self.0.call()?;
        // SAFETY: as above.
        unsafe {
            std::ptr::copy_nonoverlapping(from as *const u8, bytes.as_mut_ptr(), bytes.len())
        };
        Ok(())
    }

    unsafe fn launch(&mut self, launch: &Launch<'_>) -> Result<(), Fault> {
        self.0.call()?;
        self.0.gate.pass();
        assert!(launch.shared <= 227 << 10, "{launch:?}");
        let mut args: Vec<*mut c_void> = launch
            .args
            .iter()
            .map(|arg| match arg {
                Arg::U32(value) => std::ptr::from_ref(value).cast_mut().cast(),
                Arg::U64(value) => std::ptr::from_ref(value).cast_mut().cast(),
            })
            .collect();
        let name = CString::new(launch.kernel).unwrap();
        let mut message = [0_u8; 256];
        let all = std::env::var_os("ROUTIR_CHECK_KERNELS").is_some();
        let emulate = emulate(all || self.0.manner.checked).lock();
        // SAFETY: the caller says that the arguments are the kernel's; one call at a time.
        let code = unsafe {
            emulate(
                name.as_ptr(),
                launch.blocks[0],
                launch.blocks[1],
                launch.threads,
                u32::try_from(launch.shared).unwrap(),
                args.as_mut_ptr(),
                self.0.manner.order,
                message.as_mut_ptr().cast(),
                256,
            )
        };
        let text = String::from_utf8_lossy(&message);
        assert_eq!(code, 0, "{}", text.trim_end_matches('\0'));
        Ok(())
    }

    fn wait(&mut self) -> Result<(), Fault> {
        self.0.call()
    }
}
