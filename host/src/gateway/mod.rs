//! Programs outside as agents: an agent of any SDK asks this host in the place of its provider, and calls the host's tools,
//! and both are recorded. A program that crashed is started again, and gets what is recorded until it is where it was.
//!
//! The counterpart of [`agent`](crate::agent): there the loop is the host's own, here it runs in another process, and may
//! do things in another order than before. So nothing goes by order. A request is known by what it asks ([`Asked`]), and a
//! call by the reply that asked for it. Owns how both are found again ([`Desk`]), and what a reply looks like to the
//! program. Does not know how requests arrive: a server does. Invariants: a reply is recorded before the program can act on
//! it; no reply that is recorded is asked for again, and no call that has ended is made again; calls of one reply have
//! places of their own, in whatever order they come. It fails with a [`Refused`].

mod asking;
mod body;
mod book;
mod calling;
mod desk;
mod flight;
mod kept;
mod key;
mod provider;
mod refused;
mod scripted;
mod start;
mod told;
mod verify;

pub use asking::{Asked, Asking};
pub use calling::Calling;
pub use desk::{BeginError, Desk, Left, Reread, Stage};
pub use flight::{End, Failed, Next};
pub use provider::Provider;
pub use refused::Refused;
/// How it is recorded that a program was started: what [`By::through`](crate::message::By) says then.
pub const STARTED: &str = "start";

pub use verify::{answer, used_so_far, verify};
