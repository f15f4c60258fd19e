//! Guests as core modules in text, made components.

use std::fmt::Write;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where `describe` answers from; its texts follow.
const INFO: usize = 256;

/// A guest of one world.
#[derive(Clone)]
pub(crate) struct Guest {
    world: &'static str,
    imports: String,
    body: String,
    version: &'static str,
    params: Option<Vec<(&'static str, u8, Option<&'static str>)>>,
    describe: Option<&'static str>,
}

impl Guest {
    /// A guest of `world` with the fields `body` in its module, beside those of [`PRELUDE`].
    pub(crate) fn new(world: &'static str, body: &str) -> Self {
        Self {
            world,
            imports: String::new(),
            body: body.to_owned(),
            version: "1.0.0",
            params: None,
            describe: None,
        }
    }

    /// A fusion whose function is `body`; it has the locals of [`FUSE`].
    pub(crate) fn fusion(body: &str) -> Self {
        Self::new("fusion", &format!("{FUSE}\n{body})"))
    }

    /// A fusion that answers these scores.
    pub(crate) fn answers(scores: &[f64]) -> Self {
        let mut body = format!(
            "(local.set $out (call $alloc (i32.const {})))",
            8 * scores.len()
        );
        for (n, score) in scores.iter().enumerate() {
            let bits = score.to_bits() as i64;
            let at = 8 * n;
            writeln!(
                body,
                "(i64.store offset={at} (local.get $out) (i64.const {bits}))"
            )
            .unwrap();
        }
        writeln!(
            body,
            "(call $ok (local.get $out) (i32.const {}))",
            scores.len()
        )
        .unwrap();
        Self::fusion(&body)
    }

    /// Reciprocal rank fusion with the parameter `k`, which the manifest gives a default.
    pub(crate) fn rrf() -> Self {
        Self::fusion(RRF).params(vec![("k", 1, Some("60"))])
    }

    /// The first letters of a searcher's query say which way its answer is wrong.
    pub(crate) fn searcher(body: &str) -> Self {
        let head = "(func (export \"search\") (param $q i32) (param $ql i32) (param $limit i32)
            (param $p i32) (param $pl i32) (result i32) (local $out i32)";
        Self::new("searcher", &format!("{head}\n{body})"))
    }

    /// Imports, before everything else of the module.
    pub(crate) fn imports(mut self, imports: &str) -> Self {
        self.imports = imports.to_owned();
        self
    }

    /// Further fields of the module, such as data.
    pub(crate) fn data(mut self, fields: &str) -> Self {
        self.body.push_str(fields);
        self
    }

    pub(crate) fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// Parameters: name, kind as the ABI numbers it, default.
    pub(crate) fn params(mut self, params: Vec<(&'static str, u8, Option<&'static str>)>) -> Self {
        self.params = Some(params);
        self
    }

    /// What `describe` does before it answers.
    pub(crate) fn describe(mut self, body: &'static str) -> Self {
        self.describe = Some(body);
        self
    }

    pub(crate) fn component(&self) -> Vec<u8> {
        let text = format!(
            "(module {}\n{PRELUDE}\n{}\n(func (export \"routir:extension/manifest@0.1.0#describe\") \
             (result i32)\n{}\n(i32.const {INFO}))\n{})",
            self.imports,
            self.info(),
            self.describe.unwrap_or_default(),
            self.body
        );
        let core = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        component(self.world, core)
    }

    /// The data that `describe` answers.
    fn info(&self) -> String {
        let mut heap = Heap::default();
        let mut info = vec![0_u8; 36];
        heap.text(&mut info, 0, "test");
        heap.text(&mut info, 8, self.version);
        heap.text(&mut info, 16, "A test.");
        if let Some(params) = &self.params {
            let mut records = vec![0_u8; 32 * params.len()];
            for (record, (name, kind, default)) in records.chunks_mut(32).zip(params) {
                heap.text(record, 0, name);
                record[8] = *kind;
                if let Some(default) = default {
                    record[12] = 1;
                    heap.text(record, 16, default);
                }
                heap.text(record, 24, "Does something.");
            }
            info[24] = 1;
            heap.bytes(&mut info, 28, &records, params.len());
        }
        let data: String = [info, heap.0]
            .concat()
            .iter()
            .fold(String::new(), |mut data, byte| {
                write!(data, "\\{byte:02x}").unwrap();
                data
            });
        format!("(data (i32.const {INFO}) \"{data}\")")
    }
}

