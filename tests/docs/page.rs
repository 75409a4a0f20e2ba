//! A page of the documentation, as Markdown has it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::support::root;

pub(super) struct Page {
    /// Where it is, from the top of the repository.
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Page {
    pub(super) fn read(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_owned();
        let text =
            std::fs::read_to_string(root().join(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self { path, text }
    }

    /// The README and all pages of the book.
    pub(super) fn all() -> Vec<Self> {
        let mut pages = vec![Self::read("README.md")];
        pages.extend(Self::book());
        pages
    }

    /// What is in `docs`, but for its list of contents.
    pub(super) fn book() -> Vec<Self> {
        let files = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<String> = files
            .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .filter(|name| name != "SUMMARY.md")
            .collect();
        names.sort();
        names.iter().map(|name| Self::read(Path::new("docs").join(name))).collect()
    }

    fn events(&self) -> impl Iterator<Item = Event<'_>> {
        Parser::new_ext(&self.text, Options::ENABLE_TABLES)
    }

    /// The code blocks in their order, each with what stands behind its fence.
    pub(super) fn code(&self) -> Vec<(String, String)> {
        let mut code: Vec<(String, String)> = Vec::new();
        let mut inside = false;
        for event in self.events() {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    inside = true;
                    code.push((info.to_string(), String::new()));
                }
                Event::Text(text) if inside => code.last_mut().unwrap().1.push_str(&text),
                Event::End(TagEnd::CodeBlock) => inside = false,
                _ => {}
            }
        }
        code
    }

    /// The code blocks of a language.
    pub(super) fn blocks(&self, language: &str) -> Vec<String> {
        self.code().into_iter().filter(|(info, _)| info == language).map(|(_, text)| text).collect()
    }

    /// Where its links lead to, as they are written.
    pub(super) fn links(&self) -> Vec<String> {
        let target = |event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(dest_url.to_string())
            }
            _ => None,
        };
        self.events().filter_map(target).collect()
    }

    /// What its headings are called in addresses, as GitHub and mdBook have it.
    pub(super) fn anchors(&self) -> HashSet<String> {
        let (mut anchors, mut seen) = (HashSet::new(), HashMap::new());
        let mut heading: Option<String> = None;
        for event in self.events() {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = anchor(&heading.take().unwrap());
                    let times = seen.entry(anchor.clone()).or_insert(0);
                    anchors.insert(if *times == 0 { anchor } else { format!("{anchor}-{times}") });
                    *times += 1;
                }
                _ => {}
            }
        }
        anchors
    }
}

fn anchor(heading: &str) -> String {
    let kept = |c: char| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        _ => c.is_alphanumeric().then_some(c),
    };
    heading.to_lowercase().chars().filter_map(kept).collect()
}
