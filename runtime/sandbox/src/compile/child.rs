//! The compiling child process.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetError, Scope};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use rustix::thread::set_no_new_privs;

use super::order::{Order, VARIABLE};
use super::{here, one_line};

/// The component cannot be compiled.
pub(super) const REFUSED: u8 = 1;
/// This is no place to compile: a mistake of ours, or a system that lacks something.
pub(super) const BROKEN: u8 = 2;

/// What the compiling child process runs: a component on standard input, machine code on standard
/// output, an error as one line on standard error with a failing exit code. Its limits come in an
/// environment variable and are set before it reads.
///
/// To be called first thing in `main`: it closes every open file but the standard three, which
/// then are the only ones it can have.
#[must_use]
pub fn compile_child() -> ExitCode {
    let (code, why) = match run() {
        Ok(()) => return ExitCode::SUCCESS,
        Err(failure) => failure,
    };
    // Nobody is left to tell when the parent is gone.
    let _ = writeln!(io::stderr(), "{}", one_line(&why));
    ExitCode::from(code)
}

fn run() -> Result<(), (u8, String)> {
    let broken = |why: String| (BROKEN, why);
    let order: Order = env::var(VARIABLE)
        .map_err(|_| {
            broken(format!(
                "`{VARIABLE}` is not set: this is for the server to run"
            ))
        })?
        .parse()
        .map_err(broken)?;
    close_files().map_err(|error| broken(format!("cannot list open files: {error}")))?;
    limit(&order).map_err(|error| broken(format!("cannot limit the compiler: {error}")))?;
    shut_in().map_err(|error| broken(format!("cannot shut in the compiler: {error}")))?;

    let mut component = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut component)
        .map_err(|error| broken(format!("cannot read the component: {error}")))?;
    let code = here(&component, order.counts_fuel).map_err(|why| (REFUSED, why))?;
    let mut output = io::stdout().lock();
    output
        .write_all(&code)
        .and_then(|()| output.flush())
        .map_err(|error| broken(format!("cannot hand over the code: {error}")))
}

/// Closes what was inherited by accident.
fn close_files() -> io::Result<()> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        // The listing's own file closes itself.
        if fs::read_link(entry.path()).is_ok_and(|file| file.ends_with("fd")) {
            continue;
        }
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        open.extend(number.filter(|number: &i32| *number > 2));
    }
    for number in open {
        // SAFETY: the number was listed, and nothing but the listing opened or closed files since,
        // so it is that of an open file. Nothing in this process uses it: the caller promises that
        // this is the first thing it does.
        unsafe { rustix::io::close(number) };
    }
    Ok(())
}

/// Sets the limits of this process, for good.
fn limit(order: &Order) -> io::Result<()> {
    let set = |resource, soft: u64, hard: u64| {
        // Where the server itself is limited further, that stays.
        let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let limits = Rlimit {
            current: Some(soft.min(most)),
            maximum: Some(hard.min(most)),
        };
        setrlimit(resource, limits)
    };
    let cpu = u64::from(order.cpu_s);
    let memory = u64::from(order.memory_mb) << 20;
    set(Resource::Core, 0, 0)?;
    set(Resource::Fsize, 0, 0)?;
    set(Resource::Nofile, 8, 8)?;
    // First a signal that tells why, then one that cannot be ignored. The number of processes is
    // not limited: it counts for the whole user, and the compiler needs threads.
    set(Resource::Cpu, cpu, cpu + 1)?;
    set(Resource::As, memory, memory)?;
    Ok(())
}

/// Gives up what a compiler does not need, as far as the kernel can take it. Threads come later and
/// inherit it.
fn shut_in() -> Result<(), RulesetError> {
    // Neither can fail on a kernel that knows them; one that does not has nothing to offer.
    let _ = set_no_new_privs(true);
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let abi = ABI::V6;
    Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .restrict_self()?;
    Ok(())
}
