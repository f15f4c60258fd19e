//! Tenants' keys: from the file and from the environment, told apart, none easy to guess.

use std::collections::HashMap;

use crate::tree::Path;
use crate::validate::Fault;
use crate::{ConfigProblem, Loaded, Secret};

/// The shortest key, in bytes: 64 bits of chance when it is written in hexadecimal.
const MIN_BYTES: usize = 16;
/// The longest key, in bytes.
const MAX_BYTES: usize = 512;

/// What to do about a key that guards nothing.
const MAKE_ONE: &str = "make one with `openssl rand -hex 24`";

/// Why `key` cannot be a tenant's, and what to do about it; never the key itself.
pub(crate) fn weakness(key: &str) -> Option<(String, &'static str)> {
    let length = key.len();
    if key.is_empty() {
        Some((
            "the key is empty, so it guards nothing".to_owned(),
            MAKE_ONE,
        ))
    } else if key.trim() != key {
        let message = "the key begins or ends with white space, which no client can send";
        Some((message.to_owned(), "remove the white space"))
    } else if key.chars().any(char::is_control) {
        let message = "the key has a control character, which no client can send";
        Some((message.to_owned(), MAKE_ONE))
    } else if length < MIN_BYTES {
        let message = format!(
            "the key has {length} bytes; one of fewer than {MIN_BYTES} can be found by trying"
        );
        Some((message, MAKE_ONE))
    } else if length > MAX_BYTES {
        let message = format!("the key has {length} bytes; {MAX_BYTES} are allowed");
        Some((message, MAKE_ONE))
    } else {
        None
    }
}

/// The keys seen so far, each with its place.
#[derive(Default)]
pub(crate) struct Seen<'a>(HashMap<&'a str, Path>);

impl<'a> Seen<'a> {
    /// Why the key at `path` cannot be a tenant's, and what to do about it.
    pub(crate) fn fault(&mut self, key: &'a str, path: &Path) -> Option<(String, &'static str)> {
        if let Some(weakness) = weakness(key) {
            return Some(weakness);
        }
        let first = self.0.insert(key, path.clone())?;
        let message = format!("the key is that of {first} too, so nobody can tell whose it is");
        Some((message, "give every tenant keys of its own"))
    }
}

impl Loaded {
    /// The keys of each tenant, in the order of the configuration: those that stand in it and those
    /// in the environment, where `variable` looks one up.
    ///
    /// # Errors
    /// A variable that is not set, or whose key is weak or another one's.
    pub fn tenant_keys(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<Vec<Secret>>, Vec<ConfigProblem>> {
        let tenants = Path::default().key("tenants");
        let mut faults = Vec::new();
        let mut keys: Vec<Vec<(Path, Secret)>> = Vec::new();
        for (i, tenant) in self.config.tenants.iter().enumerate() {
            let path = tenants.index(i);
            let written = tenant.keys.iter().enumerate();
            let mut own: Vec<_> = written
                .map(|(j, key)| (path.key("keys").index(j), key.clone()))
                .collect();
            for (j, name) in tenant.keys_env.iter().enumerate() {
                let path = path.key("keys_env").index(j);
                if let Some(key) = variable(name) {
                    own.push((path, Secret::new(key)));
                } else {
                    let message = format!("the environment variable `{name}` is not set");
                    let help = "set it to a key, or leave it out";
                    faults.push(Fault::new(path, &self.tree, message).help(help));
                }
            }
            keys.push(own);
        }
        let mut seen = Seen::default();
        for (path, key) in keys.iter().flatten() {
            if let Some((message, help)) = seen.fault(key.reveal(), path) {
                faults.push(Fault::new(path.clone(), &self.tree, message).help(help));
            }
        }
        if !faults.is_empty() {
            return Err(self.told(faults));
        }
        let keys = keys.into_iter();
        Ok(keys
            .map(|own| own.into_iter().map(|(_, key)| key).collect())
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_long_enough_and_can_be_sent() {
        let why = |key: &str| weakness(key).map(|(message, _)| message);
        assert_eq!(why(&"k".repeat(16)), None);
        assert_eq!(why(&"k".repeat(512)), None);
        assert_eq!(why("two words of a key"), None);
        for bad in [
            "",
            "k",
            " 0123456789abcdef",
            "0123456789abcdef\n",
            "0123456789\0abcdef",
        ] {
            let message = why(bad).unwrap();
            assert!(bad.len() < 2 || !message.contains(bad), "{message}");
        }
        assert!(why(&"k".repeat(15)).is_some() && why(&"k".repeat(513)).is_some());
    }
}
