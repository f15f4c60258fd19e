//! `ext new`: an extension from a template.

use std::fs;
use std::path::{Component, Path};

use anyhow::Context;
use serde_json::{Map, Value, json};

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
            "there is no template for the world `{world}` in {lang}; in {lang} there is: {}",
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
        write(&path, &contents)?;
        #[cfg(unix)]
        if path.extension().is_some_and(|extension| extension == "sh") {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    let (service, pipeline) = example(&name, world, lang == "go");
    let config = json!({
        "services": [
            {"name": "a", "engine": "TrecRun", "config": {"run": "example/a.run", "topics": "example/topics.tsv"}},
            {"name": "b", "engine": "TrecRun", "config": {"run": "example/b.run", "topics": "example/topics.tsv"}},
            {"name": name, "engine": "Extension", "config": service},
        ],
        "collections": [{"name": "docs", "doc_path": "example/docs.jsonl"}],
    });
    write(&dir.join("serve.json"), &format!("{config:#}\n"))?;
    fs::create_dir_all(dir.join("example"))?;
    for (path, contents) in EXAMPLE {
        write(&dir.join("example").join(path), contents)?;
    }
    let wasi = if lang == "go" { " --wasi" } else { "" };
    let text = format!(
        "{shown}: a {world} in {lang}\nnext: cd {shown} && ./build.sh && routir-rt ext check {name}.wasm{wasi}\n\
         serve it: routir-rt serve.json --host 127.0.0.1\n\
         ask it: routir-rt query --pipeline '{pipeline}' --collection docs \"red apples and green pears\"\n"
    );
    Ok(out::print(&text)?)
}

/// What the example serves: two small runs, and the documents that they rank.
const EXAMPLE: [(&str, &str); 4] = [
    (
        "topics.tsv",
        "1\tred apples and green pears\n2\tred apples\n3\tgreen pears\n",
    ),
    (
        "a.run",
        "1 Q0 apples 1 9.0 a\n1 Q0 pears 2 7.5 a\n1 Q0 plums 3 2.0 a\n2 Q0 apples 1 9.5 a\n\
         3 Q0 pears 1 8.0 a\n3 Q0 quinces 2 3.0 a\n",
    ),
    (
        "b.run",
        "1 Q0 pears 1 0.9 b\n1 Q0 quinces 2 0.8 b\n1 Q0 apples 3 0.1 b\n2 Q0 plums 1 0.4 b\n\
         3 Q0 quinces 1 0.7 b\n",
    ),
    (
        "docs.jsonl",
        "{\"id\": \"apples\", \"text\": \"Red apples are sweet and keep until spring.\"}\n\
         {\"id\": \"pears\", \"text\": \"Green pears ripen after they are picked.\"}\n\
         {\"id\": \"plums\", \"text\": \"Plums turn red in late summer.\"}\n\
         {\"id\": \"quinces\", \"text\": \"Quinces look like pears and are cooked.\"}\n",
    ),
];

/// How the example configures an extension, and a pipeline that calls it.
fn example(name: &str, world: &str, wants_wasi: bool) -> (Map<String, Value>, String) {
    let mut service = Map::new();
    service.insert("component".to_owned(), json!(format!("{name}.wasm")));
    if wants_wasi {
        service.insert("grants".to_owned(), json!({"wasi": true}));
    }
    let pipeline = match world {
        "decomposer" => format!("{name}{{a, b}}RRF%5"),
        "searcher" => {
            service.insert("params".to_owned(), json!({"service": "a"}));
            format!("{{{name}, b}}RRF%5")
        }
        "scorer" => format!("a >> {name}%5"),
        _ => format!("{{a, b}}{name}%5"),
    };
    (service, pipeline)
}

fn write(path: &Path, contents: &str) -> anyhow::Result<()> {
    fs::write(path, contents).with_context(|| format!("cannot write {}", path.display()))
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
    use super::super::args::World;
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

    #[test]
    fn a_world_without_a_template_is_told_with_those_that_have_one() {
        let args = New {
            dir: "nowhere/mine".into(),
            lang: "c".to_owned(),
            world: World::Engine,
        };
        let error = run(&args).unwrap_err().to_string();
        let told = "there is no template for the world `engine` in c; in c there is: fusion";
        assert_eq!(error, told);
    }
}
