//! What a new extension starts from.

/// A folder of files that builds as it is, with the `build.sh` in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    /// The language.
    pub lang: &'static str,
    /// The world that it exports.
    pub world: &'static str,
    /// Paths in the folder, and what is in the files. [`PLACEHOLDER`] stands for the extension's
    /// name; `build.sh` is to be made executable.
    pub files: &'static [(&'static str, &'static str)],
}

/// What templates call the extension, until it has a name.
pub const PLACEHOLDER: &str = "my-extension";

/// All templates.
#[must_use]
pub fn templates() -> &'static [Template] {
    &TEMPLATES
}

/// The template of a world in a language.
#[must_use]
pub fn template(lang: &str, world: &str) -> Option<&'static Template> {
    let fits = |template: &&Template| template.lang == lang && template.world == world;
    templates().iter().find(fits)
}

/// A file under `guests/templates`.
macro_rules! text {
    ($($path:expr),+) => {
        include_str!(concat!("../../templates/", $($path),+))
    };
}

/// A file under `guests/bindings`.
macro_rules! bindings {
    ($path:literal) => {
        include_str!(concat!("../../bindings/", $path))
    };
}

/// A template: what all of a language share, its one source file, and what else it needs.
macro_rules! template {
    ($lang:literal, $world:literal, $source:literal as $path:literal $(, $name:expr => $text:expr)* $(,)?) => {
        Template {
            lang: $lang,
            world: $world,
            files: &[
                (
                    "README.md",
                    concat!(
                        "# my-extension\n\nAn extension for routir-rt in the world `", $world,
                        "`.\n", text!($lang, "/README.md")
                    ),
                ),
                (
                    "build.sh",
                    concat!(
                        "#!/usr/bin/env bash\n# Builds my-extension.wasm.\nworld=", $world, "\n",
                        text!($lang, "/build.sh")
                    ),
                ),
                (".gitignore", text!("gitignore")),
                ("wit/extension.wit", crate::WIT),
                ($path, text!($lang, "/", $source)),
                $(($name, $text)),*
            ],
        }
    };
}

macro_rules! rust {
    ($world:literal, $source:literal) => {
        template!(
            "rust", $world, $source as "src/lib.rs",
            "Cargo.toml" => text!("rust/Cargo.toml"),
            "Cargo.lock" => text!("rust/Cargo.lock"),
        )
    };
}

macro_rules! js {
    ($world:literal, $source:literal) => {
        template!("js", $world, $source as "extension.js", "package.json" => text!("js/package.json"))
    };
}

macro_rules! python {
    ($world:literal, $source:literal) => {
        template!("python", $world, $source as "extension.py")
    };
}

static TEMPLATES: [Template; 16] = [
    rust!("fusion", "fusion.rs"),
    rust!("decomposer", "decomposer.rs"),
    rust!("searcher", "searcher.rs"),
    rust!("scorer", "scorer.rs"),
    js!("fusion", "fusion.js"),
    js!("decomposer", "decomposer.js"),
    js!("searcher", "searcher.js"),
    js!("scorer", "scorer.js"),
    python!("fusion", "fusion.py"),
    python!("decomposer", "decomposer.py"),
    python!("searcher", "searcher.py"),
    python!("scorer", "scorer.py"),
    template!(
        "ts", "fusion", "fusion.ts" as "extension.ts",
        "package.json" => text!("ts/package.json"),
        "tsconfig.json" => text!("ts/tsconfig.json"),
        "bindings/extension.d.ts" => bindings!("ts/extension.d.ts"),
    ),
    template!(
        "c", "fusion", "fusion.c" as "extension.c",
        "bindings/fusion.c" => bindings!("c/fusion.c"),
        "bindings/fusion.h" => bindings!("c/fusion.h"),
    ),
    template!(
        "zig", "fusion", "fusion.zig" as "extension.zig",
        "bindings/fusion.c" => bindings!("c/fusion.c"),
        "bindings/fusion.h" => bindings!("c/fusion.h"),
    ),
    template!(
        "go", "fusion", "fuse.go" as "export_wit_world/fuse.go",
        "export_routir_extension_manifest/describe.go" => text!("go/describe.go"),
        "go.mod" => bindings!("go/go.mod"),
        "wit_exports.go" => bindings!("go/wit_exports.go"),
        "wit_world/wit_bindings.go" => bindings!("go/wit_world/wit_bindings.go"),
        "wit_world/empty.s" => bindings!("go/wit_world/empty.s"),
        "routir_extension_types/wit_bindings.go" =>
            bindings!("go/routir_extension_types/wit_bindings.go"),
        "routir_extension_types/empty.s" => bindings!("go/routir_extension_types/empty.s"),
        "routir_extension_manifest/wit_bindings.go" =>
            bindings!("go/routir_extension_manifest/wit_bindings.go"),
        "routir_extension_manifest/empty.s" => bindings!("go/routir_extension_manifest/empty.s"),
        "routir_extension_candidates/wit_bindings.go" =>
            bindings!("go/routir_extension_candidates/wit_bindings.go"),
        "routir_extension_candidates/empty.s" =>
            bindings!("go/routir_extension_candidates/empty.s"),
        "routir_extension_log/wit_bindings.go" =>
            bindings!("go/routir_extension_log/wit_bindings.go"),
        "routir_extension_log/empty.s" => bindings!("go/routir_extension_log/empty.s"),
        "pkg/LICENSE" => bindings!("go/pkg/LICENSE"),
        "pkg/README.md" => bindings!("go/pkg/README.md"),
        "pkg/go.mod" => bindings!("go/pkg/go.mod"),
        "pkg/wit/runtime/runtime.go" => bindings!("go/pkg/wit/runtime/runtime.go"),
        "pkg/wit/types/option.go" => bindings!("go/pkg/wit/types/option.go"),
        "pkg/wit/types/result.go" => bindings!("go/pkg/wit/types/result.go"),
        "pkg/wit/types/tuple.go" => bindings!("go/pkg/wit/types/tuple.go"),
        "pkg/wit/types/unit.go" => bindings!("go/pkg/wit/types/unit.go"),
    ),
];
