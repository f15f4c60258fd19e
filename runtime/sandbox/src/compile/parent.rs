//! The server's side of a compiling child process.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::future::join3;
use routir_core::{Error, Result};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::child::REFUSED;
use super::one_line;
use super::order::{Order, VARIABLE};

/// The most machine code that is taken: Python, the largest known, makes 35 MB.
const MOST_CODE: u64 = 256 << 20;
/// The most that is read of what the child complains of.
const MOST_COMPLAINT: u64 = 16 << 10;
/// What a child may take longer than twice its processor time.
const SLACK: Duration = Duration::from_secs(10);

/// How it ended and what it said.
struct Ended {
    status: ExitStatus,
    code: Vec<u8>,
    complaint: String,
}

/// Compiles in a child process.
///
/// # Errors
/// As [`super::Compilation::compile`].
pub(super) async fn compile(
    program: &Path,
    args: &[OsString],
    order: &Order,
    threads: usize,
    component: &[u8],
) -> Result<Vec<u8>> {
    let cannot = |error: io::Error| {
        let program = program.display();
        Error::internal(format!("cannot run the compiler {program}: {error}"))
    };
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .env(VARIABLE, order.to_string())
        .env("RAYON_NUM_THREADS", threads.to_string())
        // Arenas are address space, which is limited.
        .env("MALLOC_ARENA_MAX", "2")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(cannot)?;
    let limit = Duration::from_secs(u64::from(order.cpu_s) * 2) + SLACK;
    let ended = match timeout(limit, talk(&mut child, component)).await {
        Ok(ended) => ended.map_err(cannot)?,
        Err(_) => {
            return Err(Error::invalid(format!(
                "it takes longer than {} s to compile (`extensions.compile_cpu_s`, twice)",
                limit.as_secs()
            )));
        }
    };
    if ended.code.len() as u64 > MOST_CODE {
        let most = MOST_CODE >> 20;
        return Err(Error::invalid(format!(
            "it makes more than {most} MiB of machine code"
        )));
    }
    if ended.status.success() {
        return Ok(ended.code);
    }
    Err(failure(&ended, order))
}

/// Hands the component over while the answer is read: the child may write before it has read all.
async fn talk(child: &mut Child, component: &[u8]) -> io::Result<Ended> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(io::Error::other("it has no pipes"));
    };
    let write = async {
        // A child that ended early did not want it; its exit says why.
        let _ = stdin.write_all(component).await;
        drop(stdin);
    };
    let code = async {
        let mut code = Vec::new();
        // Closed when there is too much, upon which the child ends.
        stdout.take(MOST_CODE + 1).read_to_end(&mut code).await?;
        io::Result::Ok(code)
    };
    let complaint = async {
        let mut head = Vec::new();
        let mut stderr = stderr.take(MOST_COMPLAINT);
        stderr.read_to_end(&mut head).await?;
        copy(&mut stderr.into_inner(), &mut sink()).await?;
        io::Result::Ok(String::from_utf8_lossy(&head).into_owned())
    };
    let ((), code, complaint) = join3(write, code, complaint).await;
    Ok(Ended {
        code: code?,
        complaint: complaint?,
        status: child.wait().await?,
    })
}

fn failure(ended: &Ended, order: &Order) -> Error {
    let Order {
        memory_mb, cpu_s, ..
    } = order;
    let complaint = &ended.complaint;
    if out_of_memory(complaint) {
        return Error::invalid(format!(
            "the compiler ran out of its {memory_mb} MiB (`extensions.compile_memory_mb`)"
        ));
    }
    if ended.status.code() == Some(REFUSED.into()) {
        return Error::invalid(format!("it cannot be compiled: {}", one_line(complaint)));
    }
    let said = match one_line(complaint) {
        said if said.is_empty() => "and said nothing".to_owned(),
        said => format!("and said: {said}"),
    };
    let is = |signal: Signal| ended.status.signal() == Some(signal.as_raw());
    if is(Signal::XCPU) {
        Error::invalid(format!(
            "the compiler ran out of its {cpu_s} s of processor time \
             (`extensions.compile_cpu_s`)"
        ))
    } else if is(Signal::KILL) {
        Error::internal(format!(
            "the compiler was killed, as the system does when memory is short or a limit of \
             processor time is reached, {said}"
        ))
    } else if is(Signal::ABORT) || is(Signal::SEGV) || is(Signal::BUS) || is(Signal::ILL) {
        Error::invalid(format!(
            "the compiler crashed on it ({}), {said}",
            ended.status
        ))
    } else {
        Error::internal(format!("the compiler failed ({}), {said}", ended.status))
    }
}

/// Whether the child died for want of memory: an allocation that failed, or a thread or mapping
/// that it was refused.
fn out_of_memory(complaint: &str) -> bool {
    [
        "memory allocation of",
        "Cannot allocate memory",
        "out of memory",
        "Resource temporarily unavailable",
    ]
    .iter()
    .any(|sign| complaint.contains(sign))
}
