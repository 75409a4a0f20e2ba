//! What a component is, before anybody uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::{ComponentCache, Found, Owner, Tell, ToolboxReason, admit_at};
use crate::config::{Source, table_name};
use crate::message::{Digest, clean};
use crate::registry::{Locked, LockedTool};
use crate::sandbox::{
    AdmitError, Guest, Import, Metering, Policy, Refused, Role, Sandbox, ToolDefinition, imports, producers,
    render_wit,
};

/// What there is to know of a component. What it says of itself is unchecked.
#[derive(Debug)]
pub struct Inspection {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of it.
    pub digest: Digest,
    /// What it is to those who call it; `None` if it is of no use to anybody.
    pub role: Option<Role>,
    /// Its tools.
    pub tools: Vec<ToolDefinition>,
    /// Exports that are no tools.
    pub refused: Vec<Refused>,
    /// What it imports.
    pub imports: Vec<Import>,
    /// What it imports that this host does not have.
    pub missing: Vec<String>,
    /// What it was made with: languages, programs and kits, with their versions.
    pub producers: BTreeMap<String, BTreeSet<String>>,
    /// Its world, in the interface language.
    pub wit: String,
}

impl Inspection {
    /// The exports that an agent can take together, if it cannot take all: of several with one name the first.
    #[must_use]
    pub fn chosen(&self) -> Option<Vec<&str>> {
        let mut names = BTreeSet::new();
        let first = self.tools.iter().filter(|tool| names.insert(tool.name.as_str()));
        let first: Vec<&str> = first.map(|it| it.export.as_str()).collect();
        (first.len() < self.tools.len()).then_some(first)
    }

    /// What host.lock has of the component, of which the rest is known already.
    #[must_use]
    pub fn locked(&self, bare: Locked) -> Locked {
        let text = |text: &str| clean(text).into_owned();
        let tool = |tool: &ToolDefinition| LockedTool {
            description: text(&tool.description),
            input: text(&tool.input_schema),
            output: tool.output_schema.as_deref().map(text),
        };
        let mut imports: Vec<String> = self.imports.iter().map(|it| text(&it.name)).collect();
        imports.sort();
        imports.dedup();
        Locked {
            sha256: self.digest,
            bytes: self.bytes,
            imports,
            exports: self.tools.iter().map(|it| (text(&it.name), tool(it))).collect(),
            ..bare
        }
    }
}

/// Looks at a component, or at what the source in a directory builds, which a person named. A component that tells of its tools itself is asked for them, in an
/// instance that is granted nothing.
pub async fn inspect(
    source: &Source,
    locked: Option<&Locked>,
    sandbox: &Sandbox,
    cache: &ComponentCache,
    tell: &Tell<'_>,
) -> Result<Inspection, ToolboxReason> {
    let found = Found::at(source, locked, Owner::Person, cache, tell).await?;
    let component =
        Box::pin(found.compiled(sandbox.engine(Metering::Time)?, Metering::Time, cache, tell)).await?;
    let Found { path, bytes, digest, sections } = found;
    // A program, or a handler, is called by the name of its table; here it is that of its file.
    let policy = Policy { tool: table_name(&source.stem()), ..Policy::default() };
    let admitted = Guest::admit(sandbox, &component, &sections, Arc::new(policy));
    let mut inspection = Inspection {
        bytes: bytes.len() as u64,
        digest,
        role: None,
        tools: Vec::new(),
        refused: Vec::new(),
        imports: imports(&component),
        missing: Vec::new(),
        producers: producers(&bytes),
        wit: render_wit(&component),
        path,
    };
    match admitted {
        Ok(guest) => {
            inspection.role = Some(guest.role());
            inspection.tools = guest.list_tools().await.map_err(admit_at(&inspection.path))?;
            inspection.refused = guest.refused_exports().to_vec();
            inspection.missing = guest.missing_imports().to_vec();
        }
        Err(AdmitError::NoTools { refused, missing }) => {
            (inspection.refused, inspection.missing) = (refused, missing);
        }
        Err(error) => return Err(admit_at(&inspection.path)(error)),
    }
    Ok(inspection)
}
