//! A browser that a test clicks in: Chromium, by its driver.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};

use crate::support::root;

/// How long a page may take that has been asked for something: far longer than it does on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// A browser, and the driver that it is clicked by. Both end when it is dropped.
pub struct Browser {
    pub client: Client,
    driver: Child,
}

/// What the console of a page says, which the driver has in a form of its own.
#[derive(Debug)]
struct Console;

impl WebDriverCompatibleCommand for Console {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "type": "browser" }).to_string()))
    }
}

fn found(names: &[&str]) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .flat_map(|path| names.iter().map(move |name| path.join(name)))
        .find(|path| path.is_file())
}

/// A driver, the line in which it says at which port it is, and what it says after that. It takes a port that is free for
/// one version of the protocol, and ends if it is not for the other one: then there is another port.
fn started(path: &Path) -> (Child, String, impl Iterator<Item = String> + Send + use<>) {
    for _ in 0..20 {
        let mut driver =
            Command::new(path).arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        if let Some(line) = lines.find(|line| line.contains("started successfully on port")) {
            return (driver, line, lines);
        }
        driver.wait().unwrap();
    }
    panic!("{} does not start", path.display());
}

impl Browser {
    /// A browser; `None`, and a word on stderr, if there is none.
    pub async fn new(is_dark: bool, width: u32) -> Option<Self> {
        let driver = found(&["chromedriver"]).zip(found(&["chromium", "chromium-browser", "google-chrome"]));
        let Some((driver, chromium)) = driver else {
            assert!(
                std::env::var_os("HOST_CI").is_none(),
                "chromium and chromedriver have to be there where HOST_CI is set"
            );
            let mut stderr = std::io::stderr();
            writeln!(stderr, "skipped a test of pages: there is no chromium with its driver").unwrap();
            return None;
        };
        let (driver, line, lines) = started(&driver);
        let port = line.trim_end_matches('.').rsplit(' ').next().unwrap().to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        let mut args = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
        ];
        args.extend([
            format!("--window-size={width},1000"),
            "--hide-scrollbars".to_owned(),
            "--disable-gpu".to_owned(),
        ]);
        if is_dark {
            args.push("--force-dark-mode".to_owned());
        }
        let capabilities = json!({
            "goog:chromeOptions": { "args": args, "binary": chromium },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        Some(Self { client, driver })
    }

    pub async fn goto(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Waits for an element, and gives it.
    pub async fn see(&self, css: &str) -> Element {
        let waited = self
            .client
            .wait()
            .at_most(PATIENCE)
            .every(Duration::from_millis(30))
            .for_element(Locator::Css(css));
        match waited.await {
            Ok(element) => element,
            Err(error) => panic!("{css} is not there: {error}\n{}", self.text().await),
        }
    }

    /// Waits until a page says something.
    pub async fn says(&self, text: &str) {
        self.has("document.body.innerText", text).await;
    }

    /// Waits until this stands in the title of a page.
    pub async fn is_called(&self, text: &str) {
        self.has("document.title", text).await;
    }

    async fn has(&self, what: &str, text: &str) {
        let script = &format!("return {what}.includes(arguments[0])");
        let until = std::time::Instant::now() + PATIENCE;
        while self.client.execute(script, vec![text.into()]).await.ok() != Some(Value::Bool(true)) {
            assert!(std::time::Instant::now() < until, "{text:?} is said by {what} of {}", self.text().await);
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Waits until the page has asked two times more for something with this in its address, and has the first answer.
    pub async fn asks_twice(&self, part: &str) {
        let script = "return performance.getEntriesByType('resource').filter((it) => it.name.includes(arguments[0])).length";
        let asked = async || {
            let count = self.client.execute(script, vec![part.into()]).await;
            count.ok().and_then(|count| count.as_u64()).unwrap_or_default()
        };
        let (before, until) = (asked().await, std::time::Instant::now() + PATIENCE);
        while asked().await < before + 2 {
            assert!(std::time::Instant::now() < until, "the page asks for {part}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn text(&self) -> String {
        let text = self.client.execute("return document.body.innerText", Vec::new()).await;
        text.map_or_else(|error| error.to_string(), |text| text.as_str().unwrap_or_default().to_owned())
    }

    pub async fn click(&self, css: &str) {
        self.tries(css, async || self.see(css).await.click().await).await;
    }

    /// Does something with an element, and again where the page was drawn anew between seeing and doing.
    async fn tries(&self, what: &str, done: impl AsyncFn() -> Result<(), CmdError>) {
        let until = std::time::Instant::now() + PATIENCE;
        while let Err(error) = done().await {
            let is_gone = error.is_stale_element_reference();
            assert!(is_gone && std::time::Instant::now() < until, "{what}: {error}");
        }
    }

    /// Clicks, and says yes to the question that comes.
    pub async fn click_and_confirm(&self, css: &str) {
        self.click(css).await;
        self.client.accept_alert().await.unwrap_or_else(|error| panic!("{css} asks first: {error}"));
    }

    /// Opens what is folded, with this on it.
    pub async fn open(&self, summary: &str) {
        let path = format!("//summary[normalize-space()={summary:?}]");
        let open = async || {
            let found = self.client.wait().at_most(PATIENCE).for_element(Locator::XPath(&path)).await;
            found.unwrap_or_else(|error| panic!("{summary}: {error}")).click().await
        };
        self.tries(summary, open).await;
    }

    pub async fn write(&self, css: &str, text: &str) {
        let write = async || {
            let field = self.see(css).await;
            field.clear().await?;
            field.send_keys(text).await
        };
        self.tries(css, write).await;
    }

    /// What is said on the console of the page, but for what is not of a page: nothing, on a good one.
    pub async fn console(&self) -> Vec<String> {
        let said: Result<Value, CmdError> = self.client.issue_cmd(Console).await;
        let lines = said.unwrap().as_array().cloned().unwrap_or_default();
        lines.into_iter().map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// What is wrong with a page for whoever does not see it, or has no mouse, by axe-core; nothing where that is not there.
    pub async fn barriers(&self) -> Vec<String> {
        let Ok(axe) = std::fs::read_to_string(root().join("target/npm/node_modules/axe-core/axe.min.js"))
        else {
            assert!(std::env::var_os("HOST_CI").is_none(), "axe-core has to be there where HOST_CI is set");
            let mut stderr = std::io::stderr();
            writeln!(stderr, "skipped a part of a test of pages: there is no axe-core in target/npm")
                .unwrap();
            return Vec::new();
        };
        self.client.execute(&axe, Vec::new()).await.unwrap();
        let script = "const done = arguments[arguments.length - 1]; \
            axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }) \
               .then((found) => done(found.violations.map((it) => it.id + ': ' + it.nodes.map((node) => node.html).join(' | '))))";
        let found = self.client.execute_async(script, Vec::new()).await.unwrap();
        found.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
    }

    /// Keeps a picture of the page below `target/pages`.
    pub async fn picture(&self, name: &str) {
        let directory = root().join("target/pages");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("{name}.png")), self.client.screenshot().await.unwrap())
            .unwrap();
    }

    pub async fn end(mut self) {
        self.client.clone().close().await.unwrap();
        self.driver.kill().unwrap();
        self.driver.wait().unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A test that fails leaves no driver behind; one that ended has ended it already.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
