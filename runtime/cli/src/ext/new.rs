//! `ext new`: an extension from a template.

use std::fs;
use std::path::{Component, Path};

use anyhow::Context;

use super::args::New;
use crate::failure::wrong;
use crate::out;

/// Writes the template's files into a folder that is not there yet.
pub(super) fn run(args: &New) -> anyhow::Result<()> {
    let New { dir, lang, world } = args;
    let world = world.name();
    let templates = routir_guests::templates();
    let fitting = |t: &&routir_guests::Template| t.lang == lang && t.world == world;
    let Some(template) = templates.iter().find(fitting) else {
        let worlds = templates.iter().filter(|t| t.lang == lang).map(|t| t.world);
        let worlds: Vec<_> = worlds.collect();
        return Err(wrong(format!(
            "there is no template of a {world} in {lang}; in {lang} there is: {}",
            worlds.join(", ")
        )));
    };
    let name = name_of(dir)?;
    let shown = dir.display();
    if dir.exists() {
        return Err(wrong(format!(
            "{shown} is there already; name a new folder"
        )));
    }
    for (path, contents) in template.files {
        let path = dir.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make {parent:?}"))?;
        }
        let contents = contents.replace(routir_guests::PLACEHOLDER, &name);
        fs::write(&path, contents).with_context(|| format!("cannot write {}", path.display()))?;
        #[cfg(unix)]
        if path.extension().is_some_and(|extension| extension == "sh") {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    let text = format!(
        "{shown}: a {world} in {lang}\nnext: cd {shown} && ./build.sh && routir-rt ext check {name}.wasm\n"
    );
    Ok(out::print(&text)?)
}

/// The extension's name: the folder's, which the manifest must be able to bear.
fn name_of(dir: &Path) -> anyhow::Result<String> {
    let last = dir.components().next_back();
    let name = match last {
        Some(Component::Normal(name)) => name.to_str().unwrap_or_default(),
        _ => "",
    };
    let mut letters = name.chars();
    let sound = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && name.len() <= 64;
    if sound {
        Ok(name.to_owned())
    } else {
        Err(wrong(format!(
            "{}: the folder's name becomes the extension's, so it must be a letter, then letters, \
             digits, `_` or `-`, at most 64",
            dir.display()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_a_pipeline_can_hold_becomes_an_extensions() {
        for (dir, name) in [("a/my-fusion", Some("my-fusion")), ("x", Some("x"))] {
            assert_eq!(name_of(Path::new(dir)).ok().as_deref(), name);
        }
        for dir in ["..", "/", "1st", "a b", "a.b"] {
            assert!(name_of(Path::new(dir)).is_err(), "{dir}");
        }
    }
}
