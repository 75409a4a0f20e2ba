//! Pictures: each provider has them in a form of its own, before the prompt that they belong to.

use host::message::{Image, Message};
use serde_json::{Value, json};

use super::{ANTHROPIC, CHAT, GEMINI, OLLAMA, RESPONSES, ask, model, value};
use crate::support::Agent;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n0000";

fn sent(api: &str) -> Value {
    let image = Image::from_bytes(PNG).unwrap();
    let messages = [Message::Image(image), Message::User("What is this?".into())];
    let model = model(api, "http://127.0.0.1:1", false);
    value(&model.written(&ask(&messages, &[])).unwrap())
}

#[tokio::test]
async fn a_picture_is_in_the_message_of_its_prompt() {
    let data = Image::from_bytes(PNG).unwrap().data;
    let url = format!("data:image/png;base64,{data}");
    let chat = sent(CHAT);
    let parts = &chat["messages"][0]["content"];
    assert_eq!(
        (&parts[0]["type"], &parts[0]["image_url"]["url"]),
        (&json!("image_url"), &json!(url)),
        "{chat}"
    );
    assert_eq!(parts[1], json!({ "type": "text", "text": "What is this?" }));
    let responses = sent(RESPONSES);
    // There a picture may be a message of its own.
    let input = responses["input"].as_array().unwrap();
    let parts: Vec<&Value> = input.iter().flat_map(|item| item["content"].as_array().unwrap()).collect();
    assert_eq!(
        (&parts[0]["type"], &parts[0]["image_url"]),
        (&json!("input_image"), &json!(url)),
        "{responses}"
    );
    assert_eq!((&parts[1]["type"], &parts[1]["text"]), (&json!("input_text"), &json!("What is this?")));
    let anthropic = sent(ANTHROPIC);
    let parts = &anthropic["messages"][0]["content"];
    let source = json!({ "type": "base64", "media_type": "image/png", "data": data });
    assert_eq!((&parts[0]["type"], &parts[0]["source"]), (&json!("image"), &source), "{anthropic}");
    assert_eq!((&parts[1]["type"], &parts[1]["text"]), (&json!("text"), &json!("What is this?")));
    let gemini = sent(GEMINI);
    let parts = &gemini["contents"][0]["parts"];
    assert_eq!(parts[0]["inlineData"], json!({ "mimeType": "image/png", "data": data }), "{gemini}");
    assert_eq!(parts[1]["text"], "What is this?");
    let ollama = sent(OLLAMA);
    let message = &ollama["messages"][0];
    assert_eq!(
        (&message["images"], &message["content"]),
        (&json!([data]), &json!("What is this?")),
        "{ollama}"
    );
}

#[test]
fn a_picture_goes_from_a_file_into_the_run_and_its_replay() {
    let script =
        "[[reply]]\nexpect = [\"image: image/png, 12 bytes\", \"user: What is this?\"]\ntext = \"a picture\"";
    let agent = Agent::scripted(script);
    std::fs::write(agent.dir.path().join("a.png"), PNG).unwrap();
    std::fs::write(agent.dir.path().join("a.pdf"), "%PDF-1.7").unwrap();
    std::fs::write(agent.dir.path().join("large.png"), [PNG, &vec![0; 5 << 20]].concat()).unwrap();
    let run = agent.host(&["run", "agent.toml", "What is this?", "--image", "a.png"]);
    assert_eq!(run.ok().stdout, "a picture\n");
    assert_eq!(agent.show()[0]["request"]["run"]["images"][0]["media_type"], "image/png");
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "a picture\n");
    agent.host(&["fork", "last", "--at", "0"]).ok();
    for (file, said) in [
        ("a.pdf", "no PNG, JPEG, GIF or WebP"),
        ("b.png", "cannot read the picture"),
        ("large.png", "larger than 5 MiB"),
    ] {
        agent.host(&["run", "agent.toml", "What is this?", "--image", file]).exits(2).says(said);
    }
}
