//! Lists that many runs hold and nobody changes: those of an agent's tools.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::{ToolEntry, ToolSpec};

/// A list that is cloned by reference, and written as JSON once.
pub struct Shared<T>(Arc<Inner<T>>);

struct Inner<T> {
    items: Vec<T>,
    json: OnceLock<Box<RawValue>>,
}

impl<T> Deref for Shared<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0.items
    }
}

impl<T> From<Vec<T>> for Shared<T> {
    fn from(items: Vec<T>) -> Self {
        Self(Arc::new(Inner { items, json: OnceLock::new() }))
    }
}

impl<T> FromIterator<T> for Shared<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Vec::from_iter(items).into()
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.items.fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.items == other.0.items
    }
}

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = if let Some(json) = self.0.json.get() {
            json
        } else {
            let json = to_raw_value(&self.0.items).map_err(S::Error::custom)?;
            self.0.json.get_or_init(|| json)
        };
        json.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

/// The tools of a run, sorted by name. All runs of an agent hold the same ones.
#[derive(Clone, Debug, Default)]
pub struct Tools {
    entries: Shared<ToolEntry>,
    /// Those that the model is offered, once they were asked for.
    offered: Arc<OnceLock<Shared<ToolSpec>>>,
}

impl Tools {
    /// What the model is told of those that are not hidden from it.
    #[must_use]
    pub fn offered(&self) -> Shared<ToolSpec> {
        let offered = || self.iter().filter(|tool| !tool.hidden).map(|tool| tool.spec.clone()).collect();
        self.offered.get_or_init(offered).clone()
    }

    /// The same without where the configurations of the agents among them lie.
    #[must_use]
    pub fn identity(&self) -> Self {
        if self.iter().all(|tool| tool.agent.is_none()) {
            return self.clone();
        }
        let agent = |tool: &ToolEntry| tool.agent.as_ref().map(|agent| Box::new(agent.identity()));
        self.iter().map(|tool| ToolEntry { agent: agent(tool), ..tool.clone() }).collect()
    }
}

impl Deref for Tools {
    type Target = [ToolEntry];

    fn deref(&self) -> &[ToolEntry] {
        &self.entries
    }
}

impl From<Vec<ToolEntry>> for Tools {
    fn from(entries: Vec<ToolEntry>) -> Self {
        Self { entries: entries.into(), offered: Arc::default() }
    }
}

impl FromIterator<ToolEntry> for Tools {
    fn from_iter<I: IntoIterator<Item = ToolEntry>>(entries: I) -> Self {
        Vec::from_iter(entries).into()
    }
}

impl<'t> IntoIterator for &'t Tools {
    type Item = &'t ToolEntry;
    type IntoIter = std::slice::Iter<'t, ToolEntry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Tools {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Serialize for Tools {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.entries.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Tools {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}
