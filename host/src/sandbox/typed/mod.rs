//! Components that know nothing of this host: each function that they export is a tool.
//!
//! Owns the way from a function's type to a JSON Schema and a name, and from JSON to the values of the component model
//! and back. Does not know where components come from, nor what a call may reach. Invariants: a value that went through
//! JSON is the same value, bit by bit, but for the payload of a NaN; what is read fits the type, so that the call does
//! not fail for it; types and values come from strangers, so that the work on a type is bounded by [`PARTS_MAX`] and
//! [`DEPTH_MAX`], and that on a value is linear in its length. A function that cannot be a tool is kept with the reason.
//!
//! `docs/COMPONENTS.md` has the mapping as a table.

mod call;
mod exports;
mod misfit;
mod names;
mod read;
mod schema;
mod shape;
mod wit;
mod write;

#[cfg(test)]
mod tests;

pub(super) use call::Typed;
pub(super) use exports::{Function, Surface};
pub use exports::{Refused, SurfaceError};
pub(super) use names::short;
pub use wit::world as render_wit;

/// How deep a type may be nested. A level is up to four levels of its JSON Schema, and JSON is taken 100 deep.
const DEPTH_MAX: usize = 24;

/// How many parts the types of one function may have: types, fields, cases and flags. A type that is used twice counts
/// twice, because its schema stands twice in that of the function.
const PARTS_MAX: usize = 2_000;

/// The same for all functions of a component.
const COMPONENT_PARTS_MAX: usize = 50_000;

/// How many exported functions are looked at.
const FUNCTIONS_MAX: usize = 1_000;

/// The largest schema of an input or an output, in bytes.
pub(crate) const SCHEMA_BYTES_MAX: usize = 64 * 1024;
