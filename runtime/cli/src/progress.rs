//! How far long work is: a bar on a terminal, otherwise a line in the log now and then.

use std::io::{self, IsTerminal};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// How often a line is logged where there is no terminal.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// All bars; what else writes to stderr goes around them.
pub(crate) fn bars() -> &'static MultiProgress {
    &BARS
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Documents, topics.
    Items,
    /// Bytes.
    Bytes,
}

/// Shows one task after another; a task is what carries one label.
#[derive(Default)]
pub(crate) struct Progress {
    task: Mutex<Option<Task>>,
}

struct Task {
    label: String,
    bar: Option<ProgressBar>,
    logged: Instant,
}

impl Progress {
    /// Tells that `done` of `total` are done of the task `label`.
    pub(crate) fn tell(&self, label: &str, done: u64, total: u64, unit: Unit) {
        let mut slot = self.task.lock();
        if slot.as_ref().is_none_or(|task| task.label != label) {
            clear(&mut slot);
            *slot = Some(Task {
                label: label.to_owned(),
                bar: bar(label, unit),
                logged: Instant::now(),
            });
        }
        let Some(task) = slot.as_mut() else { return };
        if let Some(bar) = &task.bar {
            bar.set_length(total);
            bar.set_position(done);
        } else if task.logged.elapsed() >= LOG_EVERY {
            task.logged = Instant::now();
            let percent = done.saturating_mul(100) / total.max(1);
            match unit {
                Unit::Items => tracing::info!("{label}: {done} of {total} ({percent} %)"),
                Unit::Bytes => tracing::info!("{label}: {percent} %"),
            }
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        clear(&mut self.task.lock());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn clear(task: &mut Option<Task>) {
    if let Some(bar) = task.take().and_then(|task| task.bar) {
        bar.finish_and_clear();
        BARS.remove(&bar);
    }
}

/// A bar, when there is a terminal to draw it on.
fn bar(label: &str, unit: Unit) -> Option<ProgressBar> {
    if !io::stderr().is_terminal() {
        return None;
    }
    let template = match unit {
        Unit::Items => "{msg} [{bar:30}] {human_pos}/{human_len} {per_sec} eta {eta}",
        Unit::Bytes => "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} eta {eta}",
    };
    let style = ProgressStyle::with_template(template)
        .ok()?
        .progress_chars("=> ");
    let bar = BARS.add(ProgressBar::new(0).with_style(style));
    bar.set_message(label.to_owned());
    Some(bar)
}
