//! Where the time of a request went, in its answer and beside it.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use routir_sie::Timing;

/// The headers, as SIE's workers call them.
const TOTAL: HeaderName = HeaderName::from_static("x-total-time");
const QUEUE: HeaderName = HeaderName::from_static("x-queue-time");
const TOKENIZATION: HeaderName = HeaderName::from_static("x-tokenization-time");
const INFERENCE: HeaderName = HeaderName::from_static("x-inference-time");

/// A duration in milliseconds.
pub(super) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Adds `timing` to an answer's headers.
pub(super) fn tell(timing: &Timing, headers: &mut HeaderMap) {
    for (name, value) in [
        (TOTAL, timing.total_ms),
        (QUEUE, timing.queue_ms),
        (TOKENIZATION, timing.tokenization_ms),
        (INFERENCE, timing.inference_ms),
    ] {
        // Digits and a dot.
        if let Ok(value) = HeaderValue::try_from(format!("{value:.2}")) {
            headers.insert(name, value);
        }
    }
}
