//! The first call of a component: who it says it is.

use std::time::Instant;

use routir_core::Result;

use super::Trial;
use crate::bindings::manifest::Info;
use crate::calls::run;
use crate::guest::{Exports, Phase};

/// What the component says of itself, and what saying it took.
pub(super) async fn describe(trial: &Trial<'_>, exports: &Exports) -> Result<(Info, String)> {
    let started = Instant::now();
    let job = trial.job(Phase::Describing);
    let asked = run::<(), Info>(trial.machine, &trial.code, None, job, exports.describe, ());
    let (info, used) = asked.await?;
    let detail = format!(
        "made and asked in {:.1} ms, with {:.1} MiB of memory{}",
        started.elapsed().as_secs_f64() * 1e3,
        used.memory_bytes as f64 / f64::from(1 << 20),
        used.fuel
            .map_or(String::new(), |fuel| format!(", {fuel} instructions")),
    );
    Ok((info, detail))
}
