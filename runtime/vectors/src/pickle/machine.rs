//! The instructions of a pickle that are carried out, and no others.
//!
//! Format: Python's `pickletools` and PEP 3154, PEP 574.

use super::heap::{Blob, Heap, Value};
use super::input::Input;
use super::numpy;
use crate::ids::MAX_ID_BYTES;

/// How many values may wait on the stack; Python writes a thousand at a time.
const MAX_STACK: usize = 1 << 20;

/// The most items of a tuple and entries of a dictionary: what is read has ten at most.
const MAX_SMALL: usize = 1024;

/// The longest name, in bytes.
const MAX_NAME: usize = 256;

/// Runs the pickle at `input` to its end; its values and the one that it is.
///
/// # Errors
/// Why it is refused.
pub(super) fn run(input: &mut Input<'_>) -> Result<(Heap, Value), String> {
    let mut machine = Machine {
        input,
        heap: Heap::default(),
        stack: Vec::new(),
        memo: Vec::new(),
    };
    while machine.step()? {}
    match machine.stack.as_slice() {
        [root] => Ok((machine.heap, *root)),
        _ => Err("it does not end with one value".to_owned()),
    }
}

struct Machine<'i, 'f> {
    input: &'i mut Input<'f>,
    heap: Heap,
    stack: Vec<Value>,
    memo: Vec<Value>,
}

impl Machine<'_, '_> {
    /// Carries out one instruction; whether there are more.
    fn step(&mut self) -> Result<bool, String> {
        let place = self.input.position();
        let [code] = self.input.bytes()?;
        match code {
            b'.' => return Ok(false),
            // Protocol, frame: nothing to do.
            0x80 => self.protocol()?,
            0x95 => drop(self.input.bytes::<8>()?),
            b'(' => self.push(Value::Mark)?,
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'J' | b'K' | b'M' | 0x8a => self.number(code)?,
            b'G' => {
                self.input.skip(8)?;
                self.push(Value::Float)?;
            }
            0x8c | b'X' | 0x8d => self.text(code)?,
            b'C' | b'B' | 0x8e | 0x96 => self.blob(code)?,
            b'}' | b']' | b')' | b't' | 0x85 | 0x86 | 0x87 => self.container(code)?,
            b'a' | b'e' => self.append(code)?,
            b's' | b'u' => self.set_items(code)?,
            b'c' | 0x93 => self.global(code)?,
            b'R' => {
                let (args, function) = (self.pop()?, self.pop()?);
                let value = numpy::call(&mut self.heap, function, args, self.input.file())?;
                self.push(value)?;
            }
            b'b' => {
                let (state, object) = (self.pop()?, self.pop()?);
                numpy::build(&mut self.heap, object, state)?;
                self.push(object)?;
            }
            0x94 | b'q' | b'r' => self.remember(code)?,
            b'h' | b'j' => self.recall(code)?,
            other => {
                return Err(format!(
                    "instruction 0x{other:02x} at byte {place} is not one that numpy.save makes \
                     for `{{'features': array, 'ids': list}}`"
                ));
            }
        }
        Ok(true)
    }

