use super::ScriptError;
use crate::grants::SecretSource;
use crate::message::ModelFailure;

/// Why a model gave no reply.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No connection.
    #[error(
        "cannot reach {url}: {reason}\n  check `base_url` in [model], the network, and that the server is running"
    )]
    Unreachable {
        /// The endpoint, without query.
        url: String,
        /// What the connection said.
        reason: String,
    },
    /// The server was reached, and gave no whole answer.
    #[error("no whole answer came from {url}: {reason}")]
    CutOff {
        /// The endpoint, without query.
        url: String,
        /// What the connection said, or how long was waited.
        reason: String,
    },
    /// No connection, and there is a proxy in between.
    #[error(
        "cannot reach {url} through the proxy {proxy}: {reason}\n  check the proxy, which `proxy` in [model] names, or \
         HTTPS_PROXY, HTTP_PROXY or ALL_PROXY in the environment; `proxy = \"none\"` goes around it"
    )]
    Proxy {
        /// The endpoint, without query.
        url: String,
        /// The proxy, without user and password.
        proxy: String,
        /// What the connection, or the proxy, said.
        reason: String,
        /// Whether another attempt may go through.
        may_pass: bool,
    },
    /// The provider refused the key.
    #[error(
        "{url} refused the API key (HTTP {status}): {message}\n  check what `api_key_env` or `api_key_file` in [model] names"
    )]
    Unauthorized {
        /// The endpoint, without query.
        url: String,
        /// 401 or 403.
        status: u16,
        /// What the provider said.
        message: String,
    },
    /// The provider answered with an error.
    #[error("{url} answered HTTP {status}: {message}{}", help(*.status))]
    Status {
        /// The endpoint, without query.
        url: String,
        /// The HTTP status, or the one that a failure told in the middle of an answer would have had.
        status: u16,
        /// What the provider said, shortened.
        message: String,
        /// How long the provider asks to wait before a retry, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// The provider says that the conversation is longer than the model reads.
    #[error(
        "{url} answered HTTP {status}: {message}\n  the conversation does not fit the model: set `compact_at_tokens` in \
         [limits] well below what it reads, let it read less of results (`shown` in a tool's limits), or lower `max_tokens` \
         in [model], which counts as well"
    )]
    TooLong {
        /// The endpoint, without query.
        url: String,
        /// The HTTP status, or the one that a failure told in the middle of an answer would have had.
        status: u16,
        /// What the provider said, shortened.
        message: String,
    },
    /// The provider's answer cannot be read. The next one may be: what was lost or garbled on the way is not known.
    #[error(
        "{url} answered with something that is not a reply: {reason}\n  do `base_url` and `provider` in [model] fit each other?"
    )]
    Malformed {
        /// The endpoint, without query.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A key, or another secret that goes along with requests, cannot be had.
    #[error("{reason}\n  {help}")]
    Secret {
        /// Where it should be.
        kept_in: SecretSource,
        /// Why it is not there.
        reason: String,
        /// What to do: what it is for, and which key of agent.toml names it.
        help: String,
    },
    /// The model cannot be set up from its configuration.
    #[error("{0}")]
    Setup(String),
    /// The script does not fit the run.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The failure that a script has at this place.
    #[error("{0}")]
    Given(ModelFailure),
}

/// What to do about a status; nothing where the provider's own words have to do.
fn help(status: u16) -> &'static str {
    match status {
        402 => "\n  the account behind the API key has nothing left: see to it at the provider",
        404 => {
            "\n  check `name` in [model], and that `base_url` is the address of this interface: there is nothing at it"
        }
        _ => "",
    }
}

impl From<ModelError> for ModelFailure {
    fn from(error: ModelError) -> Self {
        let (status, may_pass, retry_after_ms) = match &error {
            ModelError::Given(failure) => return failure.clone(),
            ModelError::Unreachable { .. } | ModelError::CutOff { .. } | ModelError::Malformed { .. } => {
                (None, true, None)
            }
            ModelError::Proxy { may_pass, .. } => (None, *may_pass, None),
            // Timeouts, conflicts, too many requests, and what is the server's own fault (529: overloaded).
            ModelError::Status { status: status @ (408 | 409 | 429 | 500..=599), retry_after_ms, .. } => {
                (Some(*status), true, *retry_after_ms)
            }
            ModelError::Status { status, .. }
            | ModelError::Unauthorized { status, .. }
            | ModelError::TooLong { status, .. } => (Some(*status), false, None),
            ModelError::Secret { .. } | ModelError::Setup(_) | ModelError::Script(_) => (None, false, None),
        };
        let too_long = matches!(error, ModelError::TooLong { .. });
        let (message, fall_back, streamed, shortens) = (error.to_string(), false, false, false);
        Self { message, may_pass, status, retry_after_ms, fall_back, streamed, too_long, shortens }
    }
}
