//! The pickle around vectors and ids, byte by byte as numpy's own loader wants it.
//!
//! ```text
//! array(object, shape ())                     numpy.core.multiarray._reconstruct
//!   └ {'features': array(float, (rows, dim))  _reconstruct, then the numbers as one byte string
//!      'ids': [str, ...]}
//! ```
//!
//! The number of rows and the length of the byte string stand at fixed places, so that they can be
//! written when all rows have been. The names are those of numpy 1, which numpy 2 understands too.

use crate::element::Element;
use crate::ids::IdList;

/// What stands before the numbers, with the places that are written again at the end.
pub(crate) struct Layout {
    /// The bytes.
    pub(crate) prologue: Vec<u8>,
    /// Where the number of rows stands: eight bytes.
    pub(crate) rows_at: usize,
    /// Where the length of the numbers in bytes stands: eight bytes.
    pub(crate) length_at: usize,
}

/// What stands before the numbers of `dim` numbers a row.
pub(crate) fn layout(element: Element, dim: usize) -> Layout {
    let mut it = Writer(Vec::new());
    // Protocol 4, without frames, which are only there to read faster.
    it.raw(&[0x80, 4]);
    it.empty_array();
    // State: version, shape, type, whether Fortran's order, content; `(`…`t` around.
    it.raw(b"(K\x01)");
    it.dtype("O8", "|", &[0x3f]);
    it.raw(&[0x89]);
    it.raw(b"](}(");
    it.text("features");
    it.empty_array();
    it.raw(b"(K\x01");
    let rows_at = it.long(0);
    it.long(dim as u64);
    it.raw(&[0x86]);
    it.dtype(element.numpy().unwrap_or("f4"), "<", &[0]);
    it.raw(&[0x89, 0x8e]);
    let length_at = it.0.len();
    it.raw(&[0; 8]);
    Layout {
        prologue: it.0,
        rows_at,
        length_at,
    }
}

/// What stands behind the numbers.
pub(crate) fn epilogue(ids: &IdList) -> Vec<u8> {
    let mut it = Writer(Vec::new());
    // The array's state is whole.
    it.raw(b"tb");
    it.text("ids");
    it.raw(b"]");
    let mut at = 0;
    while at < ids.len() {
        it.raw(b"(");
        // As many at a time as Python puts on its stack.
        for _ in 0..1000 {
            match ids.get(at) {
                Some(id) => it.text(id),
                None => break,
            }
            at += 1;
        }
        it.raw(b"e");
    }
    // The dictionary, the list around it, the outer array's state.
    it.raw(b"uetb.");
    it.0
}

struct Writer(Vec<u8>);

impl Writer {
    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// `_reconstruct(ndarray, (0,), b'b')`.
    fn empty_array(&mut self) {
        self.raw(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R");
    }

    /// `dtype(name, False, True)` with this byte order; `flags` end its state.
    fn dtype(&mut self, name: &str, order: &str, flags: &[u8; 1]) {
        self.raw(b"cnumpy\ndtype\n");
        self.text(name);
        self.raw(&[0x89, 0x88, 0x87, b'R']);
        self.raw(b"(K\x03");
        self.text(order);
        self.raw(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK");
        self.raw(flags);
        self.raw(b"tb");
    }

    fn text(&mut self, text: &str) {
        match u8::try_from(text.len()) {
            Ok(length) => self.raw(&[0x8c, length]),
            Err(_) => {
                self.raw(&[0x8d]);
                self.raw(&(text.len() as u64).to_le_bytes());
            }
        }
        self.raw(text.as_bytes());
    }

    /// A whole number in eight bytes; where they stand.
    fn long(&mut self, number: u64) -> usize {
        self.raw(&[0x8a, 8]);
        let at = self.0.len();
        self.raw(&number.to_le_bytes());
        at
    }
}
