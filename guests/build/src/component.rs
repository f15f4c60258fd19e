//! From a core module to a component of one of our worlds.

use anyhow::{Context, Result, bail};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve, WorldId};

/// The extension ABI: the text of `extension.wit`.
pub const WIT: &str = include_str!("../../../wit/since_v0.1.0/extension.wit");

/// The name under which compilers for the component model leave the type of a core module.
const TYPE_SECTION: &[u8] = b"component-type";

/// The worlds of [`WIT`], in its order.
#[must_use]
pub fn worlds() -> &'static [&'static str] {
    &["fusion", "decomposer", "searcher", "scorer", "engine"]
}

/// Makes a component of the world `world` from a core module, as C, Zig, Go and Rust's
/// `wasm32-unknown-unknown` produce it.
///
/// A module that says its own type (Rust with wit-bindgen does) keeps it; another is given that of
/// the world. A module that uses `wasi_snapshot_preview1` gets the adapter for it, and its component
/// then imports WASI: extensions that import none need no grant.
///
/// # Errors
/// An unknown world; bytes that are no core module; a module that lacks an export of the world, or
/// imports what the world has not.
pub fn componentize(core: &[u8], world: &str) -> Result<Vec<u8>> {
    if !core.starts_with(b"\0asm\x01\0\0\0") {
        bail!("not a core WebAssembly module (version 1); a component needs no wrapping");
    }
    let (resolve, world_id) = resolve(world)?;
    let mut module = core.to_vec();
    if !has_section(core, TYPE_SECTION) {
        embed_component_metadata(&mut module, &resolve, world_id, StringEncoding::UTF8)
            .context("cannot attach the world's type to the module")?;
    }
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| {
            encoder.adapter(
                WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            )
        })
        .and_then(|mut encoder| encoder.encode())
        .with_context(|| format!("the module does not fit the world `{world}`"))
}

/// The parsed WIT and the world of this name in it.
fn resolve(world: &str) -> Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    let package: PackageId = resolve.push_str("extension.wit", WIT)?;
    match resolve.select_world(&[package], Some(world)) {
        Ok(id) if worlds().contains(&world) => Ok((resolve, id)),
        _ => bail!(
            "there is no world `{world}`; the worlds are {}",
            worlds().join(", ")
        ),
    }
}

/// Whether a custom section's name starts with `name`.
fn has_section(module: &[u8], name: &[u8]) -> bool {
    let mut rest = module.get(8..).unwrap_or_default();
    while let [id, tail @ ..] = rest {
        let Some((size, body)) = length(tail) else {
            return false;
        };
        let Some((section, next)) = body.split_at_checked(size) else {
            return false;
        };
        let named = length(section).is_some_and(|(_, text)| text.starts_with(name));
        if *id == 0 && named {
            return true;
        }
        rest = next;
    }
    false
}

/// An unsigned LEB128 number of 32 bits, and what follows it.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (place, byte) in bytes.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(place + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worlds_are_those_of_the_wit() {
        let mut parsed = Resolve::default();
        let package = parsed.push_str("extension.wit", WIT).unwrap();
        let names: Vec<_> = parsed.packages[package].worlds.keys().cloned().collect();
        assert_eq!(names, worlds());
    }

    #[test]
    fn what_cannot_become_a_component_is_refused_with_the_reason() {
        let message = |core: &[u8], world| format!("{:#}", componentize(core, world).unwrap_err());
        assert_eq!(
            message(b"\0asm\x0d\0\x01\0", "fusion"),
            "not a core WebAssembly module (version 1); a component needs no wrapping"
        );
        assert_eq!(
            message(b"\0asm\x01\0\0\0", "router"),
            "there is no world `router`; the worlds are fusion, decomposer, searcher, scorer, engine"
        );
        let no_exports = message(b"\0asm\x01\0\0\0", "fusion");
        assert!(
            no_exports.starts_with("the module does not fit the world `fusion`: "),
            "{no_exports}"
        );
        assert!(componentize(b"\0asm\x01\0\0\0\x00\xff\xff\xff\xff\xff", "fusion").is_err());
        assert!(componentize(b"\0asm\x01\0\0\0\x01\x7f", "fusion").is_err());
    }
}
