//! `--settle SLOT=HOW`: what a person says of calls that are in doubt.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, bail};

use super::fork::{output, unfit_output};
use super::plain::Plain;
use crate::engine::{SettleError, StartError};
use crate::message::Slot;
use crate::session::Settlement;

/// One decision, as it is written.
#[derive(Clone, Debug)]
pub(super) struct Settle {
    slot: Slot,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    Retry,
    Failed,
    Result(PathBuf),
}

impl FromStr for Settle {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (slot, how) = text.split_once('=').context("write it as SLOT=HOW, such as 'tool(0,1)=retry'")?;
        let how = match how.split_once(':') {
            None if how == "retry" => How::Retry,
            None if how == "failed" => How::Failed,
            Some(("result", file)) if !file.is_empty() => How::Result(file.into()),
            Some(_) | None => bail!("`{how}` is not `retry`, `failed` or `result:FILE`"),
        };
        Ok(Self { slot: slot.parse()?, how })
    }
}

impl Settle {
    /// The decision, with what its file says.
    pub(super) fn read(&self) -> anyhow::Result<(Slot, Settlement)> {
        let settlement = match &self.how {
            How::Retry => Settlement::Retry,
            How::Failed => Settlement::Failed,
            How::Result(file) => Settlement::Result(output(file)?),
        };
        Ok((self.slot.clone(), settlement))
    }
}

/// The error of a resume, which names the file that an unfit output came from.
pub(super) fn of_resume(error: StartError, settle: &[Settle]) -> anyhow::Error {
    if let StartError::Settle(SettleError::Unfit { slot, why }) = &error {
        let from = settle.iter().filter(|settle| settle.slot == *slot).find_map(|settle| match &settle.how {
            How::Result(file) => Some(file),
            How::Retry | How::Failed => None,
        });
        if let Some(file) = from {
            return anyhow::anyhow!("{why}").context(unfit_output(file));
        }
    }
    error.plain()
}
