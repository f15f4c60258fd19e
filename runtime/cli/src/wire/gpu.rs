//! The GPUs of this machine, as routers are told of them.

use std::sync::Arc;

use routir_native::Gpus as Found;
use routir_server::Gpus;
use routir_sie::GpuStatus;

/// Asks how they are; `None` when there are none.
pub(super) fn gpus() -> Option<Gpus> {
    let found = Found::find()?;
    Some(Arc::new(move || {
        let gpus = found.now().into_iter().enumerate();
        gpus.map(|(number, gpu)| GpuStatus {
            device: format!("cuda:{number}"),
            gpu_type: gpu.kind(),
            utilization_pct: f64::from(gpu.busy_percent),
            memory_used_bytes: gpu.memory_used,
            memory_total_bytes: gpu.memory_total,
            name: gpu.name,
        })
        .collect()
    }))
}
