use futures::future::BoxFuture;

use super::{Model, ModelError, ModelRequest};
use crate::message::Reply;

/// The model of a replay: it is never asked, because every reply is recorded.
#[derive(Debug)]
pub struct Absent;

impl Model for Absent {
    fn ask<'a>(&'a self, request: &'a ModelRequest<'a>) -> BoxFuture<'a, Result<Reply, ModelError>> {
        let turn = request.turn;
        Box::pin(async move {
            Err(ModelError::Setup(format!(
                "a replay asked the model in turn {turn}; please report this as a bug"
            )))
        })
    }

    fn reaches_outside(&self) -> bool {
        true
    }
}
