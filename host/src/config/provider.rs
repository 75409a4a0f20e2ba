//! The `[model]` table: which keys a provider takes, and which it needs.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;

use super::bounds::TAG_BYTES_MAX;
use super::raw::{self, ProviderName};
use super::validate::Check;
use super::{Api, InText, ModelConfig, Provider, ReasoningTags, RemoteConfig, TextCalls};
use crate::document::{can_name_secret, quote};
use crate::grants::SecretSource;
use crate::message::{Json, Prices, Retry};

/// What the host itself writes into requests.
const RESERVED: [&str; 9] = [
    "model",
    "messages",
    "input",
    "contents",
    "instructions",
    "system",
    "systemInstruction",
    "tools",
    "stream",
];

/// By which `OpenAI` is asked to say what tokens a streamed answer took.
const STREAM_OPTIONS: &str = "stream_options";

/// The models of an agent.
pub(super) struct Models {
    pub(super) first: ModelConfig,
    pub(super) fallbacks: Vec<ModelConfig>,
    pub(super) summary: Option<ModelConfig>,
    pub(super) retry: Retry,
}

impl Models {
    /// All of them, the first choice first and the one for summaries last.
    pub(super) fn all(&self) -> impl Iterator<Item = &ModelConfig> {
        std::iter::once(&self.first).chain(&self.fallbacks).chain(&self.summary)
    }
}

