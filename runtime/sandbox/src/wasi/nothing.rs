//! What answers that there is nothing: environment, files, terminals, sockets; and the end.

use wasmtime::Result;
use wasmtime::component::{LinkerInstance, Resource, Val};

use super::io::{Input, OutputStream, STDERR, STDOUT};
use super::{Wasi, end};

/// A terminal: there is none.
pub(super) enum Terminal {}
/// A file or directory: there is none.
pub(super) enum Descriptor {}
/// A network, with nothing on it.
pub(super) enum Network {}

/// Defines a function; `false` when it is none of these.
pub(super) fn define<T: Wasi>(
    instance: &mut LinkerInstance<'_, T>,
    interface: &str,
    name: &str,
) -> Result<bool> {
    match (interface, name) {
        ("cli/environment", "get-environment") => {
            let none = || Vec::<(String, String)>::new();
            instance.func_wrap(name, move |_, (): ()| Ok((none(),)))?;
        }
        ("cli/environment", "get-arguments") => {
            instance.func_wrap(name, |_, (): ()| Ok((Vec::<String>::new(),)))?;
        }
        ("cli/environment", "initial-cwd") => {
            instance.func_wrap(name, |_, (): ()| Ok((None::<String>,)))?;
        }
        ("cli/exit", "exit") => {
            instance.func_wrap(name, |_, (status,): (Result<(), ()>,)| -> Result<()> {
                let how = if status.is_ok() { "success" } else { "failure" };
                Err(end(format!("it exited with {how} instead of answering")))
            })?;
        }
        ("cli/exit", "exit-with-code") => {
            instance.func_wrap(name, |_, (code,): (u8,)| -> Result<()> {
                Err(end(format!(
                    "it exited with code {code} instead of answering"
                )))
            })?;
        }
        ("cli/stdin", "get-stdin") => {
            instance.func_wrap(name, |_, (): ()| Ok((Resource::<Input>::new_own(0),)))?;
        }
        ("cli/stdout", "get-stdout") => {
            let stream = || Resource::<OutputStream>::new_own(STDOUT);
            instance.func_wrap(name, move |_, (): ()| Ok((stream(),)))?;
        }
        ("cli/stderr", "get-stderr") => {
            let stream = || Resource::<OutputStream>::new_own(STDERR);
            instance.func_wrap(name, move |_, (): ()| Ok((stream(),)))?;
        }
        (
            "cli/terminal-stdin" | "cli/terminal-stdout" | "cli/terminal-stderr",
            "get-terminal-stdin" | "get-terminal-stdout" | "get-terminal-stderr",
        ) => {
            instance.func_wrap(name, |_, (): ()| Ok((None::<Resource<Terminal>>,)))?;
        }
        ("filesystem/preopens", "get-directories") => {
            let none = || Vec::<(Resource<Descriptor>, String)>::new();
            instance.func_wrap(name, move |_, (): ()| Ok((none(),)))?;
        }
        ("sockets/instance-network", "instance-network") => {
            instance.func_wrap(name, |_, (): ()| Ok((Resource::<Network>::new_own(0),)))?;
        }
        ("sockets/tcp-create-socket", "create-tcp-socket")
        | ("sockets/udp-create-socket", "create-udp-socket")
        | ("sockets/ip-name-lookup", "resolve-addresses") => {
            // By value: the type of the error lists all that can go wrong with a socket.
            instance.func_new(name, |_, _, _, results| {
                let denied = Val::Enum("access-denied".to_owned());
                if let Some(result) = results.first_mut() {
                    *result = Val::Result(Err(Some(Box::new(denied))));
                }
                Ok(())
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}
