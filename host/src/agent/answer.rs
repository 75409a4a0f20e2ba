use crate::message::{Ending, Json, JsonError, Reply, Rules, Stop, Told, Topic};
use crate::schema::{About, Schema};

/// Holds the last word of a run to the schema that agent.toml names, if it names one, and to saying anything.
pub(super) struct Answer {
    schema: Option<Schema>,
    rules: Rules,
    /// Whether the model said nothing in its last reply, and was told so.
    said_nothing: bool,
    /// Whether the model was told once what is wrong with its answer.
    told: bool,
}

/// What becomes of a reply without calls.
pub(super) enum LastWord {
    /// It ends the run, so.
    Ends(Ending),
    /// The model is told this, and asked once more.
    Told(Told),
}

impl Answer {
    pub(super) fn new(schema: Option<&Json>, rules: Rules) -> Self {
        Self { schema: schema.map(Schema::new), rules, said_nothing: false, told: false }
    }

    /// The model made calls: it goes on with its work, whatever it did before.
    pub(super) fn goes_on(&mut self) {
        self.said_nothing = false;
    }

    pub(super) async fn judge(&mut self, reply: &Reply) -> LastWord {
        let text = &reply.text;
        match reply.stop {
            Stop::Refusal => LastWord::Ends(Ending::Refused(text.clone())),
            Stop::MaxTokens => LastWord::Ends(Ending::Limit(format!(
                "the answer was cut off at the model's token limit (max_tokens in [model]); it begins: {text}"
            ))),
            Stop::ContextWindow => LastWord::Ends(Ending::Limit(format!(
                "the answer was cut off because the conversation fills the model's context window; it begins: {text}"
            ))),
            Stop::End | Stop::ToolCalls | Stop::Paused | Stop::Other(_)
                if text.trim().is_empty() && self.rules.an_answer_says_something() =>
            {
                self.ask_once_more(&reply.stop)
            }
            Stop::End | Stop::ToolCalls | Stop::Paused | Stop::Other(_) => self.hold(text).await,
        }
    }

    /// What becomes of a reply that says nothing and calls nothing.
    fn ask_once_more(&mut self, stop: &Stop) -> LastWord {
        if !std::mem::replace(&mut self.said_nothing, true) {
            return LastWord::Told(Told { topic: Topic::EmptyReply, text: SAID_NOTHING.to_owned() });
        }
        let reason = match stop {
            Stop::Other(word) if word != Stop::UNSAID => {
                format!("; the provider says that it ended with `{word}`")
            }
            Stop::End
            | Stop::ToolCalls
            | Stop::MaxTokens
            | Stop::ContextWindow
            | Stop::Paused
            | Stop::Refusal
            | Stop::Other(_) => String::new(),
        };
        LastWord::Ends(Ending::Empty(format!(
            "the model's reply was empty, and empty again when it was asked once more{reason}"
        )))
    }

    async fn hold(&mut self, text: &str) -> LastWord {
        self.said_nothing = false;
        let Some(schema) = &self.schema else { return LastWord::Ends(Ending::Answer(text.to_owned())) };
        let json = bare(text);
        let about = About { explains_patterns: self.rules.patterns_are_explained(), ..About::ANSWER };
        let why = match parsed(json, self.rules) {
            Ok(value) => match schema.check(about, &value).await {
                Ok(()) => return LastWord::Ends(Ending::Answer(json.to_owned())),
                Err(why) => why,
            },
            Err(error) => format!("the answer is not JSON: {error}"),
        };
        if std::mem::replace(&mut self.told, true) {
            return LastWord::Ends(Ending::Unfit { answer: text.to_owned(), why });
        }
        let text = format!("{why}\nAnswer again: one JSON value that fits the schema, and no other text.");
        LastWord::Told(Told { topic: Topic::UnfitAnswer, text })
    }
}

/// What the model is told of a reply that says nothing. It is recorded with each request that it comes with.
const SAID_NOTHING: &str =
    "Your last reply was empty: it had no text and called no tool. Answer, or call a tool.";

/// The answer as a value. At first, numbers went through 64 bits, and of two members of one name the last one counted.
fn parsed(text: &str, rules: Rules) -> Result<Json, JsonError> {
    if rules.numbers_are_exact() {
        return Json::parse(text.to_owned());
    }
    Ok(Json::canonical(&serde_json::from_str::<serde_json::Value>(text)?))
}

/// The text without the fence that many models put around JSON.
fn bare(text: &str) -> &str {
    let text = text.trim();
    let fenced = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    fenced
        .and_then(|rest| rest.strip_suffix("```"))
        .filter(|rest| !rest.contains("```"))
        .map_or(text, str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fence_around_the_whole_answer_is_taken_off() {
        for (text, json) in [
            (" {\"a\":1}\n", "{\"a\":1}"),
            ("```json\n{\"a\":1}\n```", "{\"a\":1}"),
            ("```\n[1]\n```\n", "[1]"),
            ("Here: ```json\n1\n```", "Here: ```json\n1\n```"),
            ("```json\n1\n```\n```json\n2\n```", "```json\n1\n```\n```json\n2\n```"),
            ("", ""),
        ] {
            assert_eq!(bare(text), json, "{text}");
        }
    }
}
