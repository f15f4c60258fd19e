//! Python pickles of one flat dictionary, and of nothing else.
//!
//! A pickle is a program. This reader knows only the instructions that make a dictionary of strings
//! and whole numbers; whatever makes objects, calls functions or nests is refused, so a crafted
//! file can do no more than be an error.

use std::collections::HashMap;
use std::io::{BufRead, Read};
use std::sync::Arc;

/// The longest string, in bytes.
const MAX_STRING: u64 = 1 << 20;

/// How many values may wait to be put into the dictionary; Python writes a thousand at a time.
const MAX_STACK: usize = 1 << 20;

#[derive(Clone)]
enum Item {
    Dict,
    Mark,
    None,
    Text(Arc<str>),
}

/// Calls `each` with every key and value; whole numbers as decimals. A value `None` is passed over.
///
/// # Errors
/// Why `input` is not such a pickle.
pub(crate) fn read_dict(
    input: &mut dyn BufRead,
    each: &mut dyn FnMut(&Arc<str>, &Arc<str>),
) -> Result<(), String> {
    let mut reader = Reader {
        input,
        stack: Vec::new(),
        memo: HashMap::new(),
        dict: false,
    };
    while let Some(pairs) = reader.step()? {
        for pair in pairs.chunks(2) {
            match pair {
                [Item::Text(key), Item::Text(value)] => each(key, value),
                [Item::Text(_), Item::None] => {}
                _ => return Err("a key or value is neither a string nor a whole number".to_owned()),
            }
        }
    }
    match reader.stack.as_slice() {
        [Item::Dict] => Ok(()),
        _ => Err("it is not one dictionary".to_owned()),
    }
}

struct Reader<'r> {
    input: &'r mut dyn BufRead,
    stack: Vec<Item>,
    memo: HashMap<u32, Item>,
    /// Whether the dictionary has been made.
    dict: bool,
}

impl Reader<'_> {
    /// Carries out one instruction; gives what it puts into the dictionary, keys and values by
    /// turns, or `None` at the end.
    fn step(&mut self) -> Result<Option<Vec<Item>>, String> {
        let [code] = self.bytes()?;
        match code {
            // Protocol, frame: nothing to do.
            0x80 => drop(self.bytes::<1>()?),
            0x95 => drop(self.bytes::<8>()?),
            b'.' => return Ok(None),
            b'(' => self.push(Item::Mark)?,
            b'}' => self.make_dict()?,
            b'd' => {
                let pairs = self.pop_to_mark()?;
                self.make_dict()?;
                return Ok(Some(pairs));
            }
            b's' => {
                let pair = self.stack.split_off(self.stack.len().saturating_sub(2));
                return self.put_into_dict(pair);
            }
            b'u' => {
                let pairs = self.pop_to_mark()?;
                return self.put_into_dict(pairs);
            }
            b'N' => self.push(Item::None)?,
            b'J' => {
                let number = i32::from_le_bytes(self.bytes()?);
                self.push_number(number.into())?;
            }
            b'K' => {
                let [number] = self.bytes()?;
                self.push_number(number.into())?;
            }
            b'M' => {
                let number = u16::from_le_bytes(self.bytes()?);
                self.push_number(number.into())?;
            }
            0x8a => self.long()?,
            0x8c => {
                let [length] = self.bytes()?;
                self.string(length.into())?;
            }
            b'X' => {
                let length = u32::from_le_bytes(self.bytes()?);
                self.string(length.into())?;
            }
            0x8d => {
                let length = u64::from_le_bytes(self.bytes()?);
                self.string(length)?;
            }
            0x94 => {
                let next = u32::try_from(self.memo.len()).map_err(|_| "it is too large")?;
                self.remember(next)?;
            }
            b'q' => {
                let [at] = self.bytes()?;
                self.remember(at.into())?;
            }
            b'r' => {
                let at = u32::from_le_bytes(self.bytes()?);
                self.remember(at)?;
            }
            b'h' => {
                let [at] = self.bytes()?;
                self.recall(at.into())?;
            }
            b'j' => {
                let at = u32::from_le_bytes(self.bytes()?);
                self.recall(at)?;
            }
            other => {
                return Err(format!(
                    "instruction 0x{other:02x} is not one of a plain dictionary of strings and \
                     whole numbers; save `dict(mapping)` with pickle protocol 2 or later, or as \
                     JSON"
                ));
            }
        }
        Ok(Some(Vec::new()))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.input
            .read_exact(&mut bytes)
            .map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn push(&mut self, item: Item) -> Result<(), String> {
        if self.stack.len() >= MAX_STACK {
            return Err("too many values wait to be put into the dictionary".to_owned());
        }
        self.stack.push(item);
        Ok(())
    }

    fn push_number(&mut self, number: i128) -> Result<(), String> {
        self.push(Item::Text(number.to_string().into()))
    }

    fn make_dict(&mut self) -> Result<(), String> {
        if std::mem::replace(&mut self.dict, true) {
            return Err("there is a dictionary in the dictionary".to_owned());
        }
        self.push(Item::Dict)
    }

    /// What lies above the last mark.
    fn pop_to_mark(&mut self) -> Result<Vec<Item>, String> {
        let mark = self
            .stack
            .iter()
            .rposition(|item| matches!(item, Item::Mark));
        let mark = mark.ok_or("a mark is missing")?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn put_into_dict(&self, pairs: Vec<Item>) -> Result<Option<Vec<Item>>, String> {
        match self.stack.last() {
            Some(Item::Dict) => Ok(Some(pairs)),
            _ => Err("something is not put into the dictionary".to_owned()),
        }
    }

    fn string(&mut self, length: u64) -> Result<(), String> {
        if length > MAX_STRING {
            return Err(format!(
                "a string has {length} bytes, more than {MAX_STRING}"
            ));
        }
        let mut bytes = Vec::new();
        self.input
            .take(length)
            .read_to_end(&mut bytes)
            .map_err(|error| error.to_string())?;
        if bytes.len() as u64 != length {
            return Err("it is cut off".to_owned());
        }
        let text = String::from_utf8(bytes).map_err(|_| "a string is not valid UTF-8")?;
        self.push(Item::Text(text.into()))
    }

    /// A whole number of up to 128 bits.
    fn long(&mut self) -> Result<(), String> {
        let [length] = self.bytes()?;
        if length > 16 {
            return Err("a number has more than 128 bits".to_owned());
        }
        let mut bytes = vec![0; length.into()];
        self.input
            .read_exact(&mut bytes)
            .map_err(|error| error.to_string())?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let start = if negative { -1 } else { 0 };
        let number = bytes
            .iter()
            .rev()
            .fold(start, |n: i128, &byte| n << 8 | i128::from(byte));
        self.push_number(number)
    }

    fn remember(&mut self, at: u32) -> Result<(), String> {
        let item = self.stack.last().ok_or("there is nothing to remember")?;
        self.memo.insert(at, item.clone());
        Ok(())
    }

    fn recall(&mut self, at: u32) -> Result<(), String> {
        match self.memo.get(&at) {
            Some(Item::Text(text)) => self.push(Item::Text(Arc::clone(text))),
            _ => Err("it refers to something that is not there".to_owned()),
        }
    }
}