    fn protocol(&mut self) -> Result<(), String> {
        match self.input.bytes()? {
            [2..=5] => Ok(()),
            [other] => Err(format!(
                "it is of pickle protocol {other}; 2 to 5 can be read"
            )),
        }
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        if self.stack.len() >= MAX_STACK {
            return Err("too many values wait to be put into something".to_owned());
        }
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, String> {
        let value = self.stack.pop();
        value.ok_or_else(|| "it takes a value that is not there".to_owned())
    }

    /// What lies above the last mark.
    fn pop_to_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.stack.iter().rposition(|it| *it == Value::Mark);
        let mark = mark.ok_or("a mark is missing")?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    /// The last `count` values.
    fn pop_some(&mut self, count: usize) -> Result<Vec<Value>, String> {
        let start = self.stack.len().checked_sub(count);
        let start = start.ok_or("it takes values that are not there")?;
        Ok(self.stack.split_off(start))
    }

    fn number(&mut self, code: u8) -> Result<(), String> {
        let number = match code {
            b'J' => i32::from_le_bytes(self.input.bytes()?).into(),
            b'K' => u8::from_le_bytes(self.input.bytes()?).into(),
            b'M' => u16::from_le_bytes(self.input.bytes()?).into(),
            _ => return self.long(),
        };
        self.push(Value::Int(number))
    }

    /// A whole number of up to 128 bits; what 64 cannot hold can only be an id, so it is text.
    fn long(&mut self) -> Result<(), String> {
        let [length] = self.input.bytes()?;
        if length > 16 {
            return Err("a number has more than 128 bits".to_owned());
        }
        let bytes = self.input.take(length.into())?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let start = if negative { -1 } else { 0 };
        let digits = bytes.iter().rev();
        let number = digits.fold(start, |n: i128, &byte| n << 8 | i128::from(byte));
        let value = match i64::try_from(number) {
            Ok(number) => Value::Int(number),
            Err(_) => self.heap.text(&number.to_string())?,
        };
        self.push(value)
    }

    fn length(&mut self, code: u8) -> Result<u64, String> {
        Ok(match code {
            0x8c | b'C' => u8::from_le_bytes(self.input.bytes()?).into(),
            b'X' | b'B' => u32::from_le_bytes(self.input.bytes()?).into(),
            _ => u64::from_le_bytes(self.input.bytes()?),
        })
    }

    fn text(&mut self, code: u8) -> Result<(), String> {
        let length = self.length(code)?;
        let value = match usize::try_from(length) {
            Ok(length) if length <= MAX_ID_BYTES => {
                let bytes = self.input.take(length)?;
                let text = std::str::from_utf8(&bytes).map_err(|_| "a string is not UTF-8")?;
                self.heap.text(text)?
            }
            _ => Value::LongText(self.pass_over(length)?),
        };
        self.push(value)
    }

    fn blob(&mut self, code: u8) -> Result<(), String> {
        let length = self.length(code)?;
        let blob = self.pass_over(length)?;
        self.push(Value::Bytes(blob))
    }

    /// Leaves `length` bytes in the file.
    fn pass_over(&mut self, length: u64) -> Result<u32, String> {
        let offset = self.input.position();
        self.input.skip(length)?;
        self.heap.blobs.add(Blob::At { offset, length })
    }

    fn container(&mut self, code: u8) -> Result<(), String> {
        let value = match code {
            b'}' => Value::Dict(self.heap.dicts.add(Vec::new())?),
            b']' => Value::List(self.heap.lists.add(Vec::new())?),
            _ => {
                let items = match code {
                    b')' => Vec::new(),
                    b't' => self.pop_to_mark()?,
                    _ => self.pop_some(usize::from(code - 0x84))?,
                };
                if items.len() > MAX_SMALL {
                    return Err("a tuple in it is too long; make `ids` a list".to_owned());
                }
                Value::Tuple(self.heap.tuples.add(items)?)
            }
        };
        self.push(value)
    }

    fn append(&mut self, code: u8) -> Result<(), String> {
        let items = match code {
            b'a' => vec![self.pop()?],
            _ => self.pop_to_mark()?,
        };
        match self.stack.last() {
            Some(&Value::List(number)) => {
                let list = self.heap.lists.get_mut(number);
                list.ok_or("a list is missing")?.extend(items);
                Ok(())
            }
            _ => Err("it appends to something that is no list".to_owned()),
        }
    }

    fn set_items(&mut self, code: u8) -> Result<(), String> {
        let items = match code {
            b's' => self.pop_some(2)?,
            _ => self.pop_to_mark()?,
        };
        let Some(&Value::Dict(number)) = self.stack.last() else {
            return Err("it puts a value into something that is no dictionary".to_owned());
        };
        let dict = self.heap.dicts.get_mut(number);
        let dict = dict.ok_or("a dictionary is missing")?;
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err("a key in it has no value".to_owned());
        };
        if dict.len() + pairs.len() > MAX_SMALL {
            return Err(format!(
                "a dictionary in it has more than {MAX_SMALL} keys; only `features` and `ids` are \
                 needed"
            ));
        }
        dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }

    fn global(&mut self, code: u8) -> Result<(), String> {
        let value = if code == b'c' {
            let module = self.input.line(MAX_NAME)?;
            let name = self.input.line(MAX_NAME)?;
            numpy::global(&module, &name)?
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            let text = |value| self.heap.as_text(value).ok_or("a name in it is no string");
            numpy::global(text(module)?, text(name)?)?
        };
        self.push(Value::Global(value))
    }

    fn remember(&mut self, code: u8) -> Result<(), String> {
        let last = self.stack.last().filter(|it| **it != Value::Mark);
        let value = *last.ok_or("there is nothing to remember")?;
        let at = match code {
            0x94 => self.memo.len(),
            b'q' => u8::from_le_bytes(self.input.bytes()?).into(),
            _ => u32::from_le_bytes(self.input.bytes()?) as usize,
        };
        // Python counts up; it never leaves a number out.
        if at == self.memo.len() {
            self.memo.push(value);
            return Ok(());
        }
        let slot = self.memo.get_mut(at);
        *slot.ok_or("it remembers a value under a number that is not the next")? = value;
        Ok(())
    }

    fn recall(&mut self, code: u8) -> Result<(), String> {
        let at = match code {
            b'h' => u8::from_le_bytes(self.input.bytes()?).into(),
            _ => u32::from_le_bytes(self.input.bytes()?) as usize,
        };
        let value = self.memo.get(at).copied();
        self.push(value.ok_or("it refers to a value that is not there")?)
    }
}
