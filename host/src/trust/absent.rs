//! Stands for the verification of signatures where this build has none: nothing is proven, so that no rule is met.

use super::{Proof, Signer};

const WHY: &str = "this program was built without the feature `signatures`, which verifies them";

pub(super) fn proof(_: &Signer, _: &str, _: &[&[u8]]) -> Result<Proof, String> {
    Err(WHY.to_owned())
}

pub(super) fn whoever(_: &str, _: &[&[u8]]) -> Result<(String, String), String> {
    Err(WHY.to_owned())
}

#[allow(clippy::unnecessary_wraps, reason = "what it stands for may fail")]
pub(super) fn check_key(_: &[u8]) -> Result<(), String> {
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "what it stands for may fail")]
pub(super) fn check_root(_: &str) -> Result<(), String> {
    Ok(())
}
