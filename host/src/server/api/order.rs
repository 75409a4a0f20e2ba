//! What a run is ordered with: the body of a request, read and checked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::super::problem::{Kind, Problem};
use super::Caller;
use super::body::{Members, objects};
use crate::config::render;
use crate::engine::{LoadedAgent, NewRun};
use crate::message::{Digest, Hasher, Image, Json, Moment, OrderKey, SessionKey};

/// The header with the key of a request.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// No client needs a longer one.
const KEY_BYTES_MAX: usize = 255;
/// The largest picture that every provider takes.
const IMAGE_BYTES_MAX: usize = 5 << 20;
/// As far ahead as a clock can be trusted.
const DELAY_MAX: Duration = Duration::from_hours(24 * 3660);

/// A run that is to begin.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NewRunBody {
    /// What to ask; by default the `prompt` of the agent.
    pub(super) prompt: Option<String>,
    /// The values of the agent's parameters: texts, numbers, `true` or `false`.
    #[schema(value_type = Object)]
    #[serde(deserialize_with = "members")]
    pub(super) parameters: BTreeMap<String, Value>,
    /// Pictures that belong to the prompt.
    #[serde(deserialize_with = "objects")]
    pub(super) images: Vec<ImageBody>,
    /// The session that it is the next run of: 1 to 64 of the characters A-Z a-z 0-9 _ - . @ :
    pub(super) session: Option<String>,
    /// How long to wait before it begins, as in `90s` or `1h 30m`.
    pub(super) delay: Option<String>,
    /// When it begins (RFC 3339), as in `2027-01-31T12:00:00Z`.
    pub(super) at: Option<String>,
}

/// A picture: PNG, JPEG, GIF or WebP, up to 5 MiB.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageBody {
    /// The bytes of the file, in base64 with padding.
    data: String,
}

fn members<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Value>, D::Error> {
    Members::deserialize(from).map(|Members(members)| members)
}

pub(super) fn duration(text: &str, place: &str) -> Result<Duration, Problem> {
    humantime::parse_duration(text).map_err(|error| {
        let problem = Problem::new(Kind::Malformed, format!("this is not a duration: {error}"));
        problem.at(place).help("write a number and a unit (ms, s, m, h), as in 30s")
    })
}

/// By what the order is known when it comes again, if its client says.
pub(super) fn key(
    headers: &HeaderMap,
    caller: &Caller,
    agent: &str,
    body: &NewRunBody,
) -> Result<Option<OrderKey>, Problem> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        let detail = format!("a key has 1 to {KEY_BYTES_MAX} characters");
        return Err(Problem::new(Kind::Malformed, detail).at("header Idempotency-Key"));
    }
    let of_client = Hasher::default().part(caller.0.name.as_bytes()).part(key.as_bytes()).finish();
    let body = Json::canonical(&serde_json::to_value(body).unwrap_or_default());
    let body = Digest::of_json(&(agent, body));
    Ok(Some(OrderKey { key: of_client, body }))
}

impl NewRunBody {
    pub(super) fn due_ms(&self) -> Result<Option<u64>, Problem> {
        match (&self.delay, &self.at) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(Problem::new(Kind::Malformed, "both `delay` and `at` are given")
                .at("body: at")
                .help("keep one of them")),
            (Some(delay), None) => {
                let delay = duration(delay, "body: delay")?;
                if delay > DELAY_MAX {
                    return Err(Problem::new(Kind::Unfit, "this is too far ahead").at("body: delay"));
                }
                let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                Ok(Some(Moment::now().0.saturating_add(delay_ms)))
            }
            (None, Some(at)) => match Moment::parse(at) {
                Ok(moment) if moment.since(Moment::now()) > DELAY_MAX => {
                    Err(Problem::new(Kind::Unfit, "this is too far ahead").at("body: at"))
                }
                Ok(moment) => Ok(Some(moment.0)),
                Err(error) => Err(Problem::new(Kind::Malformed, error.to_string()).at("body: at")),
            },
        }
    }

    /// The run of an agent that is ordered.
    pub(super) fn into_run(self, agent: Arc<LoadedAgent>) -> Result<NewRun, Problem> {
        let Self { prompt, parameters, images, session, delay: _, at: _ } = self;
        let given = parameters.into_iter().map(|(name, value)| Ok((name.clone(), plain_text(&name, value)?)));
        let given = given.collect::<Result<BTreeMap<String, String>, Problem>>()?;
        let unfit = |error: crate::config::ParameterError| {
            let said = error.to_string();
            Problem::new(Kind::Unfit, said.lines().next().unwrap_or_default()).at("body: parameters")
        };
        let config = agent.config();
        let given = crate::config::values(&config.parameters, &given).map_err(unfit)?;
        let prompt = match (prompt, &config.agent.prompt) {
            (Some(prompt), _) => prompt,
            (None, Some(template)) => render("the prompt", template, &given).map_err(unfit)?,
            (None, None) => {
                let help = "give a `prompt`; the agent has none of its own";
                return Err(Problem::new(Kind::Unfit, "there is nothing to ask")
                    .at("body: prompt")
                    .help(help));
            }
        };
        if prompt.trim().is_empty() {
            return Err(Problem::new(Kind::Unfit, "the prompt is empty").at("body: prompt"));
        }
        let session = session.map(|key| key.parse::<SessionKey>()).transpose();
        let session =
            session.map_err(|error| Problem::new(Kind::Malformed, error.to_string()).at("body: session"))?;
        let images = images.into_iter().enumerate().map(|(index, image)| image.read(index));
        let images = images.collect::<Result<Vec<Image>, Problem>>()?;
        Ok(NewRun::new(agent, prompt).parameters(given).images(images).session(session))
    }
}

impl ImageBody {
    fn read(self, index: usize) -> Result<Image, Problem> {
        let place = format!("body: images[{index}].data");
        if self.data.len() / 4 * 3 > IMAGE_BYTES_MAX {
            return Err(Problem::new(Kind::Unfit, "the picture is larger than 5 MiB").at(place));
        }
        let bytes = STANDARD.decode(self.data);
        let bytes = bytes.map_err(|error| {
            Problem::new(Kind::Malformed, format!("this is not base64: {error}")).at(&place)
        })?;
        Image::from_bytes(&bytes)
            .ok_or_else(|| Problem::new(Kind::Unfit, "this is no PNG, JPEG, GIF or WebP picture").at(place))
    }
}

/// The text that a parameter's value is.
fn plain_text(name: &str, value: Value) -> Result<String, Problem> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            let detail = format!("`{name}` is neither a text nor a number, nor true or false");
            Err(Problem::new(Kind::Malformed, detail).at(format!("body: parameters.{name}")))
        }
    }
}