/// Makes a component of a core module that was written for `world`.
pub(crate) fn component(world: &str, mut core: Vec<u8>) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/since_v0.1.0");
    let (package, _) = resolve.push_dir(wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    let encoder = ComponentEncoder::default().module(&core);
    encoder
        .unwrap()
        .encode()
        .unwrap_or_else(|error| panic!("{error:#}"))
}

/// What lies behind the info record.
#[derive(Default)]
struct Heap(Vec<u8>);

impl Heap {
    fn text(&mut self, record: &mut [u8], at: usize, text: &str) {
        self.bytes(record, at, text.as_bytes(), text.len());
    }

    fn bytes(&mut self, record: &mut [u8], at: usize, bytes: &[u8], count: usize) {
        while !self.0.len().is_multiple_of(4) {
            self.0.push(0);
        }
        let place = (INFO + 36 + self.0.len()) as u32;
        record[at..at + 4].copy_from_slice(&place.to_le_bytes());
        record[at + 4..at + 8].copy_from_slice(&(count as u32).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }
}

/// Memory, an allocator that never frees, and answers.
pub(crate) const PRELUDE: &str = r#"
(memory (export "memory") 1)
(global $top (mut i32) (i32.const 16384))
(func $alloc (param $n i32) (result i32) (local $at i32)
  (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
  (global.set $top (i32.add (local.get $at) (local.get $n)))
  (if (i32.gt_u (global.get $top) (i32.shl (memory.size) (i32.const 16)))
    (then (if (i32.eq (i32.const -1) (memory.grow (i32.sub
        (i32.shr_u (i32.add (global.get $top) (i32.const 65535)) (i32.const 16))
        (memory.size))))
      (then (unreachable)))))
  (local.get $at))
(func (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $n i32)
    (result i32) (local $at i32)
  (local.set $at (call $alloc (local.get $n)))
  (memory.copy (local.get $at) (local.get $old) (local.get $size))
  (local.get $at))
;; Answers a list.
(func $ok (param $list i32) (param $len i32) (result i32) (local $at i32)
  (local.set $at (call $alloc (i32.const 24)))
  (i32.store offset=4 (local.get $at) (local.get $list))
  (i32.store offset=8 (local.get $at) (local.get $len))
  (local.get $at))
;; Answers hits: ids and scores of one length.
(func $hits (param $ids i32) (param $scores i32) (param $len i32) (result i32) (local $at i32)
  (local.set $at (call $ok (local.get $ids) (local.get $len)))
  (i32.store offset=12 (local.get $at) (local.get $scores))
  (i32.store offset=16 (local.get $at) (local.get $len))
  (local.get $at))
;; Answers an error of the kind that the ABI numbers so.
(func $error (param $kind i32) (param $text i32) (param $len i32) (result i32) (local $at i32)
  (local.set $at (call $alloc (i32.const 24)))
  (i32.store8 (local.get $at) (i32.const 1))
  (i32.store8 offset=4 (local.get $at) (local.get $kind))
  (i32.store offset=8 (local.get $at) (local.get $text))
  (i32.store offset=12 (local.get $at) (local.get $len))
  (local.get $at))
"#;

/// The head of `fuse`.
const FUSE: &str = r#"(func (export "fuse") (param $q i32) (param $ql i32) (param $lists i32)
  (param $count i32) (param $docs i32) (param $p i32) (param $pl i32) (result i32)
  (local $out i32) (local $n i32) (local $m i32) (local $list i32) (local $at i32) (local $k f64)"#;

const RRF: &str = r#"
(local.set $k (f64.load offset=16 (local.get $p)))
(local.set $out (call $alloc (i32.mul (local.get $docs) (i32.const 8))))
(block $done (loop $lists
  (br_if $done (i32.eq (local.get $n) (local.get $count)))
  (local.set $list (i32.add (local.get $lists) (i32.mul (local.get $n) (i32.const 32))))
  (local.set $m (i32.const 0))
  (block $end (loop $hits
    (br_if $end (i32.eq (local.get $m) (i32.load offset=20 (local.get $list))))
    (local.set $at (i32.add (local.get $out) (i32.mul (i32.const 8)
      (i32.load (i32.add (i32.load offset=16 (local.get $list))
        (i32.mul (local.get $m) (i32.const 4)))))))
    (local.set $m (i32.add (local.get $m) (i32.const 1)))
    (f64.store (local.get $at) (f64.add (f64.load (local.get $at))
      (f64.div (f64.const 1) (f64.add (local.get $k)
        (f64.convert_i32_u (local.get $m))))))
    (br $hits)))
  (local.set $n (i32.add (local.get $n) (i32.const 1)))
  (br $lists)))
(call $ok (local.get $out) (local.get $docs))"#;
