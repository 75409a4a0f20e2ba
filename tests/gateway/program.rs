//! An agent of nobody's SDK: it sends what an SDK sends, and nothing more.

use std::thread;

use serde_json::{Value, json};

use crate::serve::server::{Answer, Server};

/// A start of a program.
#[derive(Clone)]
pub struct Program {
    address: String,
    pub path: String,
    pub token: String,
    pub run: String,
    pub start: u64,
}

/// What a program is to do.
pub struct Task<'a> {
    pub prompt: &'a str,
    pub stream: bool,
}

impl Program {
    /// The first start of the program of a new run.
    pub fn new(server: &Server, agent: &str) -> Self {
        let run = server.post("/runs", &json!({ "agent": agent, "label": "a test" })).is(202);
        Self::of(server, run["run"].as_str().unwrap())
    }

    /// Another start of the program of a run.
    pub fn of(server: &Server, run: &str) -> Self {
        Self::try_of(server, run).unwrap()
    }

    /// The same of a server that may be gone.
    pub fn try_of(server: &Server, run: &str) -> Option<Self> {
        let path = format!("/runs/{run}/starts");
        let started = crate::serve::server::ask_any(server.address(), "POST", &path, &[], Some("{}"))?.ok();
        Some(Self {
            address: server.address().to_owned(),
            path: started["path"].as_str().unwrap().to_owned(),
            token: started["token"].as_str().unwrap().to_owned(),
            run: run.to_owned(),
            start: started["start"].as_u64().unwrap(),
        })
    }

    /// Sends a request below its run; `None` if the server is gone.
    pub fn try_send(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Option<Answer> {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend_from_slice(headers);
        let path = format!("{}{path}", self.path);
        crate::serve::server::ask_any(&self.address, "POST", &path, &all, Some(&body.to_string()))
    }

    pub fn send(&self, path: &str, body: &Value) -> Answer {
        self.try_send(path, &[], body).unwrap()
    }

    /// Asks for a reply by chat completions.
    pub fn chat(&self, body: &Value) -> Answer {
        self.send("/v1/chat/completions", body)
    }

    /// Calls a tool, as a client does that numbers its requests.
    pub fn call(&self, id: u64, name: &str, arguments: &Value) -> Option<Value> {
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": { "name": name, "arguments": arguments } });
        let headers =
            [("accept", "application/json, text/event-stream"), ("mcp-protocol-version", "2025-11-25")];
        let answer = self.try_send("/mcp", &headers, &message)?;
        assert_eq!(answer.status, 200, "{}\n{}", answer.head, answer.body);
        let body = answer.body.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&answer.body);
        Some(serde_json::from_str(body).unwrap())
    }

    /// Does what an SDK does: asks, makes the calls of the reply at the same time, and asks again, until there is an answer.
    /// `None` if the server is gone.
    pub fn until_answer(&self, task: &Task<'_>) -> Option<Result<String, Answer>> {
        let mut messages = vec![json!({ "role": "user", "content": task.prompt })];
        let mut id = 0;
        loop {
            let body = json!({ "model": "m", "messages": messages, "stream": task.stream });
            let answer = self.try_send("/v1/chat/completions", &[], &body)?;
            if answer.status != 200 {
                return Some(Err(answer));
            }
            let message = if task.stream {
                joined(&answer.body)?
            } else {
                answer.ok()["choices"][0]["message"].clone()
            };
            let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
            if calls.is_empty() {
                return Some(Ok(message["content"].as_str().unwrap().to_owned()));
            }
            messages.push(message);
            let results: Vec<Option<Value>> = thread::scope(|scope| {
                let call = |(at, call): (u64, &Value)| {
                    let name = call["function"]["name"].as_str().unwrap().to_owned();
                    let arguments =
                        serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
                    let number = id + at;
                    scope.spawn(move || self.call(number, &name, &arguments))
                };
                let calls: Vec<_> = (0..).zip(&calls).map(call).collect();
                calls.into_iter().map(|call| call.join().unwrap()).collect()
            });
            id += calls.len() as u64;
            for (call, result) in calls.iter().zip(results) {
                // What SDKs do whose connection broke: they tell the model.
                let text = result.map_or_else(|| "Connection closed".to_owned(), |result| text_of(&result));
                messages.push(json!({ "role": "tool", "tool_call_id": call["id"], "content": text }));
            }
        }
    }
}

/// The text of a result.
pub fn text_of(result: &Value) -> String {
    match result["result"]["content"][0]["text"].as_str() {
        Some(text) => text.to_owned(),
        None => result["error"]["message"].as_str().unwrap().to_owned(),
    }
}

/// The message that comes in pieces; none if it broke off.
pub fn joined(body: &str) -> Option<Value> {
    let mut message = json!({ "role": "assistant", "content": "" });
    let mut ended = false;
    for data in body.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if data == "[DONE]" {
            ended = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(data).unwrap();
        let delta = &chunk["choices"][0]["delta"];
        if let Some(text) = delta["content"].as_str() {
            message["content"] = format!("{}{text}", message["content"].as_str().unwrap()).into();
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let mut call = call.clone();
            call.as_object_mut().unwrap().remove("index");
            match message["tool_calls"].as_array_mut() {
                Some(calls) => calls.push(call),
                None => message["tool_calls"] = json!([call]),
            }
        }
    }
    ended.then_some(message)
}
