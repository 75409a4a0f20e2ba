//! Links between pages, and from the README to code.

use std::path::{Component, Path, PathBuf};

use super::page::Page;
use crate::support::root;

/// What is wrong with a link of a page.
fn broken(page: &Page, link: &str) -> Option<String> {
    if link.starts_with("https://") || link.starts_with("http://") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let path = if file.is_empty() { page.path.clone() } else { beside(&page.path, file) };
    if !root().join(&path).exists() {
        return Some(format!("there is no {}", path.display()));
    }
    // The book has the pages alone: what lies outside of it is not there for its readers.
    if page.path.starts_with("docs")
        && !(path.starts_with("docs") && path.extension().is_some_and(|e| e == "md" || e == "png"))
    {
        return Some(format!("{} is no page of the book; name it as code", path.display()));
    }
    (!anchor.is_empty() && !Page::read(&path).anchors().contains(anchor))
        .then(|| format!("{} has no heading #{anchor}", path.display()))
}

/// The file that a page calls so.
fn beside(page: &Path, file: &str) -> PathBuf {
    let mut path = page.parent().unwrap().to_owned();
    for part in Path::new(file).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{file} in {} leaves the repository", page.display()),
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path
}

#[test]
fn they_lead_somewhere() {
    let of_page = |page: &Page| -> Vec<String> {
        let broken =
            |link: &String| broken(page, link).map(|why| format!("{}: {link}: {why}", page.path.display()));
        page.links().iter().filter_map(broken).collect()
    };
    let broken: Vec<String> =
        Page::all().iter().chain([&Page::read("docs/SUMMARY.md")]).flat_map(of_page).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = |path: &str| Page { path: path.into(), text: "# A `b` of [c.d]\n\n# A b of cd\n".to_owned() };
    assert!(page("docs/X.md").anchors().contains("a-b-of-cd"));
    assert!(page("docs/X.md").anchors().contains("a-b-of-cd-1"));
    for (from, link, fits) in [
        ("README.md", "docs/CONFIG.md", true),
        ("README.md", "docs/CONFIG.md#no-such-heading", false),
        ("README.md", "docs/NOT.md", false),
        ("README.md", "wit/tool.wit", true),
        ("docs/MODELS.md", "CONFIG.md", true),
        ("docs/MODELS.md", "../wit/tool.wit", false),
        ("docs/MODELS.md", "../README.md", false),
        ("docs/MODELS.md", "https://example.com/not/looked/at", true),
    ] {
        assert_eq!(broken(&page(from), link).is_none(), fits, "{link} in {from}");
    }
}

#[test]
fn every_page_is_in_the_book_once() {
    let mut listed = Page::read("docs/SUMMARY.md").links();
    listed.sort();
    let pages = Page::book();
    let names: Vec<&str> =
        pages.iter().map(|page| page.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(listed, names);
}

#[test]
fn every_example_has_a_place_in_it() {
    let pages = Page::all();
    for example in std::fs::read_dir(root().join("examples")).unwrap().map(Result::unwrap) {
        let directory = format!("examples/{}", example.file_name().into_string().unwrap());
        // What is no agent is what a server is run by.
        let is_agent = example.path().join("agent.toml").exists();
        let name = if is_agent { format!("{directory}/agent.toml") } else { directory };
        if example.file_type().unwrap().is_dir() {
            assert!(pages.iter().any(|page| page.text.contains(&name)), "no page speaks of {name}");
        }
    }
}
