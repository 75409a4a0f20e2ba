//! Moments, and how long it is from one to the other, as they are shown.

pub(super) use crate::message::Moment;

/// A duration, from microseconds.
pub(super) fn milliseconds(us: u64) -> String {
    // Durations of a run are far below 2^53 µs.
    #[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let ms = us as f64 / 1000.0;
    format!("{ms:.1} ms")
}