impl Check<'_> {
    /// `None` if a provider's own keys are wrong; what is wrong has been noted then.
    pub(super) fn models(&mut self, mut raw: raw::Model) -> Option<Models> {
        let retry = self.model_retry(raw.retry.take().map(Spanned::into_inner).unwrap_or_default());
        let (fallbacks, summary) = (std::mem::take(&mut raw.fallback), raw.summary.take());
        let first = self.model(raw);
        let fallbacks: Vec<Option<ModelConfig>> =
            fallbacks.into_iter().map(|raw| self.other_model(raw)).collect();
        let summary = match summary {
            Some(raw) => Some(self.summary_model(*raw)?),
            None => None,
        };
        let fallbacks = fallbacks.into_iter().collect::<Option<_>>()?;
        Some(Models { first: first?, fallbacks, summary, retry })
    }

    /// One that is not the first choice.
    fn other_model(&mut self, raw: raw::Model) -> Option<ModelConfig> {
        let alone = raw.retry.as_ref().map(|it| ("retry", it.span()));
        let alone = alone.or_else(|| Some(("fallback", raw.fallback.first()?.provider.span())));
        let alone = alone.or_else(|| Some(("summary", raw.summary.as_ref()?.provider.span())));
        if let Some((key, span)) = alone {
            let message = format!("`{key}` belongs to [model] itself");
            self.problem(span, message, "move it there: it holds for all models");
        }
        self.model(raw)
    }

    /// The one for summaries.
    fn summary_model(&mut self, raw: raw::Model) -> Option<ModelConfig> {
        if *raw.provider.get_ref() == ProviderName::Scripted {
            let message = "a script cannot stand in [model.summary]";
            let help = "take the table out: the script of [model] has the summaries, each a [[reply]] with `summary = true`";
            self.problem(raw.provider.span(), message, help);
        }
        if let Some(form) = &raw.structured_output {
            let message = "`structured_output` has no meaning in [model.summary]: a summary has no form";
            self.problem(form.span(), message, "take it out");
        }
        self.other_model(raw)
    }

    fn model(&mut self, raw: raw::Model) -> Option<ModelConfig> {
        let prices = raw.prices.as_ref().map(|it| Prices { input: it.input, output: it.output });
        let temperature = raw.temperature.as_ref().map(|it| *it.get_ref());
        let max_tokens = raw.max_tokens.as_ref().map(|it| *it.get_ref());
        let provider = match raw.provider.get_ref() {
            ProviderName::Scripted => self.scripted(raw),
            ProviderName::Remote(api) => self.remote(*api, raw),
        }?;
        Some(ModelConfig { provider, temperature, max_tokens, prices })
    }

    fn scripted(&mut self, raw: raw::Model) -> Option<Provider> {
        for (key, span) in [
            ("name", span(raw.name.as_ref())),
            ("base_url", span(raw.base_url.as_ref())),
            ("api_key_env", span(raw.api_key_env.as_ref())),
            ("api_key_file", span(raw.api_key_file.as_ref())),
            ("temperature", span(raw.temperature.as_ref())),
            ("max_tokens", span(raw.max_tokens.as_ref())),
            ("stream", span(raw.stream.as_ref())),
            ("structured_output", span(raw.structured_output.as_ref())),
            ("extra", span(raw.extra.as_ref())),
            ("reasoning_tags", span(raw.reasoning_tags.as_ref())),
            ("text_calls", span(raw.text_calls.as_ref())),
            ("omit", raw.omit.first().map(Spanned::span)),
            ("headers", raw.headers.keys().next().map(Spanned::span)),
            ("proxy", span(raw.proxy.as_ref())),
            ("timeout", span(raw.timeout.as_ref())),
            ("idle_timeout", span(raw.idle_timeout.as_ref())),
        ] {
            self.meaningless(key, "scripted", span);
        }
        let help = "add `script = \"script.toml\"`, a file of [[reply]] tables";
        let script = self.needed("script", "scripted", raw.script, raw.provider.span(), help)?;
        Some(Provider::Scripted { script: self.path("script", &script)? })
    }

    fn remote(&mut self, api: Api, raw: raw::Model) -> Option<Provider> {
        let connection = self.connection(&raw);
        let raw::Model { provider, script, name, base_url, api_key_env, api_key_file, omit, .. } = raw;
        let is_set = |flag: Option<Spanned<bool>>| flag.is_some_and(Spanned::into_inner);
        self.meaningless("script", api.as_str(), span(script.as_ref()));
        let base_url = match base_url {
            Some(url) => self.base_url(&url),
            None => Some(api.base_url().to_owned()),
        };
        let key = self.key(api_key_env, api_key_file);
        let help = "add `name = \"…\"`, the model's name at the provider";
        let name = self.needed("name", api.as_str(), name, provider.span(), help)?;
        if name.get_ref().trim().is_empty() {
            self.problem(name.span(), "the model's name is empty", "write the model's name at the provider");
        }
        let extra = raw.extra.and_then(|extra| self.extra(&extra));
        let omit = self.omit(omit);
        let reasoning = raw.reasoning_tags.and_then(|tags| self.reasoning_tags(&tags));
        let calls = raw.text_calls.map(|form| match form.into_inner() {
            raw::TextCallsForm::Hermes => TextCalls::Hermes,
            raw::TextCallsForm::Llama3Json => TextCalls::Llama3Json,
            raw::TextCallsForm::Mistral => TextCalls::Mistral,
        });
        let base_url = base_url?;
        // The default only where the key belongs: it must not be sent to any other endpoint unasked.
        let default_key = api.key_variable().filter(|_| base_url == api.base_url());
        Some(Provider::Remote(RemoteConfig {
            api,
            name: name.into_inner(),
            key: key.or_else(|| default_key.map(|name| SecretSource::Env(name.to_owned()))),
            base_url,
            stream: is_set(raw.stream),
            structured_output: is_set(raw.structured_output),
            extra,
            omit,
            in_text: InText { reasoning, calls },
            connection,
        }))
    }

    /// The models of an agent, each with what `[agent]` says for all of them.
    pub(super) fn inherited(&mut self, mut model: raw::Model, all: Option<&Spanned<bool>>) -> raw::Model {
        let Some(all) = all else { return model };
        if let Some(own) = &model.structured_output {
            let names = ["structured_output in [agent]", "structured_output in [model]"];
            self.twice((names[0], all.span()), (names[1], own.span()));
        }
        let inherit = |model: &mut raw::Model| match model.provider.get_ref() {
            ProviderName::Remote(_) if model.structured_output.is_none() => {
                model.structured_output = Some(all.clone());
            }
            ProviderName::Remote(_) | ProviderName::Scripted => {}
        };
        inherit(&mut model);
        model.fallback.iter_mut().for_each(inherit);
        model
    }

    /// Whether the models that are to hold the answer to its form can be asked to.
    pub(super) fn structured_outputs(
        &mut self,
        model: &raw::Model,
        all: Option<&Spanned<bool>>,
        has_form: bool,
        has_tools: bool,
    ) {
        // What [agent] says for all is one problem, however many models it is for.
        let mut told: Vec<Range<usize>> = Vec::new();
        let of_models = std::iter::once(model).chain(&model.fallback).map(|it| {
            let alone = match it.provider.get_ref() {
                ProviderName::Remote(api) => api.form_without_calls(),
                ProviderName::Scripted => None,
            };
            (it.structured_output.as_ref(), alone)
        });
        for (key, alone) in std::iter::once((all, None)).chain(of_models) {
            let Some(key) = key.filter(|it| *it.get_ref() && !told.contains(&it.span())) else { continue };
            if !has_form {
                let message = "structured_output is set, and there is no form of the answer";
                self.problem(key.span(), message, "add `output_schema` to [agent], or take it out");
                told.push(key.span());
            }
            if let (true, Some(why)) = (has_tools, alone) {
                let message = format!("{why}, so that a model with structured_output calls no tool");
                let help = "take it out: the model is told the form, and its answer is checked, in any case";
                self.problem(key.span(), message, help);
                told.push(key.span());
            }
        }
    }

    /// Whether the models that stream say what tokens they took, where a limit counts them.
    pub(super) fn counted(&mut self, model: &raw::Model, limits: &raw::Limits) {
        let counting = [
            ("max_total_tokens", limits.max_total_tokens.is_some()),
            ("max_cost_usd", limits.max_cost_usd.is_some()),
            ("compact_at_tokens", limits.compact_at_tokens.is_some()),
        ];
        let Some((limit, _)) = counting.into_iter().find(|(_, is_set)| *is_set) else { return };
        for model in std::iter::once(model).chain(&model.fallback).chain(model.summary.as_deref()) {
            let (ProviderName::Remote(api), Some(stream), Some(base_url)) =
                (model.provider.get_ref(), &model.stream, &model.base_url)
            else {
                continue;
            };
            let asked =
                model.extra.as_ref().is_some_and(|extra| extra.get_ref().contains_key(STREAM_OPTIONS));
            let known = model.omit.iter().any(|way| way.get_ref() == STREAM_OPTIONS);
            if *stream.get_ref() && !api.counts_streamed(base_url.get_ref()) && !asked && !known {
                let message = format!(
                    "`{limit}` in [limits] counts tokens, of which this server may say nothing while it streams"
                );
                let help = "if it knows them, ask with `extra = { stream_options = { include_usage = true } }`; if it \
                            counts unasked, say so with `omit = [\"stream_options\"]`; or take `stream` out";
                self.problem(stream.span(), message, help);
            }
        }
    }

    fn key(
        &mut self,
        variable: Option<Spanned<String>>,
        file: Option<Spanned<std::path::PathBuf>>,
    ) -> Option<SecretSource> {
        if let Some(name) = variable.as_ref().filter(|name| !can_name_secret(name.get_ref())) {
            // The message does not repeat the value: it may be the key itself.
            let help = "write the variable's name, as in \"OPENAI_API_KEY\", not the key";
            self.problem(name.span(), "api_key_env is not the name of a variable, in capitals", help);
        }
        match (variable, file) {
            (Some(_), Some(file)) => {
                let message = "both `api_key_env` and `api_key_file` are given";
                self.problem(file.span(), message, "keep one of them");
                None
            }
            (Some(variable), None) => Some(SecretSource::Env(variable.into_inner())),
            (None, Some(file)) => Some(SecretSource::File(self.path("api_key_file", &file)?)),
            (None, None) => None,
        }
    }

    fn extra(&mut self, raw: &Spanned<toml::Table>) -> Option<Json> {
        if let Some(key) = RESERVED.iter().find(|key| raw.get_ref().contains_key(**key)) {
            let message = format!("extra has `{key}`, which the host writes itself");
            self.problem(raw.span(), message, "take it out");
        }
        match json(&toml::Value::Table(raw.get_ref().clone())) {
            Ok(value) => Some(Json::canonical(&value)),
            Err(what) => {
                let message = format!("extra has {}, which JSON has not", quote(&what));
                self.problem(raw.span(), message, "write it as a text");
                None
            }
        }
    }

    fn omit(&mut self, raw: Vec<Spanned<String>>) -> Vec<String> {
        for way in &raw {
            let text = way.get_ref();
            let problem = if text.split('.').any(str::is_empty) {
                "is not the way to a member"
            } else if RESERVED.contains(&text.as_str()) && text != "stream" {
                "is what no request can do without"
            } else {
                continue;
            };
            let help = "write the names on the way to what is left out, as in \"tools.function.strict\"";
            self.problem(way.span(), format!("omit has \"{}\", which {problem}", quote(text)), help);
        }
        raw.into_iter().map(Spanned::into_inner).collect()
    }

    fn reasoning_tags(&mut self, raw: &Spanned<Vec<String>>) -> Option<ReasoningTags> {
        let is_tag = |tag: &str| tag.len() <= TAG_BYTES_MAX && tag == tag.trim();
        match raw.get_ref().as_slice() {
            [open, close] if is_tag(open) && is_tag(close) && !close.is_empty() && open != close => {
                Some(ReasoningTags { open: open.clone(), close: close.clone() })
            }
            _ => {
                let help = format!(
                    "write what stands before what the model thought, and what stands behind it, as in [\"<think>\", \
                     \"</think>\"], each up to {TAG_BYTES_MAX} bytes; the first is empty where each reply begins in the \
                     middle of it"
                );
                self.problem(raw.span(), "reasoning_tags is not a pair of tags", help);
                None
            }
        }
    }

    fn meaningless(&mut self, key: &str, provider: &str, span: Option<Range<usize>>) {
        if let Some(span) = span {
            let message = format!("`{key}` has no meaning for provider = \"{provider}\"");
            self.problem(span, message, "remove it, or choose the provider it is for");
        }
    }

    fn needed<T>(
        &mut self,
        key: &str,
        provider: &str,
        value: Option<Spanned<T>>,
        at: Range<usize>,
        help: &str,
    ) -> Option<Spanned<T>> {
        if value.is_none() {
            self.problem(at, format!("provider = \"{provider}\" needs `{key}`"), help);
        }
        value
    }
}

/// A TOML value as JSON; the error is what JSON has no form for.
pub(super) fn json(value: &toml::Value) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) if number.is_finite() => Value::from(*number),
        toml::Value::Float(number) => return Err(number.to_string()),
        toml::Value::Boolean(value) => Value::from(*value),
        toml::Value::Datetime(moment) => return Err(moment.to_string()),
        toml::Value::Array(list) => Value::Array(list.iter().map(json).collect::<Result<_, _>>()?),
        toml::Value::Table(table) => {
            let member = |(key, value): (&String, &toml::Value)| Ok((key.clone(), json(value)?));
            Value::Object(table.iter().map(member).collect::<Result<_, String>>()?)
        }
    })
}

fn span<T>(value: Option<&Spanned<T>>) -> Option<Range<usize>> {
    value.map(Spanned::span)
}
