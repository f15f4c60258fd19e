//! The head of a `.npy` file: numpy's format 1.0 to 3.0, read strictly.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>. Six bytes of
//! magic, two of version, the header's length, and as header a Python dictionary with the keys
//! `descr`, `fortran_order` and `shape`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::element::Element;

/// The first bytes of every `.npy` file.
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header that is read, in bytes; numpy itself stops at 10,000.
const MAX_HEADER: usize = 64 << 10;

/// The length of the head that is written, in bytes: room for any number of rows, so that it can
/// be written again at the end, and a multiple of 64, as numpy aligns the numbers.
pub(crate) const HEAD_BYTES: u64 = 128;

/// What a file's head says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The type as numpy writes it, such as `<f4` or `|O`.
    pub(crate) descr: String,
    /// Whether columns follow each other instead of rows.
    pub(crate) fortran_order: bool,
    /// How many there are along each dimension.
    pub(crate) shape: Vec<u64>,
    /// Where the data starts, in bytes.
    pub(crate) data: u64,
}

/// Reads the head of `file`.
///
/// # Errors
/// Why it is none.
pub(crate) fn read_head(file: &File) -> Result<Head, String> {
    let cut = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is cut off in its header".to_owned(),
        _ => error.to_string(),
    };
    let mut start = [0; 12];
    file.read_exact_at(&mut start, 0).map_err(cut)?;
    let [m0, m1, m2, m3, m4, m5, major, _, l0, l1, l2, l3] = start;
    if [m0, m1, m2, m3, m4, m5] != *MAGIC {
        return Err("it is no `.npy` file".to_owned());
    }
    let (length, at) = match major {
        1 => (usize::from(u16::from_le_bytes([l0, l1])), 10),
        2 | 3 => (u32::from_le_bytes([l0, l1, l2, l3]) as usize, 12),
        _ => return Err(format!("version {major} of the `.npy` format is not known")),
    };
    if length > MAX_HEADER {
        return Err(format!(
            "its header has {length} bytes, more than {MAX_HEADER}"
        ));
    }
    let mut header = vec![0; length];
    file.read_exact_at(&mut header, at).map_err(cut)?;
    let header = std::str::from_utf8(&header).map_err(|_| "its header is no text".to_owned())?;
    let mut head = parse(header).map_err(|why| format!("its header {why}: {:?}", shown(header)))?;
    head.data = at + length as u64;
    Ok(head)
}

fn shown(header: &str) -> String {
    header.trim_end().chars().take(200).collect()
}

/// The element type of `descr`.
///
/// # Errors
/// Why it cannot be read.
pub(crate) fn element(descr: &str) -> Result<Element, String> {
    let advice = "; save it with `.astype('<f4')`";
    let (order, name) = match descr.as_bytes().first() {
        Some(b'<' | b'>' | b'=' | b'|') => descr.split_at(1),
        _ => ("=", descr),
    };
    match Element::from_numpy(name) {
        Some(_) if order == ">" => Err(format!("its numbers are big-endian (`{descr}`){advice}")),
        Some(element) => Ok(element),
        None => Err(format!(
            "its numbers are of type `{descr}`; f2, f4 and f8 can be read{advice}"
        )),
    }
}

/// The head of a matrix in C order, [`HEAD_BYTES`] long.
pub(crate) fn head(element: &str, shape: Option<(u64, usize)>) -> Vec<u8> {
    let shape = shape.map_or_else(|| "()".to_owned(), |(rows, dim)| format!("({rows}, {dim})"));
    let mut header =
        format!("{{'descr': '{element}', 'fortran_order': False, 'shape': {shape}, }}");
    let room = HEAD_BYTES as usize - 10;
    while header.len() + 1 < room {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "two numbers and three names have less than 118 characters"
    )]
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.into_bytes());
    bytes
}

