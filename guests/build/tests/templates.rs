//! What `routir-rt ext new` writes: every language and world that was promised, each with the WIT
//! that the server speaks, each built by its own `build.sh` and let in by the sandbox.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use common::Runtime;
use routir_core::{
    DecomposeRequest, FuseRequest, FuseSource, Hit, Params, Ranking, RequestContext, Roles,
    ScoreRequest, SearchRequest,
};
use routir_guests::{Guest, Lang, PLACEHOLDER, Template, WIT, template, templates};
use serde_json::json;

/// Where templates are built: kept, so that compilers find what they did before.
fn workplace() -> PathBuf {
    root().join("target/guests/templates")
}

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

#[test]
fn every_language_has_a_fusion_and_three_have_all_worlds() {
    for lang in Lang::ALL {
        assert!(template(lang.name(), "fusion").is_some(), "{lang:?}");
    }
    for lang in ["rust", "js", "python"] {
        for world in ["decomposer", "searcher", "scorer"] {
            assert!(template(lang, world).is_some(), "{lang} {world}");
        }
    }
}

#[test]
fn a_template_says_all_that_a_newcomer_needs() {
    for template in templates() {
        let file = |name: &str| {
            let found = template.files.iter().find(|(path, _)| *path == name);
            found
                .unwrap_or_else(|| panic!("{} {}: no {name}", template.lang, template.world))
                .1
        };
        assert_eq!(file("wit/extension.wit"), WIT);
        assert!(file("README.md").contains("./build.sh"));
        assert!(file("README.md").lines().count() <= 15, "{}", template.lang);
        assert!(file("build.sh").starts_with("#!/usr/bin/env bash\n"));
        let named = template.files.iter().filter(|(path, text)| {
            !matches!(*path, "README.md" | "build.sh") && text.contains(PLACEHOLDER)
        });
        assert_eq!(named.count(), 1, "the manifest alone bears the name");
    }
}

/// Writes a template, as `ext new` does, under another name. Whether anything is new in it.
fn write(template: &Template, folder: &Path) -> bool {
    let mut new = false;
    for (path, text) in template.files {
        let path = folder.join(path);
        let text = text.replace(PLACEHOLDER, "tried-out");
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            continue;
        }
        new = true;
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let mode = if path.ends_with("build.sh") {
            0o755
        } else {
            0o644
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    new
}

/// Builds a template in a folder of its own. The tools are those of the example guests; without
/// them `build.sh` would install its own, which is not for a test to do.
fn build(template: &Template) -> PathBuf {
    let folder = workplace().join(format!("{}-{}", template.lang, template.world));
    let component = folder.join("tried-out.wasm");
    if !write(template, &folder) && component.is_file() {
        return component;
    }
    let tools = root().join(".cache/guest-tools");
    let _ = symlink(tools.join("python"), folder.join(".tools"));
    let _ = symlink(tools.join("node/node_modules"), folder.join("node_modules"));
    let routir_rt = workplace().join("routir-rt.sh");
    let output = Command::new(folder.join("build.sh"))
        .env("ROUTIR_RT", &routir_rt)
        .env("CARGO_TARGET_DIR", root().join("target/guests/work/rust"))
        .env("ZIG_GLOBAL_CACHE_DIR", tools.join("zig-cache"))
        .env("PATH", path_with(&tools.join("go/bin")))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .unwrap();
    if !output.status.success() {
        let _ = fs::remove_file(&component);
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("{} {}: {said}", template.lang, template.world);
    }
    component
}

fn path_with(folder: &Path) -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([folder.to_owned()]);
    std::env::join_paths(folders).unwrap()
}

/// Stands in for `routir-rt`, of which templates use only `ext wrap`.
fn write_routir_rt() {
    let program = workplace().join("routir-rt.sh");
    let text = format!(
        "#!/bin/sh\nshift\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_guests")
    );
    fs::create_dir_all(workplace()).unwrap();
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn every_template_builds_as_it_is_and_works() {
    write_routir_rt();
    for template in templates() {
        let lang = Lang::by_name(template.lang).unwrap();
        // A guest of the same language says whether the tools are here.
        let twin = Guest::by_name(&format!("rrf-{}", template.lang)).unwrap();
        if common::component(twin).is_none() {
            continue;
        }
        let built = Guest {
            name: "tried-out",
            lang,
            world: template.world,
        };
        let bytes = fs::read(build(template)).unwrap();
        let admitted = common::admit(built, bytes).await;
        assert_eq!(admitted.component.manifest().name, "tried-out");
        assert_eq!(
            admitted.component.role_list(),
            common::roles_of(template.world)
        );
        let runtime = Runtime {
            rankings: [("bm25", vec![("a", 8.0), ("b", 4.0), ("c", 1.0)])].into(),
            ..Runtime::default()
        };
        let params = match template.world {
            "searcher" => json!({"service": "bm25"}),
            _ => json!({}),
        };
        let roles = common::engines(built, &admitted, Arc::new(runtime), params);
        assert_eq!(
            tried(roles).await,
            expected(template.world),
            "{}",
            template.lang
        );
    }
}

/// What templates of all languages answer alike.
fn expected(world: &str) -> &'static str {
    match world {
        "fusion" => r#"[("b", 0.03252247488101534), ("a", 0.01639344262295082)]"#,
        "decomposer" => r#"["salt and pepper", "salt", "pepper"]"#,
        "searcher" => r#"[("a", 8.0), ("b", 4.0)]"#,
        _ => "[0.5, 1.0, 0.0]",
    }
}

/// Calls the one role that there is.
async fn tried(roles: Roles) -> String {
    let context = Arc::new(RequestContext::new("templates"));
    let params = Params::default();
    let shown = |ranking: &Ranking| {
        let hits = ranking
            .hits()
            .iter()
            .map(|hit| (hit.doc.as_str(), hit.score));
        format!("{:?}", hits.collect::<Vec<_>>())
    };
    if let Some(engine) = roles.fuse {
        let ranking = |ids: &[&str]| {
            let hits = ids
                .iter()
                .zip([2.0, 1.0])
                .map(|(id, score)| Hit::new(*id, score));
            Arc::new(Ranking::from_hits(hits.collect()).unwrap())
        };
        let source = || FuseSource {
            stage: "s".into(),
            query: "q".into(),
        };
        let request = FuseRequest {
            query: "q".into(),
            rankings: vec![ranking(&["a", "b"]), ranking(&["b"])],
            sources: vec![source(), source()],
            sub_queries: None,
            limit: None,
            params,
            context,
        };
        return shown(&engine.fuse(request).await.unwrap());
    }
    if let Some(engine) = roles.decompose {
        let query = "salt and pepper".into();
        let request = DecomposeRequest {
            query,
            limit: None,
            params,
            context,
        };
        return format!(
            "{:?}",
            engine.decompose(vec![request]).await.remove(0).unwrap()
        );
    }
    if let Some(engine) = roles.search {
        let request = SearchRequest {
            query: "q".into(),
            limit: 10,
            params,
            context,
        };
        return shown(&engine.search(vec![request]).await.remove(0).unwrap());
    }
    let passages = ["salt!", "Pepper, salt", "sugar"].map(Arc::from);
    let request = ScoreRequest {
        query: "salt pepper".into(),
        passages: passages.into_iter().collect(),
        params,
        context,
    };
    let answer = roles.score.unwrap().score(vec![request]).await.remove(0);
    format!("{:?}", answer.unwrap())
}
