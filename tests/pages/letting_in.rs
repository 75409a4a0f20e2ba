//! Who may see the pages, and from where something may be done on them.

use serde_json::json;

use super::{cookie, csrf, fill};
use crate::approval::{ASK_NEW_YORK, asking};
use crate::serve::server::Server;
use crate::support::Agent;

/// A run that waits for approval.
fn waiting(server: &Server, agent: &Agent) -> String {
    let name = agent.dir.path().file_name().unwrap().to_str().unwrap();
    let run = server.post(&format!("/agents/{name}/runs?wait=5m"), &json!({})).is(202);
    run["run"].as_str().unwrap().to_owned()
}

#[test]
fn a_form_counts_only_from_a_page_of_this_server() {
    let agent = asking(ASK_NEW_YORK);
    let server = Server::of(&agent);
    let run = waiting(&server, &agent);
    let page = server.ask("GET", &format!("/ui/runs/{run}"), &[], None);
    assert_eq!(page.status, 200, "{}", page.head);
    let (cookie, csrf) = (cookie(&page), csrf(&page.body));
    let path = format!("/ui/runs/{run}/approve");
    let slot = ("slot", "tool(0,0)");
    let own = format!("http://{}", server.address());
    let says =
        |headers: &[(&str, &str)], fields: &[(&str, &str)]| fill(&server, &path, headers, fields).status;
    assert_eq!(says(&[("cookie", &cookie)], &[slot]), 403, "without the second secret");
    assert_eq!(says(&[("cookie", &cookie)], &[slot, ("csrf", "")]), 403);
    assert_eq!(says(&[("cookie", &cookie)], &[slot, ("csrf", &"0".repeat(64))]), 403);
    assert_eq!(says(&[], &[slot, ("csrf", &csrf)]), 403, "with that of another browser");
    let foreign = [("cookie", cookie.as_str()), ("origin", "http://evil.example")];
    assert_eq!(says(&foreign, &[slot, ("csrf", &csrf)]), 403, "from a page of somebody else's");
    assert_eq!(says(&[("cookie", &cookie), ("host", "evil.example")], &[slot, ("csrf", &csrf)]), 400);
    assert_eq!(server.get(&format!("/runs/{run}")).ok()["state"], "suspended");
    let done = fill(&server, &path, &[("cookie", &cookie), ("origin", &own)], &[slot, ("csrf", &csrf)]);
    assert_eq!(done.status, 303, "{}", done.body);
    assert_eq!(server.once_not(&run, &["queued", "running", "suspended"])["answer"], "done");
    let wrong = fill(&server, &path, &[("cookie", &cookie)], &[slot, ("csrf", &csrf)]);
    assert!(wrong.status == 409 && wrong.body.contains("has ended"), "{}", wrong.body);
    let nothing =
        fill(&server, &format!("/ui/runs/{run}/nonsense"), &[("cookie", &cookie)], &[("csrf", &csrf)]);
    assert_eq!(nothing.status, 404);
}

#[test]
fn every_page_keeps_to_itself() {
    let agent = asking(ASK_NEW_YORK);
    let server = Server::of(&agent);
    let run = waiting(&server, &agent);
    let pages =
        ["/ui", "/ui/agents", "/ui/sessions", "/ui/costs", "/ui/compare", "/ui/nowhere", "/ui/runs/none"];
    let of_run =
        ["", "/chat", "/at/tool-0-1", "/request/model-0"].map(|part| format!("/ui/runs/{run}{part}"));
    for path in pages.into_iter().map(str::to_owned).chain(of_run) {
        let page = server.ask("GET", &path, &[], None);
        let head = page.head.to_ascii_lowercase();
        assert!(
            head.contains("content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'"),
            "{path}: {head}"
        );
        assert!(
            head.contains("x-frame-options: deny") && head.contains("content-type: text/html"),
            "{path}: {head}"
        );
        assert!(head.contains("cache-control: no-store"), "{path}: {head}");
        assert!(!page.body.contains(" style=") && !page.body.contains(" onclick"), "{path}: {}", page.body);
        for script in page.body.split("<script").skip(1) {
            assert!(
                script.starts_with(" defer src=\"/ui/assets/") && script.contains("></script>"),
                "{path}: {script}"
            );
        }
        assert!(!page.body.contains("//cdn") && !page.body.contains("https://"), "{path}: {}", page.body);
    }
    assert_eq!(server.get("/").status, 303);
    let page = server.get("/ui").body;
    let (_, rest) = page.split_once("/ui/assets/").unwrap();
    let version = rest.split('/').next().unwrap();
    for name in ["ui.css", "ui.js", "htmx.js", "sse.js"] {
        let file = server.get(&format!("/ui/assets/{version}/{name}"));
        assert!(file.status == 200 && file.head.contains("immutable"), "{name}: {}", file.head);
        assert_eq!(server.get(&format!("/ui/assets/other/{name}")).status, 404);
    }
}

