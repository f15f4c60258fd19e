//! What to do about what was seen in a directory: pure, with the time given.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Pace;
use super::directory::{Scan, Seen, Stamp};

/// The longest wait before a file is tried again that did not change.
const LONGEST: Duration = Duration::from_secs(300);

/// What is known of a directory's files.
pub(super) struct Plan {
    pace: Pace,
    files: BTreeMap<String, File>,
    /// Extensions whose file is not there, and since when.
    missing: BTreeMap<String, Instant>,
}

struct File {
    stamp: Stamp,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It changed and may change further.
    Settling { since: Instant },
    /// It was dealt with, well or badly.
    Done,
    /// It failed for a reason that may pass without it changing.
    Waiting {
        until: Instant,
        tries: u32,
        told: String,
    },
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Publish a file.
    Take(Seen),
    /// Tell that a file cannot be an extension.
    Refuse(Seen, String),
    /// Withdraw an extension whose file is deleted.
    Withdraw(String),
}

impl Plan {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            files: BTreeMap::new(),
            missing: BTreeMap::new(),
        }
    }

    /// What is to be done after a look into the directory, whose files hold the names `held`.
    pub(super) fn next(&mut self, scan: &Scan, held: &[String], now: Instant) -> Vec<Task> {
        let mut tasks = Vec::new();
        let mut files = BTreeMap::new();
        for seen in &scan.files {
            let known = self.files.remove(&seen.name);
            let mut file = match known {
                Some(file) if file.stamp == seen.stamp => file,
                _ => File {
                    stamp: seen.stamp,
                    state: State::Settling { since: now },
                },
            };
            let ready = match file.state {
                State::Settling { since } => passed(since, now) >= self.pace.settle,
                State::Waiting { until, .. } => now >= until,
                State::Done => false,
            };
            if ready {
                tasks.push(match &seen.fault {
                    None => Task::Take(seen.clone()),
                    Some(why) => {
                        file.state = State::Done;
                        Task::Refuse(seen.clone(), why.clone())
                    }
                });
            }
            files.insert(seen.name.clone(), file);
        }
        self.files = files;
        if scan.cut {
            self.missing.clear();
            return tasks;
        }
        let absent = held.iter().filter(|name| !self.files.contains_key(*name));
        let missing = absent.map(|name| {
            let since = self.missing.get(name).copied().unwrap_or(now);
            (name.clone(), since)
        });
        self.missing = missing.collect();
        let gone = self.missing.iter();
        let gone = gone.filter(|(_, since)| passed(**since, now) >= self.pace.settle);
        tasks.extend(gone.map(|(name, _)| Task::Withdraw(name.clone())));
        tasks
    }

    /// Whether something is about to be done, so that the next look must not wait.
    pub(super) fn is_unsettled(&self) -> bool {
        let settling = |file: &File| matches!(file.state, State::Settling { .. });
        !self.missing.is_empty() || self.files.values().any(settling)
    }

    /// A file was dealt with: what became of it stays so until it changes.
    pub(super) fn done(&mut self, name: &str) {
        if let Some(file) = self.files.get_mut(name) {
            file.state = State::Done;
        }
    }

    /// A file changed under way.
    pub(super) fn changed(&mut self, name: &str, now: Instant) {
        if let Some(file) = self.files.get_mut(name) {
            file.state = State::Settling { since: now };
        }
    }

    /// A file failed for a reason that may pass. Answers whether that reason is new.
    pub(super) fn later(&mut self, name: &str, reason: &str, now: Instant) -> bool {
        let Some(file) = self.files.get_mut(name) else {
            return false;
        };
        let (tries, fresh) = match &file.state {
            State::Waiting { tries, told, .. } => (tries.saturating_add(1), told != reason),
            _ => (0, true),
        };
        let wait = self.pace.rescan.saturating_mul(1 << tries.min(16));
        let wait = wait.min(LONGEST);
        file.state = State::Waiting {
            until: now.checked_add(wait).unwrap_or(now),
            tries,
            told: reason.to_owned(),
        };
        fresh
    }
}

fn passed(since: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        settle: Duration::from_secs(1),
        rescan: Duration::from_secs(5),
    };

    fn scan(files: &[(&str, u64)]) -> Scan {
        let files = files.iter().map(|(name, stamp)| Seen {
            name: (*name).to_owned(),
            stamp: Stamp::numbered(*stamp),
            fault: None,
        });
        Scan {
            files: files.collect(),
            cut: false,
        }
    }

    fn taken(tasks: &[Task]) -> Vec<&str> {
        let takes = tasks.iter().filter_map(|task| match task {
            Task::Take(seen) => Some(seen.name.as_str()),
            _ => None,
        });
        takes.collect()
    }

    #[test]
    fn a_file_is_taken_when_it_rests_and_again_when_it_changes() {
        let mut plan = Plan::new(PACE);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert!(plan.next(&scan(&[("a", 1)]), &[], at(0)).is_empty());
        assert!(plan.is_unsettled());
        // It grows.
        assert!(plan.next(&scan(&[("a", 2)]), &[], at(900)).is_empty());
        assert!(plan.next(&scan(&[("a", 2)]), &[], at(1800)).is_empty());
        assert_eq!(taken(&plan.next(&scan(&[("a", 2)]), &[], at(1900))), ["a"]);
        plan.done("a");
        assert!(!plan.is_unsettled());
        assert!(plan.next(&scan(&[("a", 2)]), &[], at(9000)).is_empty());
        assert!(plan.next(&scan(&[("a", 3)]), &[], at(9100)).is_empty());
        assert_eq!(
            taken(&plan.next(&scan(&[("a", 3)]), &[], at(10_100))),
            ["a"]
        );
    }

    #[test]
    fn a_name_that_is_gone_for_a_moment_stays() {
        let mut plan = Plan::new(PACE);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let held = ["a".to_owned()];
        assert!(plan.next(&scan(&[]), &held, at(0)).is_empty());
        assert!(plan.next(&scan(&[("a", 1)]), &held, at(500)).is_empty());
        assert!(plan.next(&scan(&[]), &held, at(900)).is_empty());
        assert!(plan.next(&scan(&[]), &held, at(1800)).is_empty());
        let gone = [Task::Withdraw("a".to_owned())];
        assert_eq!(plan.next(&scan(&[]), &held, at(1900)), gone);
    }

    #[test]
    fn nothing_is_withdrawn_on_half_a_look() {
        let mut plan = Plan::new(PACE);
        let start = Instant::now();
        let cut = Scan {
            cut: true,
            ..Scan::default()
        };
        for s in 0..10 {
            let now = start + Duration::from_secs(s);
            assert!(plan.next(&cut, &["a".to_owned()], now).is_empty());
        }
    }

    #[test]
    fn what_may_pass_is_tried_ever_more_seldom_and_told_once() {
        let mut plan = Plan::new(PACE);
        let start = Instant::now();
        let files = scan(&[("a", 1)]);
        plan.next(&files, &[], start);
        let mut tries = Vec::new();
        for s in 1..2000 {
            let now = start + Duration::from_secs(s);
            if taken(&plan.next(&files, &[], now)) == ["a"] {
                assert_eq!(plan.later("a", "no room", now), tries.is_empty());
                tries.push(s);
            }
        }
        let waits: Vec<_> = tries.windows(2).map(|two| two[1] - two[0]).collect();
        assert_eq!(waits[..8], [5, 10, 20, 40, 80, 160, 300, 300]);
    }
}
