//! Which vectors belong to which subset of the documents.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use routir_core::{Error, Result, nearest};

use super::SubsetOf;

/// How many filters are kept at once; each takes a bit per vector.
const KEPT: usize = 64;
/// The subset of what belongs to none.
const NONE: u16 = u16::MAX;

/// Subsets by name, and the filters made of them.
pub(super) struct Subsets {
    names: Vec<Arc<str>>,
    /// The subset of each vector, as its place in `names`.
    of: Vec<u16>,
    filters: Mutex<HashMap<u16, Arc<[u8]>>>,
}

impl Subsets {
    /// Asks `subset_of` for each id.
    pub(super) fn new<'a>(
        ids: impl Iterator<Item = &'a str>,
        subset_of: &SubsetOf<'_>,
    ) -> Result<Self> {
        let mut places: HashMap<Arc<str>, u16> = HashMap::new();
        let mut names = Vec::new();
        let mut of = Vec::new();
        for id in ids {
            let Some(name) = subset_of(id) else {
                of.push(NONE);
                continue;
            };
            let place = match places.get(&name) {
                Some(place) => *place,
                None => {
                    let place = u16::try_from(names.len())
                        .ok()
                        .filter(|place| *place < NONE);
                    let place = place.ok_or_else(|| {
                        Error::invalid(format!("more than {NONE} subsets are too many"))
                    })?;
                    places.insert(Arc::clone(&name), place);
                    names.push(name);
                    place
                }
            };
            of.push(place);
        }
        Ok(Self {
            names,
            of,
            filters: Mutex::default(),
        })
    }

    /// The vectors of a subset: one bit each, lowest first.
    pub(super) fn filter(&self, name: &str) -> Result<Arc<[u8]>> {
        let place = self.names.iter().position(|it| it.as_ref() == name);
        let place = place.and_then(|place| u16::try_from(place).ok());
        let place = place.ok_or_else(|| self.unknown(name))?;
        if let Some(filter) = self.filters.lock().get(&place) {
            return Ok(Arc::clone(filter));
        }
        let byte = |eight: &[u16]| {
            let bits = eight.iter().enumerate();
            bits.fold(0_u8, |byte, (bit, of)| {
                byte | (u8::from(*of == place) << bit)
            })
        };
        let filter: Arc<[u8]> = self.of.chunks(8).map(byte).collect();
        let mut filters = self.filters.lock();
        if filters.len() >= KEPT {
            filters.clear();
        }
        filters.insert(place, Arc::clone(&filter));
        Ok(filter)
    }

    fn unknown(&self, name: &str) -> Error {
        let names = || self.names.iter().map(AsRef::as_ref);
        let hint = match nearest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                let first: Vec<&str> = names().take(10).collect();
                let more = if self.names.len() > 10 { ", …" } else { "" };
                format!("there are: {}{more}", first.join(", "))
            }
        };
        Error::invalid(format!("there is no subset `{name}`; {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_has_the_bits_of_its_subset() {
        let ids = ["a0", "b1", "a2", "c3", "b4", "a5", "a6", "b7", "a8", "b9"];
        let first = |id: &str| (!id.starts_with('c')).then(|| Arc::from(&id[..1]));
        let subsets = Subsets::new(ids.into_iter(), &first).unwrap();
        assert_eq!(*subsets.filter("a").unwrap(), [0b0110_0101, 0b01]);
        assert_eq!(*subsets.filter("b").unwrap(), [0b1001_0010, 0b10]);
        let error = subsets.filter("c").unwrap_err();
        assert!(error.message().contains("no subset `c`"), "{error}");
    }
}