#[test]
fn whoever_has_no_token_sees_nothing_and_a_token_opens_what_it_may() {
    let agent = asking(ASK_NEW_YORK);
    let token = |name: &str| {
        let made = agent.host(&["token", name, "--scope", if name == "reads" { "read" } else { "admin" }]);
        let said = &made.ok().stderr;
        let lines = said.find("[[").and_then(|at| said.get(at..)).unwrap().to_owned();
        (made.stdout.trim().to_owned(), lines)
    };
    let ((reads, one), (rules, other)) = (token("reads"), token("rules"));
    std::fs::write(agent.dir.path().join("host.toml"), format!("{one}{other}")).unwrap();
    let server = Server::with(&agent, &["--listen", "127.0.0.1:0", "--config", "host.toml"]);
    let name = agent.dir.path().file_name().unwrap().to_str().unwrap();
    let bearer = format!("Bearer {rules}");
    let began = server.ask(
        "POST",
        &format!("/agents/{name}/runs?wait=5m"),
        &[("authorization", &bearer)],
        Some("{}"),
    );
    let run = began.is(202)["run"].as_str().unwrap().to_owned();

    for path in [
        "/ui".to_owned(),
        format!("/ui/runs/{run}"),
        format!("/ui/runs/{run}/changes"),
        "/ui/agents".to_owned(),
    ] {
        let page = server.get(&path);
        assert!(page.status == 303 && page.head.contains("/ui/login"), "{path}: {}", page.head);
        assert!(!page.body.contains(name), "{}", page.body);
    }
    let part = server.ask("GET", &format!("/ui/runs/{run}"), &[("hx-request", "true")], None);
    assert_eq!(part.status, 401);
    let enter = |token: &str| {
        let form = server.get("/ui/login");
        let sent = fill(
            &server,
            "/ui/login",
            &[("cookie", &cookie(&form))],
            &[("csrf", &csrf(&form.body)), ("token", token)],
        );
        (cookie(&form), sent)
    };
    let (_, refused) = enter("host_nonsense");
    assert!(refused.status == 401 && refused.body.contains("No token of this server"), "{}", refused.body);
    let (before, entered) = enter(&reads);
    assert_eq!(entered.status, 303, "{}", entered.body);
    let reader = cookie(&entered);
    assert_ne!(before, reader, "nobody knows it who gave the browser the one before");
    assert!(entered.head.contains("HttpOnly; SameSite=Lax"), "{}", entered.head);
    let shown = server.ask("GET", &format!("/ui/runs/{run}"), &[("cookie", &reader)], None);
    assert!(
        shown.status == 200
            && shown.body.contains("Waits for approval")
            && !shown.body.contains("/approve\""),
        "{}",
        shown.body
    );
    let fields = [("csrf", csrf(&shown.body)), ("slot", "tool(0,0)".to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let path = format!("/ui/runs/{run}/approve");
    let tried = fill(&server, &path, &[("cookie", &reader)], &fields);
    assert!(tried.status == 403 && tried.body.contains("does not have the scope"), "{}", tried.body);

    let (_, entered) = enter(&rules);
    let admin = cookie(&entered);
    let shown = server.ask("GET", &format!("/ui/runs/{run}"), &[("cookie", &admin)], None);
    assert!(shown.body.contains("/approve\""), "{}", shown.body);
    let fields = [("csrf", csrf(&shown.body)), ("slot", "tool(0,0)".to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(fill(&server, &path, &[("cookie", &admin)], &fields).status, 303);
    let left = fill(&server, "/ui/logout", &[("cookie", &admin)], &fields[..1]);
    assert_eq!(left.status, 303, "{}", left.body);
    assert_eq!(server.ask("GET", "/ui", &[("cookie", &admin)], None).status, 303, "it is known no more");
    assert_eq!(server.ask("GET", "/ui", &[("cookie", &reader)], None).status, 200);
}

#[test]
fn host_ui_opens_the_pages_once() {
    let agent = asking(ASK_NEW_YORK);
    let server = Server::of(&agent);
    let run = waiting(&server, &agent);
    let said = agent.host(&["ui", "last", "--no-open"]);
    let address = said.ok().stdout.trim().to_owned();
    let path = address.strip_prefix(&server.url).unwrap();
    let entered = server.get(path);
    assert!(
        entered.status == 303 && entered.head.contains(&format!("location: /ui/runs/{run}")),
        "{}",
        entered.head
    );
    let again = server.get(path);
    assert!(again.status == 401 && again.body.contains("opened the pages once"), "{}", again.body);
}

#[test]
fn a_token_of_some_agents_is_told_of_no_other() {
    let agent = asking(ASK_NEW_YORK);
    let made = agent.host(&["token", "other", "--scope", "read", "--agent", "another"]);
    let said = &made.ok().stderr;
    std::fs::write(
        agent.dir.path().join("host.toml"),
        said.find("[[").and_then(|at| said.get(at..)).unwrap(),
    )
    .unwrap();
    let server = Server::with(&agent, &["--listen", "127.0.0.1:0", "--config", "host.toml"]);
    let form = server.get("/ui/login");
    let fields = [("csrf", csrf(&form.body)), ("token", made.stdout.trim().to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let entered = cookie(&fill(&server, "/ui/login", &[("cookie", &cookie(&form))], &fields));
    let name = agent.dir.path().file_name().unwrap().to_str().unwrap();
    for path in ["/ui", "/ui/agents", "/ui/sessions", "/ui/costs"] {
        let page = server.ask("GET", path, &[("cookie", &entered)], None);
        assert!(page.status == 200 && !page.body.contains(name), "{path}: {}", page.body);
    }
    let page = server.ask("GET", &format!("/ui/agents/{name}"), &[("cookie", &entered)], None);
    assert_eq!(page.status, 403, "{}", page.body);
}
