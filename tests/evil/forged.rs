//! Guests with a manifest of any bytes whatever.

use std::fmt::Write;

use crate::wrap;

/// What `describe` answers, as bytes: nothing says that it is text.
#[derive(Clone)]
pub(crate) struct Forged {
    pub(crate) name: Vec<u8>,
    pub(crate) version: Vec<u8>,
    pub(crate) description: Vec<u8>,
    pub(crate) params: Option<Vec<Param>>,
}

/// One of its parameters.
#[derive(Clone)]
pub(crate) struct Param {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) default: Option<Vec<u8>>,
    pub(crate) description: Vec<u8>,
}

impl Forged {
    /// A manifest with nothing wrong in it.
    pub(crate) fn honest() -> Self {
        Self {
            name: b"evil".to_vec(),
            version: b"0.1.0".to_vec(),
            description: b"hostile".to_vec(),
            params: None,
        }
    }

    /// A fusion that says this of itself.
    pub(crate) fn component(&self) -> Vec<u8> {
        let mut memory = Memory(vec![0; 4096]);
        let mut record = Vec::new();
        for text in [&self.name, &self.version, &self.description] {
            memory.put_list(&mut record, text, text.len());
        }
        match &self.params {
            None => record.extend([0; 12]),
            Some(params) => {
                record.extend(1_u32.to_le_bytes());
                let mut rows = Vec::new();
                for param in params {
                    memory.put_list(&mut rows, &param.name, param.name.len());
                    rows.extend(u32::from(param.kind).to_le_bytes());
                    let default = param.default.as_deref();
                    rows.extend(u32::from(default.is_some()).to_le_bytes());
                    let default = default.unwrap_or_default();
                    memory.put_list(&mut rows, default, default.len());
                    memory.put_list(&mut rows, &param.description, param.description.len());
                }
                memory.put_list(&mut record, &rows, params.len());
            }
        }
        let at = memory.put(&record);
        wrap::component_of(&self.text(&memory.0, at))
    }

    fn text(&self, memory: &[u8], at: usize) -> String {
        let data = memory.iter().fold(String::new(), |mut all, byte| {
            write!(all, "\\{byte:02x}").unwrap();
            all
        });
        let pages = memory.len() / 65536 + 2;
        let heap = pages * 65536;
        let (_, fuse) = wrap::text("good").split_once("\n\n").map(owned).unwrap();
        let realloc =
            wrap::part("realloc").replace("(i32.const 4096)", &format!("(i32.const {heap})"));
        format!(
            ";; world: fusion\n;; parts: answer scores\n\n\
             (memory (export \"memory\") {pages})\n(data (i32.const 0) \"{data}\")\n\
             (func (export \"routir:extension/manifest@0.1.0#describe\") (result i32)\n  \
             (i32.const {at}))\n{fuse}\n{realloc}"
        )
    }
}

fn owned((head, tail): (&str, &str)) -> (String, String) {
    (head.to_owned(), tail.to_owned())
}

/// What will lie in the guest's memory, from address 0.
struct Memory(Vec<u8>);

impl Memory {
    fn put(&mut self, bytes: &[u8]) -> usize {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        let at = self.0.len();
        self.0.extend(bytes);
        at
    }

    fn put_list(&mut self, record: &mut Vec<u8>, bytes: &[u8], count: usize) {
        let at = self.put(bytes);
        record.extend((at as u32).to_le_bytes());
        record.extend((count as u32).to_le_bytes());
    }
}
