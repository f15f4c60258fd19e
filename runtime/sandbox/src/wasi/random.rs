//! `wasi:random`: the operating system's randomness, or one sequence for everybody.

use rustix::rand::{GetRandomFlags, getrandom};
use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

use super::{Wasi, end};

/// The most bytes that a guest may ask for at once.
const MOST_BYTES: u64 = 64 << 10;

/// The random numbers of a store.
pub(super) struct Random {
    /// How far the fixed sequence is, where randomness is not granted.
    fixed: Option<u64>,
}

impl Random {
    pub(super) fn new(granted: bool) -> Self {
        Self {
            fixed: (!granted).then_some(0),
        }
    }

    fn next(&mut self) -> Result<u64> {
        let Some(state) = &mut self.fixed else {
            let mut bytes = [0; 8];
            fill(&mut bytes)?;
            return Ok(u64::from_le_bytes(bytes));
        };
        // SplitMix64 from 0: even, and no secret.
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ (z >> 31))
    }

    fn bytes(&mut self, length: u64) -> Result<Vec<u8>> {
        if length > MOST_BYTES {
            return Err(end(format!(
                "it asked for {length} random bytes at once, of which there are {MOST_BYTES}"
            )));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        if self.fixed.is_none() {
            fill(&mut bytes)?;
        } else {
            for chunk in bytes.chunks_mut(8) {
                let next = self.next()?.to_le_bytes();
                chunk.iter_mut().zip(next).for_each(|(to, from)| *to = from);
            }
        }
        Ok(bytes)
    }
}

/// Randomness of the operating system.
fn fill(mut bytes: &mut [u8]) -> Result<()> {
    while !bytes.is_empty() {
        match getrandom(&mut *bytes, GetRandomFlags::empty()) {
            Ok(filled) => bytes = bytes.get_mut(filled..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(end(format!("the system has no randomness: {error}"))),
        }
    }
    Ok(())
}

/// Defines a function; `false` when it is none of these.
pub(super) fn define<T: Wasi>(instance: &mut LinkerInstance<'_, T>, name: &str) -> Result<bool> {
    match name {
        "get-random-bytes" | "get-insecure-random-bytes" => {
            instance.func_wrap(name, |mut store, (length,): (u64,)| {
                Ok((random(&mut store).bytes(length)?,))
            })?;
        }
        "get-random-u64" | "get-insecure-random-u64" => {
            instance.func_wrap(name, |mut store, (): ()| Ok((random(&mut store).next()?,)))?;
        }
        "insecure-seed" => {
            instance.func_wrap(name, |mut store, (): ()| {
                let random = random(&mut store);
                Ok(((random.next()?, random.next()?),))
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn random<'a, T: Wasi>(store: &'a mut StoreContextMut<'_, T>) -> &'a mut Random {
    &mut store.data_mut().wasi().random
}
