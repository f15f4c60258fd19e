//! `wasi:io/streams`: standard input, which is at its end, and standard output and error, whose
//! lines are logged.

use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource};
use wasmtime::{Result, StoreContextMut};

use super::{Wasi, clocks};

/// Where a line is cut, in bytes.
const MOST_LINE: usize = 4096;
/// How much a guest is told that it may write at once, in bytes.
const WINDOW: u64 = 64 << 10;

/// Standard input: there is no other.
pub(super) enum Input {}
/// Standard output or error; its number is one of the two below.
pub(super) enum OutputStream {}
/// What went wrong with a stream: nothing ever does.
pub(super) enum IoError {}

/// The number of standard output.
pub(super) const STDOUT: u32 = 0;
/// The number of standard error.
pub(super) const STDERR: u32 = 1;

/// Why a stream gives or takes no more.
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
pub(super) enum StreamError {
    /// Of no use here, but part of the type.
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

type Answer<R> = Result<(Result<R, StreamError>,)>;

/// The lines that standard output and error have begun.
#[derive(Default)]
pub(super) struct Output {
    begun: [Vec<u8>; 2],
}

impl Output {
    /// Takes what was written; returns the lines that it completed.
    fn write(&mut self, stream: u32, bytes: &[u8]) -> Vec<String> {
        let [out, err] = &mut self.begun;
        let begun = if stream == STDOUT { out } else { err };
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = MOST_LINE.saturating_sub(begun.len());
            begun.extend(piece.iter().filter(|byte| **byte != b'\n').take(room));
            if piece.ends_with(b"\n") {
                lines.extend(line(begun));
            }
        }
        lines
    }
}

/// Takes a line that is complete; none if it is empty.
fn line(begun: &mut Vec<u8>) -> Option<String> {
    let line = std::mem::take(begun);
    (!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned())
}

/// Defines a function; `false` when it is none of these.
pub(super) fn define<T: Wasi>(instance: &mut LinkerInstance<'_, T>, name: &str) -> Result<bool> {
    match name {
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => {
            instance.func_wrap(
                name,
                |_, (_, _): (Resource<Input>, u64)| -> Answer<Vec<u8>> {
                    Ok((Err(StreamError::Closed),))
                },
            )?;
        }
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => {
            instance.func_wrap(name, |_, (_, _): (Resource<Input>, u64)| -> Answer<u64> {
                Ok((Err(StreamError::Closed),))
            })?;
        }
        "[method]input-stream.subscribe" => {
            instance.func_wrap(name, |_, (_,): (Resource<Input>,)| Ok((clocks::ready(),)))?;
        }
        "[method]output-stream.check-write" => {
            instance.func_wrap(name, |_, (_,): (Resource<OutputStream>,)| -> Answer<u64> {
                Ok((Ok(WINDOW),))
            })?;
        }
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => {
            instance.func_wrap(
                name,
                |store, (stream, bytes): (Resource<OutputStream>, Vec<u8>)| -> Answer<()> {
                    write(store, &stream, &bytes);
                    Ok((Ok(()),))
                },
            )?;
        }
        "[method]output-stream.write-zeroes"
        | "[method]output-stream.blocking-write-zeroes-and-flush" => {
            instance.func_wrap(
                name,
                |_, (_, _): (Resource<OutputStream>, u64)| -> Answer<()> { Ok((Ok(()),)) },
            )?;
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            instance.func_wrap(name, |_, (_,): (Resource<OutputStream>,)| -> Answer<()> {
                Ok((Ok(()),))
            })?;
        }
        "[method]output-stream.subscribe" => {
            instance.func_wrap(name, |_, (_,): (Resource<OutputStream>,)| {
                Ok((clocks::ready(),))
            })?;
        }
        "[method]output-stream.splice" | "[method]output-stream.blocking-splice" => {
            instance.func_wrap(
                name,
                |_, (_, _, _): (Resource<OutputStream>, Resource<Input>, u64)| -> Answer<u64> {
                    Ok((Err(StreamError::Closed),))
                },
            )?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn write<T: Wasi>(
    mut store: StoreContextMut<'_, T>,
    stream: &Resource<OutputStream>,
    bytes: &[u8],
) {
    let state = store.data_mut();
    for line in state.wasi().output.write(stream.rep(), bytes) {
        state.line(line);
    }
}
