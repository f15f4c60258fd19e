//! The audit trail as the wiring hands it round.

use std::path::Path;
use std::sync::Arc;

use routir_core::Metrics;

use crate::audit::{Audit, Rotation};
use crate::store::{Disk, LocalDisk};

/// Where everything that is done to extensions is told: as events of the log (target `audit`), and
/// as lines of JSON in `audit.jsonl` of the state directory, which starts anew at 16 MiB and keeps
/// four full ones (`audit.1.jsonl` is the latest).
///
/// A line has `time` (seconds since the Unix epoch), `action`, `tenant` (null: the operator),
/// `extension`, `version`, `sha256`, `source`, `outcome` and `reason`. A file that cannot be
/// written stops nothing: it is logged, and counted in the metric `routir_audit_lines`. Of one
/// tenant's refusals, 60 a minute are told, then their number.
#[derive(Clone)]
pub struct AuditTrail(pub(crate) Arc<Audit>);

impl AuditTrail {
    /// A trail in `state_dir`, which is made if it is not there. One per server.
    #[must_use]
    pub fn new(state_dir: &Path, metrics: &Metrics) -> Self {
        // A failure is told when there is something to write.
        let _ = LocalDisk.create_dir(state_dir);
        Self(Arc::new(Audit::new(
            state_dir,
            Rotation::default(),
            metrics,
        )))
    }
}
