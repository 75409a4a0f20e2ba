//! How servers say that a conversation is longer than their model reads.
//!
//! Few have a code for it, and the status, mostly 400, is that of many mistakes, so that the words have to do. They were
//! looked up, server by server: in its source or documentation, where these are public, else in what its users reported.
//! Where a server has other words, the run breaks off with them, as it does at any other mistake.

/// The codes and kinds of errors.
const KINDS: [&str; 4] = [
    // OpenAI and Azure: github.com/Azure/azure-sdk-for-net/issues/41892.
    "context_length_exceeded",
    // llama.cpp: github.com/ggml-org/llama.cpp/pull/15780.
    "exceed_context_size_error",
    // Anthropic, for more than 32 MB: platform.claude.com/docs/en/api/errors.
    "request_too_large",
    // GitHub: github.com/microsoft/copilot-intellij-feedback/issues/94.
    "model_max_prompt_tokens_exceeded",
];

/// Parts of messages, in small letters.
const WORDS: [&str; 20] = [
    // OpenAI's chat completions, Azure, vLLM (github.com/vllm-project/vllm/pull/33425), OpenRouter
    // (github.com/Aider-AI/aider/issues/3721), DeepSeek (github.com/RooCodeInc/Roo-Code/issues/1767).
    "maximum context length",
    // OpenAI's responses: github.com/dyad-sh/dyad/issues/1672.
    "exceeds the context window",
    // OpenAI and Azure, where the input has a limit of its own: github.com/BerriAI/litellm/issues/15968.
    "input tokens exceed the configured limit",
    // LiteLLM, which puts its own name of it before the provider's words: github.com/BerriAI/litellm/issues/7259.
    "contextwindowexceedederror",
    // Who passes the code on in words: github.com/Azure/azure-sdk-for-python/issues/40986.
    "context_length_exceeded",
    "context length exceeded",
    // Anthropic, and Bedrock with its models: github.com/strands-agents/harness-sdk/pull/1663.
    "prompt is too long",
    // Anthropic, where what it may reply does not fit beside it: github.com/docker/docker-agent/issues/569.
    "exceed context limit",
    // Bedrock: github.com/anthropics/claude-code/issues/760.
    "input is too long for requested model",
    // Gemini (github.com/google-gemini/gemini-cli/issues/6678), Vertex (github.com/googleapis/python-genai/issues/2050).
    "exceeds the maximum number of tokens",
    // vLLM's engine, where pictures are part of the prompt: github.com/vllm-project/vllm/pull/12600.
    "longer than the maximum model length",
    // llama.cpp before it had a kind for it, and who passes its words on: github.com/continuedev/continue/issues/9797.
    "exceeds the available context size",
    // Ollama: llm/llama_server.go in github.com/ollama/ollama.
    "exceeds the context length",
    // LM Studio: github.com/lmstudio-ai/lmstudio-bug-tracker/issues/546, github.com/anomalyco/opencode/issues/11141.
    "context the overflows",
    "cannot truncate prompt with n_keep",
    // SGLang: github.com/BerriAI/litellm/issues/10793.
    "longer than the model's context length",
    // xAI: github.com/cline/cline/issues/3120.
    "maximum prompt length is",
    // GitHub, where it has no code: github.com/microsoft/vscode-copilot-release/issues/6700.
    "prompt token count of",
    // DeepInfra and Moonshot, as several clients quote them.
    "exceeds maximum input length",
    "exceeded model token limit",
];

