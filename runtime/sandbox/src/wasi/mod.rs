//! An empty WASI, for language runtimes that do not start without one.
//!
//! It is there only under the grant `wasi`, and shows nothing of the host: no arguments,
//! environment, files or sockets; standard input is at its end, standard output and error go to the
//! extension's log budget. Clocks stand still and waiting for them ends at once, unless `clock` is
//! granted; random numbers are the same in every instance, unless `randomness` is. Whatever else an
//! interface has ends the guest when it is called, with the function's name.
//!
//! What is linked is read off the component: each of its imports is defined under its own name, so
//! any 0.2 release of WASI will do, and a function that a later one adds is there and ends the
//! guest.

mod clocks;
mod io;
mod nothing;
mod random;

use routir_config::ExtensionGrants;
use wasmtime::Result;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType};

use crate::bindings::log::{Host, Level};
use crate::convert::said;
use crate::guest::{Refused, State};

/// The interfaces of WASI 0.2 that are there, as `package/interface`.
const INTERFACES: [&str; 27] = [
    "cli/environment",
    "cli/exit",
    "cli/stderr",
    "cli/stdin",
    "cli/stdout",
    "cli/terminal-input",
    "cli/terminal-output",
    "cli/terminal-stderr",
    "cli/terminal-stdin",
    "cli/terminal-stdout",
    "clocks/monotonic-clock",
    "clocks/wall-clock",
    "filesystem/preopens",
    "filesystem/types",
    "io/error",
    "io/poll",
    "io/streams",
    "random/insecure",
    "random/insecure-seed",
    "random/random",
    "sockets/instance-network",
    "sockets/ip-name-lookup",
    "sockets/network",
    "sockets/tcp",
    "sockets/tcp-create-socket",
    "sockets/udp",
    "sockets/udp-create-socket",
];

/// Whether an import such as `wasi:cli/environment@0.2.6` is there under the grant.
pub(crate) fn provides(import: &str) -> bool {
    interface(import).is_some()
}

/// What an import's name says: the interface, if it is there.
fn interface(import: &str) -> Option<&'static str> {
    let (name, version) = import.strip_prefix("wasi:")?.split_once('@')?;
    let patch = version.strip_prefix("0.2.")?;
    if patch.is_empty() || !patch.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    INTERFACES.into_iter().find(|known| *known == name)
}

/// What a store's WASI knows.
pub(crate) struct WasiState {
    clocks: clocks::Clocks,
    random: random::Random,
    output: io::Output,
}

impl WasiState {
    /// WASI as `grants` allow.
    pub(crate) fn new(grants: &ExtensionGrants) -> Self {
        Self {
            clocks: clocks::Clocks::new(grants.clock),
            random: random::Random::new(grants.randomness),
            output: io::Output::default(),
        }
    }
}

/// A store with WASI in it.
pub(crate) trait Wasi: Send + 'static {
    /// What its WASI knows.
    fn wasi(&mut self) -> &mut WasiState;

    /// A line that the guest wrote to standard output or error.
    fn line(&mut self, line: String);
}

impl Wasi for State {
    fn wasi(&mut self) -> &mut WasiState {
        &mut self.wasi
    }

    fn line(&mut self, line: String) {
        // Logging a line never fails: over the budget it is dropped.
        let _ = self.log(Level::Info, line);
    }
}

/// Defines the WASI interfaces that a component imports.
///
/// # Errors
/// A name that the linker has already.
pub(crate) fn add_to_linker<T: Wasi>(linker: &mut Linker<T>, component: &Component) -> Result<()> {
    let engine = component.engine();
    for (import, item) in component.component_type().imports(engine) {
        let (Some(interface), ComponentItem::ComponentInstance(ty)) = (interface(import), item.ty)
        else {
            continue;
        };
        let mut instance = linker.instance(import)?;
        for (name, item) in ty.exports(engine) {
            match item.ty {
                ComponentItem::Resource(_) => {
                    instance.resource(name, resource(name), |_, _| Ok(()))?;
                }
                ComponentItem::ComponentFunc(_) => {
                    let defined = match interface {
                        "clocks/monotonic-clock" | "clocks/wall-clock" | "io/poll" => {
                            clocks::define(&mut instance, interface, name)?
                        }
                        "io/streams" => io::define(&mut instance, name)?,
                        "random/insecure" | "random/insecure-seed" | "random/random" => {
                            random::define(&mut instance, name)?
                        }
                        _ => nothing::define(&mut instance, interface, name)?,
                    };
                    if !defined {
                        define_end(&mut instance, interface, name)?;
                    }
                }
                // Types need no definition, and an interface has nothing else.
                _ => {}
            }
        }
    }
    Ok(())
}

/// A function that ends the guest.
fn define_end<T: Wasi>(
    instance: &mut LinkerInstance<'_, T>,
    interface: &'static str,
    name: &str,
) -> Result<()> {
    let function = said(name);
    instance.func_new(name, move |_, _, _, _| {
        Err(end(format!(
            "it called `{function}` of `wasi:{interface}`, which the sandbox does not have"
        )))
    })
}

/// The error that ends a guest.
fn end(why: String) -> wasmtime::Error {
    wasmtime::Error::new(Refused(why))
}

/// The host's type of a resource. Of those that are `Never` there is none, ever.
fn resource(name: &str) -> ResourceType {
    match name {
        "input-stream" => ResourceType::host::<io::Input>(),
        "output-stream" => ResourceType::host::<io::OutputStream>(),
        "error" => ResourceType::host::<io::IoError>(),
        "pollable" => ResourceType::host::<clocks::Pollable>(),
        "network" => ResourceType::host::<nothing::Network>(),
        "descriptor" => ResourceType::host::<nothing::Descriptor>(),
        "terminal-input" | "terminal-output" => ResourceType::host::<nothing::Terminal>(),
        _ => ResourceType::host::<Never>(),
    }
}

/// A resource that there is none of.
enum Never {}

#[cfg(test)]
mod tests;
