//! What goes on to the provider, and what comes back.

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::name;
use super::program::Program;
use crate::serve::server::Server;
use crate::support::Agent;

fn completion(content: &str) -> Value {
    json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m-1",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": content }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 } })
}

/// An agent whose provider is there, and a server that knows its key.
fn served(provider: &str, base_url: &str, gateway: &str) -> (Agent, Server) {
    let agent = Agent::raw(&format!(
        "version = 1\n[model]\nprovider = {provider:?}\nname = \"m\"\nbase_url = {base_url:?}\napi_key_env = \"OWNERS_KEY\"\n\n[gateway]\n{gateway}"
    ));
    let directory = agent.dir.path().to_str().unwrap();
    let mut command = agent.command(&["serve", directory, "--listen", "127.0.0.1:0"]);
    command.env("OWNERS_KEY", "sk-of-the-owner");
    let server = Server::spawned(command);
    (agent, server)
}

/// So many starts of a program, one after the other.
fn starts<'a>(server: &'a Server, program: &'a Program, count: usize) -> impl Iterator<Item = Program> + 'a {
    (0..count).map(|number| if number == 0 { program.clone() } else { Program::of(server, &program.run) })
}

fn body(text: &str) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": text }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_on_with_the_key_of_the_owner_and_is_asked_once() {
    let provider = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/chat/completions"))
        .and(header("authorization", "Bearer sk-of-the-owner"))
        .respond_with(
            ResponseTemplate::new(200)
                .set_body_json(completion("hello"))
                .insert_header("x-ratelimit-remaining-requests", "7")
                .insert_header("set-cookie", "a=b"),
        )
        .expect(1)
        .mount(&provider)
        .await;
    let (agent, server) = served("openai", &format!("{}/v1", provider.uri()), "");
    tokio::task::spawn_blocking(move || {
        let program = Program::new(&server, &name(&agent));
        for start in starts(&server, &program, 3) {
            let answer = start.chat(&body("u"));
            assert_eq!(answer.ok(), completion("hello"));
            assert!(answer.head.contains("x-ratelimit-remaining-requests: 7"), "{}", answer.head);
            assert!(!answer.head.contains("set-cookie"), "{}", answer.head);
        }
        let used = server.post(&format!("/runs/{}/end", program.run), &json!({})).ok();
        assert_eq!(used["used"]["tokens"], json!({ "input": 3, "output": 2 }), "{used}");
    })
    .await
    .unwrap();
    provider.verify().await;
    let sent = &provider.received_requests().await.unwrap()[0];
    assert_eq!(serde_json::from_slice::<Value>(&sent.body).unwrap(), body("u"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_twice_in_one_start_is_two_and_each_is_found_again() {
    let provider = MockServer::start().await;
    for text in ["one", "two"] {
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(200).set_body_json(completion(text)))
            .up_to_n_times(1)
            .expect(1)
            .mount(&provider)
            .await;
    }
    let (agent, server) = served("openai", &format!("{}/v1", provider.uri()), "");
    tokio::task::spawn_blocking(move || {
        let program = Program::new(&server, &name(&agent));
        for start in starts(&server, &program, 2) {
            let said = || start.chat(&body("u")).ok()["choices"][0]["message"]["content"].clone();
            assert_eq!([said(), said()], ["one", "two"]);
        }
    })
    .await
    .unwrap();
    provider.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_refuses_comes_back_as_it_is_and_may_be_asked_again() {
    let provider = MockServer::start().await;
    let limited = json!({ "error": { "message": "slow down, sk-of-the-owner", "type": "rate_limit" } });
    let limited = ResponseTemplate::new(429).set_body_json(limited).insert_header("retry-after", "7");
    Mock::given(method("POST")).respond_with(limited).up_to_n_times(1).expect(1).mount(&provider).await;
    let hello = ResponseTemplate::new(200).set_body_json(completion("hello"));
    Mock::given(method("POST")).respond_with(hello).expect(1).mount(&provider).await;
    let (agent, server) = served("openai", &format!("{}/v1", provider.uri()), "");
    tokio::task::spawn_blocking(move || {
        let program = Program::new(&server, &name(&agent));
        let refused = program.chat(&body("u"));
        assert_eq!(refused.status, 429, "{}", refused.body);
        assert!(refused.head.contains("retry-after: 7"), "{}", refused.head);
        assert!(refused.body.contains("slow down") && !refused.body.contains("sk-of"), "{}", refused.body);
        assert_eq!(program.chat(&body("u")).ok(), completion("hello"));
        let again = Program::of(&server, &program.run);
        assert_eq!(again.chat(&body("u")).ok(), completion("hello"));
    })
    .await
    .unwrap();
    provider.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_recorded_whole_and_comes_again_as_a_stream() {
    let events = concat!(
        "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"hel\"},\"finish_reason\":null}]}\n\n",
        "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: [DONE]\n\n",
    );
    let provider = MockServer::start().await;
    let stream = ResponseTemplate::new(200).set_body_raw(events, "text/event-stream");
    Mock::given(method("POST")).respond_with(stream).expect(1).mount(&provider).await;
    let (agent, server) = served("openai", &format!("{}/v1", provider.uri()), "");
    tokio::task::spawn_blocking(move || {
        let program = Program::new(&server, &name(&agent));
        let mut streamed = body("u");
        streamed["stream"] = true.into();
        for start in starts(&server, &program, 2) {
            let answer = start.chat(&streamed);
            assert_eq!((answer.status, answer.body.as_str()), (200, events), "{}", answer.head);
            assert!(answer.head.contains("content-type: text/event-stream"), "{}", answer.head);
        }
    })
    .await
    .unwrap();
    provider.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_interface_reaches_its_provider_at_its_own_path() {
    let anthropic = json!({ "id": "m", "type": "message", "role": "assistant", "model": "m",
        "content": [{ "type": "text", "text": "hello" }], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": { "input_tokens": 1, "output_tokens": 1 } });
    let gemini = json!({ "candidates": [{ "content": { "role": "model", "parts": [{ "text": "hello" }] },
        "finishReason": "STOP", "index": 0 }],
        "usageMetadata": { "promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2 }, "modelVersion": "m" });
    let said = json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "u" }] });
    let contents = json!({ "contents": [{ "role": "user", "parts": [{ "text": "u" }] }] });
    for (name_of, key, at, sent, answer) in [
        ("anthropic", "x-api-key", "/v1/messages", &said, &anthropic),
        ("gemini", "x-goog-api-key", "/v1beta/models/m:generateContent", &contents, &gemini),
        ("gemini", "x-goog-api-key", "/v1/models/m:generateContent", &contents, &gemini),
    ] {
        let provider = MockServer::start().await;
        let reply = ResponseTemplate::new(200).set_body_json(answer);
        Mock::given(method("POST"))
            .and(path(at))
            .and(header(key, "sk-of-the-owner"))
            .respond_with(reply)
            .expect(1)
            .mount(&provider)
            .await;
        let (agent, server) = served(name_of, &provider.uri(), "");
        let (sent, answer) = (sent.clone(), answer.clone());
        tokio::task::spawn_blocking(move || {
            let program = Program::new(&server, &name(&agent));
            let token = program.token.clone();
            let asked =
                program.try_send(at, &[(key, &token), ("anthropic-version", "2023-06-01")], &sent).unwrap();
            assert_eq!(asked.ok(), answer);
            let other = program.chat(&body("u"));
            assert_eq!(other.status, 400, "{}", other.body);
        })
        .await
        .unwrap();
        provider.verify().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_requests_and_other_models_are_refused_unless_the_agent_says_otherwise() {
    let provider = MockServer::start().await;
    let list = json!({ "object": "list", "data": [] });
    let answer = ResponseTemplate::new(200).set_body_json(list.clone());
    Mock::given(method("POST"))
        .and(path("/v1/embeddings"))
        .respond_with(answer)
        .expect(1)
        .mount(&provider)
        .await;
    let hello = ResponseTemplate::new(200).set_body_json(completion("hello"));
    Mock::given(method("POST"))
        .and(path("/v1/chat/completions"))
        .respond_with(hello)
        .expect(1)
        .mount(&provider)
        .await;
    let base_url = format!("{}/v1", provider.uri());
    let (strict, lax) =
        (served("openai", &base_url, ""), served("openai", &base_url, "models = [\"n\"]\nother = \"pass\""));
    tokio::task::spawn_blocking(move || {
        let asked = json!({ "model": "e", "input": "u" });
        let other = json!({ "model": "n", "messages": [] });
        let program = Program::new(&strict.1, &name(&strict.0));
        assert_eq!(program.send("/v1/embeddings", &asked).status, 404);
        let refused = program.chat(&other);
        assert_eq!(refused.status, 403, "{}", refused.body);
        assert!(refused.body.contains("[gateway] allows m"), "{}", refused.body);
        let program = Program::new(&lax.1, &name(&lax.0));
        assert_eq!(program.send("/v1/embeddings", &asked).ok(), list);
        assert_eq!(program.chat(&other).status, 200);
    })
    .await
    .unwrap();
    provider.verify().await;
}

/// An upstream that does what it should not: it is told the program, nothing of it counts as a reply, and the next request
/// is answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_says_garbage_or_breaks_off_gives_no_reply() {
    let chunk =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hel\"},\"finish_reason\":null}]}\n\n";
    for (streams, answer) in [
        (false, ResponseTemplate::new(200).set_body_raw("not JSON", "application/json")),
        (false, ResponseTemplate::new(200).set_body_raw("{}", "application/json")),
        (false, ResponseTemplate::new(500).set_body_string("oh no")),
        (true, ResponseTemplate::new(200).set_body_raw("data: {{{\n\ndata: [DONE]\n\n", "text/event-stream")),
        (true, ResponseTemplate::new(200).set_body_raw(chunk, "text/event-stream")),
        (true, ResponseTemplate::new(200).set_body_raw("\u{0}\u{1}", "text/event-stream")),
    ] {
        let provider = MockServer::start().await;
        Mock::given(method("POST")).respond_with(answer).up_to_n_times(1).expect(1).mount(&provider).await;
        let hello = ResponseTemplate::new(200).set_body_json(completion("hello"));
        Mock::given(method("POST")).respond_with(hello).expect(1).mount(&provider).await;
        let (agent, server) = served("openai", &format!("{}/v1", provider.uri()), "");
        tokio::task::spawn_blocking(move || {
            let program = Program::new(&server, &name(&agent));
            let mut asked = body("u");
            asked["stream"] = streams.into();
            // A stream that breaks off is no whole answer.
            if let Some(failed) = program.try_send("/v1/chat/completions", &[], &asked) {
                assert!(failed.status >= 500, "{}\n{}", failed.head, failed.body);
            }
            assert_eq!(program.chat(&asked).ok(), completion("hello"));
            let again = Program::of(&server, &program.run);
            assert_eq!(again.chat(&asked).ok(), completion("hello"));
        })
        .await
        .unwrap();
        provider.verify().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_hangs_is_waited_for_as_long_as_the_agent_says() {
    let provider = MockServer::start().await;
    let slow =
        ResponseTemplate::new(200).set_body_json(completion("late")).set_delay(Duration::from_mins(10));
    Mock::given(method("POST")).respond_with(slow).mount(&provider).await;
    let agent = Agent::raw(&format!(
        "version = 1\n[model]\nprovider = \"openai\"\nname = \"m\"\nbase_url = \"{}/v1\"\ntimeout = \"50ms\"\n\n[gateway]\n",
        provider.uri()
    ));
    let server = Server::of(&agent);
    tokio::task::spawn_blocking(move || {
        let program = Program::new(&server, &name(&agent));
        let failed = program.chat(&body("u"));
        assert_eq!(failed.status, 503, "{}", failed.body);
        assert!(failed.body.contains("nothing, or no end of it, within 50ms"), "{}", failed.body);
        // A request that breaks off is none.
        let head = format!(
            "POST {}/v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-length: 99\r\n\r\n{{",
            program.path,
            server.address()
        );
        drop(server.connect().write_all(head.as_bytes()));
        let ended = server.post(&format!("/runs/{}/cancel", program.run), &json!({}));
        assert_eq!(ended.status, 200, "{}", ended.body);
        let over = program.chat(&body("u"));
        assert_eq!(over.status, 410, "{}", over.body);
    })
    .await
    .unwrap();
}
