//! The hub that models and datasets come from, as this command shows it.

use routir_hub::Hub;

use crate::progress::{Progress, Unit};

/// The hub of the environment; how far files are is shown.
pub(crate) fn hub() -> Hub {
    let bar = Progress::default();
    Hub::from_env().telling(move |now| {
        let label = format!("fetching {} of {}", now.name, now.repo);
        bar.tell(&label, now.done, now.total, Unit::Bytes);
        if now.done >= now.total {
            bar.finish();
        }
    })
}
