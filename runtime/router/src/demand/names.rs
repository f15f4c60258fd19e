//! Names that may be labels: those that the operator configured or that workers have, and some that
//! others made up, for as long as they are asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::core::FORGOTTEN;
use crate::pools::is_label;

/// Names of each kind that nobody configured and no worker has.
const MAX_STRANGERS: usize = 64;
/// Names that workers have.
const MAX_OF_WORKERS: usize = 1024;
/// What further names are counted under.
pub(super) const OTHER: &str = "other";
pub(super) const UNKNOWN: &str = "unknown";

/// Who brings a name up. Each kind has places of its own, so that none takes another's.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A kind of machine that a request waits for.
    Profile,
    /// A bundle that a request waits for.
    Bundle,
    /// What a living pool asks for.
    Leased,
}

/// Names that may be labels. All are found in any case.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// In the operator's spelling, by lower-case name.
    configured: BTreeMap<String, String>,
    /// In the spelling of the workers, with when they were last seen.
    of_workers: BTreeMap<String, (String, Duration)>,
    /// With when they were last asked for, by kind.
    strangers: [BTreeMap<String, Duration>; 3],
    /// Labels that have lost their place.
    gone: Vec<String>,
}

impl Names {
    /// A name that the operator gave.
    pub(super) fn configure(&mut self, name: &str) {
        if is_label(name) {
            let lower = name.to_ascii_lowercase();
            self.configured.entry(lower).or_insert(name.to_owned());
        }
    }

    /// A name of a worker that is there. Where there are too many, it has the place of the one that
    /// is longest away.
    pub(super) fn see(&mut self, name: &str, now: Duration) {
        let lower = name.to_ascii_lowercase();
        if let Some((_, seen)) = self.of_workers.get_mut(&lower) {
            *seen = now;
            return;
        }
        if !is_label(name) || self.configured.contains_key(&lower) {
            return;
        }
        if self.of_workers.len() >= MAX_OF_WORKERS {
            let names = self.of_workers.iter();
            let oldest = names.min_by_key(|(_, (_, seen))| *seen);
            let oldest = oldest.filter(|(_, (_, seen))| *seen < now);
            let Some(oldest) = oldest.map(|(lower, _)| lower.clone()) else {
                return;
            };
            let away = self.of_workers.remove(&oldest);
            self.gone.extend(away.map(|(name, _)| name));
        }
        self.of_workers.insert(lower, (name.to_owned(), now));
    }

    /// The label of a name that nobody waits for: none is kept for it.
    pub(super) fn look(&self, name: &str) -> String {
        let lower = name.to_ascii_lowercase();
        if let Some(known) = self.known(&lower) {
            return known.to_owned();
        }
        match lower.is_empty() {
            true => UNKNOWN.to_owned(),
            false if self.strangers.iter().any(|it| it.contains_key(&lower)) => lower,
            false => OTHER.to_owned(),
        }
    }

    /// The label of a name that somebody waits for, which is kept for it while there is a place.
    pub(super) fn take(&mut self, kind: Kind, name: &str, now: Duration) -> String {
        let lower = name.to_ascii_lowercase();
        if self.known(&lower).is_none()
            && let Some(strangers) = self.strangers.get_mut(kind as usize)
        {
            if let Some(last) = strangers.get_mut(&lower) {
                *last = now;
            } else if strangers.len() < MAX_STRANGERS && is_label(&lower) {
                strangers.insert(lower, now);
            }
        }
        self.look(name)
    }

    /// Forgets what nobody asked for in a while. The labels that are none any more.
    pub(super) fn sweep(&mut self, now: Duration) -> Vec<String> {
        for strangers in &mut self.strangers {
            strangers.retain(|name, last| {
                let stays = now.saturating_sub(*last) < FORGOTTEN;
                if !stays {
                    self.gone.push(name.clone());
                }
                stays
            });
        }
        let mut gone = std::mem::take(&mut self.gone);
        gone.retain(|label| self.look(label) != *label);
        gone
    }

    fn known(&self, lower: &str) -> Option<&str> {
        let of_workers = || Some(&*self.of_workers.get(lower)?.0);
        let configured = self.configured.get(lower);
        configured.map(|name| &**name).or_else(of_workers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn who_only_looks_takes_no_place_and_places_are_given_back() {
        let mut names = Names::default();
        names.configure("L4");
        for stranger in 0..100 {
            assert_eq!(names.look(&format!("s{stranger}")), OTHER);
        }
        for stranger in 0..64 {
            let name = format!("S{stranger}");
            assert_eq!(names.take(Kind::Profile, &name, at(0)), name.to_lowercase());
        }
        assert_eq!(names.take(Kind::Profile, "late", at(1)), OTHER);
        assert_eq!(names.take(Kind::Bundle, "bge", at(1)), "bge");
        assert_eq!(names.take(Kind::Leased, "bge", at(1)), "bge");
        assert_eq!(
            (names.look("l4"), names.look("")),
            ("L4".into(), UNKNOWN.into())
        );
        assert_eq!(names.take(Kind::Profile, "s1", at(100)), "s1");
        assert_eq!(names.sweep(at(119)), Vec::<String>::new());
        let gone = names.sweep(at(120));
        assert!(
            gone.len() == 63 && !gone.contains(&"s1".to_owned()),
            "{gone:?}"
        );
        assert_eq!(names.take(Kind::Profile, "late", at(120)), "late");
    }

    #[test]
    fn a_worker_that_changes_its_name_takes_no_others_place() {
        let mut names = Names::default();
        for second in 0..2000 {
            names.see("a100", at(second));
            names.see(&format!("lie-{second}"), at(second));
        }
        assert_eq!(
            (names.look("A100"), names.look("lie-1999")),
            ("a100".into(), "lie-1999".into())
        );
        assert_eq!(names.look("lie-5"), OTHER);
        assert_eq!(names.sweep(at(2000)).len(), 2001 - MAX_OF_WORKERS);
    }
}