fn parse(header: &str) -> Result<Head, &'static str> {
    let mut literal = Literal(header);
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    literal.expect('{')?;
    while !literal.eat('}') {
        let key = literal.string()?;
        literal.expect(':')?;
        match key {
            "descr" if literal.0.trim_start().starts_with('[') => {
                return Err("describes records, not numbers");
            }
            "descr" => descr = Some(literal.string()?.to_owned()),
            "fortran_order" => fortran_order = Some(literal.boolean()?),
            "shape" => shape = Some(literal.numbers()?),
            _ => return Err("has a key that is not known"),
        }
        if !literal.eat(',') {
            literal.expect('}')?;
            break;
        }
    }
    if !literal.0.trim().is_empty() {
        return Err("goes on after its end");
    }
    match (descr, fortran_order, shape) {
        (Some(descr), Some(fortran_order), Some(shape)) => Ok(Head {
            descr,
            fortran_order,
            shape,
            data: 0,
        }),
        _ => Err("lacks one of `descr`, `fortran_order`, `shape`"),
    }
}

/// The rest of a Python literal.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    fn eat(&mut self, sign: char) -> bool {
        match self.0.trim_start().strip_prefix(sign) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, sign: char) -> Result<(), &'static str> {
        if self.eat(sign) {
            Ok(())
        } else {
            Err("is not the dictionary that it should be")
        }
    }

    fn string(&mut self) -> Result<&'a str, &'static str> {
        const WRONG: &str = "has something else where a string should be";
        let rest = self.0.trim_start();
        let quote = rest.chars().next().filter(|it| matches!(it, '\'' | '"'));
        let quote = quote.ok_or(WRONG)?;
        let (text, rest) = rest
            .strip_prefix(quote)
            .and_then(|rest| rest.split_once(quote))
            .ok_or(WRONG)?;
        if text.contains('\\') {
            return Err(WRONG);
        }
        self.0 = rest;
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, &'static str> {
        let rest = self.0.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = rest.strip_prefix(word) {
                self.0 = rest;
                return Ok(value);
            }
        }
        Err("has something else where True or False should be")
    }

    fn numbers(&mut self) -> Result<Vec<u64>, &'static str> {
        const WRONG: &str = "has something else where a shape should be";
        let mut numbers = Vec::new();
        self.expect('(').map_err(|_| WRONG)?;
        while !self.eat(')') {
            let rest = self.0.trim_start();
            let end = rest
                .find(|it: char| !it.is_ascii_digit())
                .unwrap_or(rest.len());
            let (digits, rest) = rest.split_at(end);
            numbers.push(digits.parse().map_err(|_| WRONG)?);
            // Python 2 wrote long numbers so.
            self.0 = rest.strip_prefix('L').unwrap_or(rest);
            if !self.eat(',') {
                self.expect(')').map_err(|_| WRONG)?;
                break;
            }
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn heads_of_numpy_are_understood_and_others_are_not() {
        for (text, descr, fortran, shape) in [
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n",
                "<f4",
                false,
                vec![3, 4],
            ),
            (
                "{\"shape\":(7,),\"descr\":\"|O\",\"fortran_order\":True}",
                "|O",
                true,
                vec![7],
            ),
            (
                "{'descr': '<f8', 'fortran_order': False, 'shape': (3L, 4L), }",
                "<f8",
                false,
                vec![3, 4],
            ),
            (
                "{'descr': '|O', 'fortran_order': False, 'shape': (), }",
                "|O",
                false,
                vec![],
            ),
        ] {
            let head = parse(text).unwrap();
            assert_eq!(
                (head.descr.as_str(), head.fortran_order, head.shape),
                (descr, fortran, shape)
            );
        }
        for bad in [
            "",
            "{}",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 4)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 4)}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (3, 4)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3 4)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4)} + 1",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), 'more': 1}",
            "{'descr': '<f4",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_are_little_endian_floats() {
        assert_eq!(element("<f2"), Ok(Element::F16));
        assert_eq!(element("=f8"), Ok(Element::F64));
        assert!(element(">f4").unwrap_err().contains("big-endian"));
        for other in ["<i4", "<f16", "|u1", "<c8", "f", ""] {
            assert!(element(other).unwrap_err().contains("astype"), "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_always_as_long(rows: u64, dim in 1_usize..1_000_000) {
            let head = head("<f4", Some((rows, dim)));
            prop_assert_eq!(head.len() as u64, HEAD_BYTES);
            let read = parse(std::str::from_utf8(&head[10..]).unwrap()).unwrap();
            prop_assert_eq!(read.shape, vec![rows, dim as u64]);
        }

        #[test]
        fn no_text_does_harm(text in "\\PC{0,80}", around in "[{}()',:' 0-9A-Za-z]{0,80}") {
            let _ = parse(&text);
            let _ = parse(&around);
        }
    }
}
