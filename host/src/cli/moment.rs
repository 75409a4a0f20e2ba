//! Moments, and how long it is from one to the other, as they are shown.

pub(super) use crate::message::{Moment, duration};
