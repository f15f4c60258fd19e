//! The example guests, and what each is made of.

/// The language of a guest or a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lang {
    /// Rust, with wit-bindgen.
    Rust,
    /// C, compiled by Zig's compiler.
    C,
    /// Zig, over the bindings of C.
    Zig,
    /// Go, which needs WASI.
    Go,
    /// JavaScript, in QuickJS.
    Js,
    /// TypeScript, in QuickJS.
    Ts,
    /// Python, in CPython.
    Python,
}

impl Lang {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Rust,
        Self::C,
        Self::Zig,
        Self::Go,
        Self::Js,
        Self::Ts,
        Self::Python,
    ];

    /// The name that users write.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Zig => "zig",
            Self::Go => "go",
            Self::Js => "js",
            Self::Ts => "ts",
            Self::Python => "python",
        }
    }

    /// The language of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lang| lang.name() == name)
    }
}

/// An example guest: a folder under `guests/`, built into `target/guests/<name>.wasm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Its folder's name, which its manifest states too.
    pub name: &'static str,
    /// What it is written in.
    pub lang: Lang,
    /// The world that it exports.
    pub world: &'static str,
}

const fn guest(name: &'static str, lang: Lang, world: &'static str) -> Guest {
    Guest { name, lang, world }
}

static GUESTS: [Guest; 11] = [
    guest("rrf-rust", Lang::Rust, "fusion"),
    guest("rrf-c", Lang::C, "fusion"),
    guest("rrf-zig", Lang::Zig, "fusion"),
    guest("rrf-go", Lang::Go, "fusion"),
    guest("rrf-js", Lang::Js, "fusion"),
    guest("rrf-ts", Lang::Ts, "fusion"),
    guest("rrf-python", Lang::Python, "fusion"),
    guest("learned-fusion", Lang::Rust, "fusion"),
    guest("rules-decomposer", Lang::Ts, "decomposer"),
    guest("prf-decomposer", Lang::Python, "decomposer"),
    guest("two-stage-engine", Lang::Rust, "searcher"),
];

/// All example guests.
#[must_use]
pub fn guests() -> &'static [Guest] {
    &GUESTS
}

impl Guest {
    /// The guest of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        guests().iter().copied().find(|guest| guest.name == name)
    }
}
