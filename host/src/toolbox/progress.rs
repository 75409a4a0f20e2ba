/// What the toolbox tells of its work while it goes on: building and compiling take from milliseconds to minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Something that is worth a line of its own.
    Said(&'a str),
    /// Work begins that takes a while, as a rule.
    Began(&'a str),
    /// What the work that goes on is at: told whenever that changes, and once a second.
    Now(&'a str),
    /// What a compiler says in its own words.
    Compiler(&'a str),
    /// The work has ended, or was given up.
    Ended,
}

/// Who is told.
pub type Tell<'t> = dyn Fn(Progress<'_>) + Sync + 't;