/// Whether an error of these codes and kinds, with these texts, is that of a conversation that is too long.
pub(super) fn is_said<'a>(
    mut kinds: impl Iterator<Item = &'a str>,
    mut texts: impl Iterator<Item = &'a str>,
) -> bool {
    let has_words = |text: &str| {
        let text = text.to_ascii_lowercase();
        WORDS.iter().any(|words| text.contains(words))
    };
    kinds.any(|kind| KINDS.contains(&kind)) || texts.any(has_words)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::model::remote::failure::Failure;

    fn is_too_long(body: &Value) -> bool {
        Failure::told(body, "").too_long
    }

    fn openai(message: &str) -> Value {
        json!({"error": {"message": message, "type": "invalid_request_error", "param": "messages", "code": null}})
    }

    fn anthropic(message: &str) -> Value {
        json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}})
    }

    #[test]
    fn each_server_says_in_its_own_way_that_a_conversation_is_too_long() {
        for body in [
            json!({"error": {"code": "context_length_exceeded", "message": "no"}}),
            json!({"type": "response.failed", "response": {"error": {"code": "context_length_exceeded"}}}),
            openai(
                "This model's maximum context length is 4097 tokens. However, you requested 4120 tokens (3120 in the messages, 1000 in the completion).",
            ),
            openai(
                "Your input exceeds the context window of this model. Please adjust your input and try again.",
            ),
            openai(
                "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 509178 tokens.",
            ),
            openai(
                "litellm.BadRequestError: litellm.ContextWindowExceededError: AnthropicError - {}\nReceived Model Group=x",
            ),
            openai("prompt token count of 65446 exceeds the limit of 64000"),
            openai("Invalid request: Your request exceeded model token limit: 8192"),
            openai("The decoder prompt (length 8357) is longer than the maximum model length of 8192."),
            anthropic("prompt is too long: 209303 tokens > 200000 maximum"),
            anthropic(
                "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length or `max_tokens` and try again",
            ),
            json!({"type": "error", "error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}}),
            json!({"message": "Input is too long for requested model."}),
            json!({"message": "The model returned the following errors: prompt is too long: 903884 tokens > 200000 maximum"}),
            json!({"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576)."}}),
            json!({"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "The input token count exceeds the maximum number of tokens allowed (1048576)."}}),
            json!({"object": "error", "message": "This model's maximum context length is 2048 tokens. However, your messages resulted in 3503 tokens.", "code": 40303}),
            json!({"error": {"message": "This model's maximum context length is 2048 tokens. However, your request has 8 input tokens plus 2045 'max_tokens'.", "type": "BadRequestError", "param": "input_tokens, max_tokens", "code": 400}}),
            json!({"error": {"code": 500, "message": "no", "type": "exceed_context_size_error", "n_prompt_tokens": 1407, "n_ctx": 256}}),
            json!({"error": {"message": "request (302 tokens) exceeds the available context size (256 tokens), try increasing it"}}),
            json!({"error": "the input length exceeds the context length"}),
            json!({"error": "Trying to keep the first 6269 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens, which is not enough."}),
            json!({"error": "Cannot truncate prompt with n_keep (15028) >= n_ctx (7424)"}),
            json!({"error": "This model's maximum prompt length is 131072 but the request contains 136973 tokens."}),
            json!({"object": "error", "message": "The input (9000 tokens) is longer than the model's context length (8192 tokens)."}),
            json!({"error": {"code": 400, "message": "This endpoint's maximum context length is 131072 tokens. However, you requested about 141607 tokens", "metadata": {"provider_name": "Chutes"}}}),
            json!({"error": {"code": 400, "message": "Provider returned error", "metadata": {"raw": "{\"message\":\"prompt is too long: 2 tokens > 1 maximum\"}", "provider_name": "Amazon Bedrock"}}}),
            json!({"error": {"code": 400, "message": "Provider returned error", "metadata": {"raw": "Requested input length 39818 exceeds maximum input length 32767", "provider_name": "DeepInfra"}}}),
        ] {
            assert!(is_too_long(&body), "{body}");
        }
    }

    #[test]
    fn no_other_mistake_is_taken_for_it() {
        for body in [
            openai("max_tokens is too large: 200000. This model supports at most 16384 completion tokens"),
            openai("Invalid 'user': string too long. Expected a string with maximum length 64"),
            anthropic("tools.0.name: String should have at most 64 characters"),
            json!({"error": {"code": "string_above_max_length", "message": "too long"}}),
            json!({"error": {"code": "rate_limit_exceeded", "type": "tokens", "message": "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000."}}),
            json!({"error": {"code": 400, "message": "Provider returned error", "metadata": {"raw": "model is overloaded", "provider_name": "X"}}}),
            json!({"error": {"metadata": {"raw": 1}}}),
            json!(null),
        ] {
            assert!(!is_too_long(&body), "{body}");
        }
    }
}
