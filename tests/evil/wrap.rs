//! Makes components of the hostile guests' text files.
//!
//! A file names its world and the parts that it is completed with in its first two lines; the rest
//! is the fields of one core module.

use std::fs;
use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, UnresolvedPackageGroup};

/// Where the hostile guests are.
pub(crate) fn guests() -> PathBuf {
    root().join("guests/evil")
}

/// The names of all hostile guests, sorted.
pub(crate) fn names() -> Vec<String> {
    let files = fs::read_dir(guests()).unwrap();
    let names = files.filter_map(|file| {
        let name = file.unwrap().file_name().into_string().unwrap();
        name.strip_suffix(".wat").map(str::to_owned)
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// The repository: where the ABI is, from whichever package of it this file is compiled in.
fn root() -> &'static Path {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above
        .find(|folder| folder.join("wit/since_v0.1.0").is_dir())
        .expect("the repository")
}

/// The component of `guests/evil/<name>.wat`.
pub(crate) fn evil(name: &str) -> Vec<u8> {
    component_of(&text(name))
}

/// The same, but harmless while it is tried out: admission fuses a little, and a guest that is up
/// to something sees that as well as anybody. Other roles are not tried out.
pub(crate) fn asleep(name: &str) -> Vec<u8> {
    sleeper(&text(name))
}

/// The component of a guest's text, harmless while it is tried out.
pub(crate) fn sleeper(text: &str) -> Vec<u8> {
    if !text.contains("(export \"fuse\")") {
        return component_of(text);
    }
    let parts = header(text, "parts");
    let mut all = parts.clone();
    for part in ["answer", "scores", "sleeper"] {
        if !parts.contains(part) {
            all = format!("{all} {part}");
        }
    }
    let text = text
        .replace(&format!(";; parts: {parts}"), &format!(";; parts: {all}"))
        .replace("(func (export \"fuse\")", "(func $evil");
    component_of(&text)
}

/// The text of `guests/evil/<name>.wat`.
pub(crate) fn text(name: &str) -> String {
    let path = guests().join(format!("{name}.wat"));
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The component of a guest's text.
pub(crate) fn component_of(text: &str) -> Vec<u8> {
    component(&header(text, "world"), &core_of(text))
}

/// The core module of a guest's text, its parts put in.
pub(crate) fn core_of(text: &str) -> Vec<u8> {
    let parts: String = header(text, "parts").split_whitespace().map(part).collect();
    wat::parse_str(format!("(module\n{text}\n{parts})")).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// The component of a core module that was made for `world`.
pub(crate) fn component(world: &str, core: &[u8]) -> Vec<u8> {
    try_component(world, core).unwrap_or_else(|e| panic!("{e}"))
}

/// The same of a core module that may not fit the world.
///
/// # Errors
/// What does not fit.
pub(crate) fn try_component(world: &str, core: &[u8]) -> Result<Vec<u8>, String> {
    let mut resolve = Resolve::default();
    resolve.push_dir(root().join("wit/since_v0.1.0")).unwrap();
    let own = fs::read_to_string(guests().join("worlds.wit")).unwrap();
    let own = resolve
        .push_group(UnresolvedPackageGroup::parse("worlds.wit", &own).unwrap())
        .unwrap();
    let (abi, _) = resolve
        .packages
        .iter()
        .find(|(_, package)| package.name.name == "extension")
        .unwrap();
    let world = [abi, own]
        .iter()
        .find_map(|package| resolve.packages[*package].worlds.get(world).copied())
        .unwrap_or_else(|| panic!("no world `{world}`"));
    let mut core = core.to_vec();
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    let encoder = ComponentEncoder::default().module(&core);
    encoder
        .and_then(|mut encoder| encoder.encode())
        .map_err(|e| format!("{e:?}"))
}

/// What the line `;; key: ...` of a guest's text says.
fn header(text: &str, key: &str) -> String {
    text.lines()
        .find_map(|line| line.strip_prefix(&format!(";; {key}: ")))
        .unwrap_or_else(|| panic!("a guest's text lacks the line `;; {key}: ...`"))
        .to_owned()
}

/// The text of `guests/evil/parts/<name>.wat`.
pub(crate) fn part(name: &str) -> String {
    fs::read_to_string(guests().join("parts").join(format!("{name}.wat"))).unwrap()
}
