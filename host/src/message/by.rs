use serde::{Deserialize, Serialize};

/// Who said something: a person or a program, as far as the front end knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// The name that the front end knows them by, such as a user's.
    pub name: String,
    /// The front end that they spoke through, such as `terminal` or `http`.
    pub through: String,
}

impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.through)
    }
}
