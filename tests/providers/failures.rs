//! Failures that are told in an answer that began with HTTP 200: none is a reply, and each says whether it may pass.

use host::message::{Message, ModelFailure};
use host::model::ModelError;
use serde_json::json;
use wiremock::ResponseTemplate;

use super::chat::completion;
use super::ollama::lines;
use super::{
    ANTHROPIC, CHAT, GEMINI, OLLAMA, RESPONSES, Server, ask, events, gemini, model, no_rules, reply_to, whole,
};

/// The status that an answer counts as, and whether the same request may be answered.
async fn status(provider: &str, answer: ResponseTemplate, stream: bool) -> (u16, bool) {
    let error = reply_to(provider, no_rules, answer, stream).await.unwrap_err();
    let status = match &error {
        ModelError::Status { status, .. }
        | ModelError::TooLong { status, .. }
        | ModelError::Unauthorized { status, .. } => *status,
        other => panic!("{other:?}"),
    };
    (status, ModelFailure::from(error).may_pass)
}

#[tokio::test]
async fn a_response_that_is_not_complete_is_none() {
    let of = |status: &str, more: &str| {
        format!(r#"{{"id":"r","object":"response","status":"{status}","model":"m","output":[]{more}}}"#)
    };
    let limited = r#","error":{"code":"rate_limit_exceeded","message":"slow down"}"#;
    let refused = r#","error":{"code":"invalid_prompt","message":"no"}"#;
    for (body, expected) in [
        (of("failed", r#","error":{"code":"server_error","message":"it broke"}"#), (500, true)),
        (of("failed", limited), (429, true)),
        (of("failed", refused), (400, false)),
        (of("failed", ""), (500, true)),
        (of("cancelled", r#","error":null"#), (500, true)),
        (of("queued", ""), (500, true)),
        (of("in_progress", ""), (500, true)),
        (of("incomplete", r#","incomplete_details":{"reason":"something_new"}"#), (500, true)),
    ] {
        assert_eq!(status(RESPONSES, whole(&body), false).await, expected, "{body}");
    }
    let broke = of("failed", r#","error":{"code":"server_error","message":"it broke"}"#);
    let error = reply_to(RESPONSES, no_rules, whole(&broke), false).await.unwrap_err();
    assert!(error.to_string().ends_with("it broke"), "{error}");
}

#[tokio::test]
async fn a_choice_that_ends_in_an_error_is_none() {
    let said = r#"{"role":"assistant","content":"So"}"#;
    let beside = |at: &str, error: &str| completion(said, "error").replacen(at, &format!("{error},{at}"), 1);
    let gone = r#""error":{"code":502,"message":"the provider went away"}"#;
    for (body, expected) in [
        (completion(said, "error"), (500, true)),
        (completion(said, "insufficient_system_resource"), (500, true)),
        (completion(said, "abort"), (500, true)),
        (beside(r#""index":0"#, gone), (502, true)),
        (beside(r#""object""#, gone), (502, true)),
        (beside(r#""object""#, r#""error":{"code":403,"message":"no"}"#), (403, false)),
    ] {
        assert_eq!(status(CHAT, whole(&body), false).await, expected, "{body}");
    }
    let chunk = |rest: &str| {
        format!(
            r#"{{"id":"c","object":"chat.completion.chunk",{rest},"delta":{{"role":"assistant","content":""}}}}]}}"#
        )
    };
    let ended = r#""choices":[{"index":0,"finish_reason":"error""#;
    for (rest, expected) in [
        (format!("{gone},{ended}"), (502, true)),
        (format!(r#""error":{{"code":"insufficient_quota","message":"no"}},{ended}"#), (402, false)),
        (ended.to_owned(), (500, true)),
        (ended.replace("error", "insufficient_system_resource"), (500, true)),
    ] {
        let answer = events(&[&chunk(r#""choices":[{"index":0"#), &chunk(&rest), "[DONE]"]);
        assert_eq!(status(CHAT, answer, true).await, expected, "{rest}");
    }
}

#[tokio::test]
async fn gemini_ends_well_or_in_a_refusal_or_not_at_all() {
    for reason in [
        "OTHER",
        "LANGUAGE",
        "MALFORMED_RESPONSE",
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "FINISH_REASON_UNSPECIFIED",
        "SOMETHING_NEW",
    ] {
        let body = gemini::answer(&[r#"{"text":"So"}"#], reason).replace('\n', "");
        for (answer, stream) in [(whole(&body), false), (events(&[&body]), true)] {
            assert_eq!(status(GEMINI, answer, stream).await, (500, true), "{reason}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_an_error_counts_by_its_code_or_kind() {
    for (provider, error, expected) in [
        (CHAT, json!({"error": {"code": 502, "message": "upstream is down"}}), (502, true)),
        (CHAT, json!({"error": {"message": "no such model"}}), (500, true)),
        (
            CHAT,
            json!({"error": {"message": "no", "type": "invalid_request_error", "code": null}}),
            (400, false),
        ),
        (CHAT, json!({"error": {"message": "no", "code": "context_length_exceeded"}}), (400, false)),
        (CHAT, json!({"object": "error", "message": "no", "code": 400}), (400, false)),
        (RESPONSES, json!({"error": {"message": "no", "code": "insufficient_quota"}}), (402, false)),
        (
            ANTHROPIC,
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "no"}}),
            (529, true),
        ),
        (
            ANTHROPIC,
            json!({"type": "error", "error": {"type": "authentication_error", "message": "no"}}),
            (401, false),
        ),
        (GEMINI, json!({"error": {"code": 503, "status": "UNAVAILABLE", "message": "no"}}), (503, true)),
        (OLLAMA, json!({"error": "the runner has stopped"}), (500, true)),
    ] {
        assert_eq!(status(provider, whole(&error.to_string()), false).await, expected, "{error}");
    }
}

#[tokio::test]
async fn a_stream_that_fails_may_pass_unless_it_is_known_not_to() {
    let chat = |error: &str| format!(r#"{{"error":{error}}}"#);
    let failed = |error: &str| {
        format!(r#"{{"type":"response.failed","response":{{"status":"failed","error":{error}}}}}"#)
    };
    let message = |kind: &str| format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"no"}}}}"#);
    for (provider, event, expected) in [
        (CHAT, chat(r#"{"message":"no","type":"server_error","code":null}"#), (500, true)),
        (CHAT, chat(r#"{"message":"no","type":"something_new"}"#), (500, true)),
        (
            CHAT,
            chat(r#"{"message":"no","type":"invalid_request_error","code":"rate_limit_exceeded"}"#),
            (429, true),
        ),
        (CHAT, chat(r#"{"message":"no","type":"service_unavailable_error"}"#), (503, true)),
        (CHAT, chat(r#"{"message":"no","code":"429"}"#), (429, true)),
        (CHAT, chat(r#"{"message":"no","code":"model_not_found"}"#), (404, false)),
        (CHAT, chat(r#""out of memory""#), (500, true)),
        (RESPONSES, failed(r#"{"code":"server_is_overloaded","message":"no"}"#), (503, true)),
        (RESPONSES, failed(r#"{"code":"slow_down","message":"no"}"#), (503, true)),
        (RESPONSES, failed(r#"{"code":"vector_store_timeout","message":"no"}"#), (500, true)),
        (RESPONSES, failed(r#"{"code":"invalid_prompt","message":"no"}"#), (400, false)),
        (
            RESPONSES,
            r#"{"type":"error","code":"context_length_exceeded","message":"no"}"#.into(),
            (400, false),
        ),
        (ANTHROPIC, message("overloaded_error"), (529, true)),
        (ANTHROPIC, message("api_error"), (500, true)),
        (ANTHROPIC, message("timeout_error"), (408, true)),
        (ANTHROPIC, message("permission_error"), (403, false)),
        (ANTHROPIC, message("billing_error"), (402, false)),
        (GEMINI, chat(r#"{"code":500,"status":"INTERNAL","message":"no"}"#), (500, true)),
    ] {
        assert_eq!(status(provider, events(&[&event]), true).await, expected, "{event}");
    }
    assert_eq!(status(OLLAMA, lines(&[r#"{"error":"the runner has stopped"}"#]), true).await, (500, true));
}

#[tokio::test]
async fn a_wait_that_only_the_body_names_is_kept() {
    let details = json!([
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.8s"},
    ]);
    let error =
        json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "no", "details": details}});
    let limited = ResponseTemplate::new(429).set_body_json(&error);
    for (answer, expected) in [
        (limited.clone(), 45_800),
        (limited.insert_header("retry-after", "2"), 2000),
        (events(&[&error.to_string()]), 45_800),
    ] {
        let server = Server::start(no_rules, vec![answer]).await;
        let messages = [Message::User("hi".into())];
        let error = model(GEMINI, &server.uri(), true).ask(&ask(&messages, &[])).await.unwrap_err();
        let failure = ModelFailure::from(error);
        assert_eq!((failure.status, failure.retry_after_ms), (Some(429), Some(expected)));
    }
}
