//! Markdown as the tests of the manual and of links need it: blocks, links, headings, and what mdBook includes.

use std::path::{Path, PathBuf};

use crate::program::root;

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block {
    /// What stands behind the opening fence, `sh` or `sh,ignore`.
    pub(crate) kind: String,
    /// The paragraph before it.
    pub(crate) before: String,
    /// Its lines, each with its end.
    pub(crate) text: String,
    /// Line of the opening fence, from 1.
    pub(crate) line: usize,
}

/// The fenced blocks of a page, and the page without them.
pub(crate) fn blocks(page: &str) -> (Vec<Block>, String) {
    let (mut blocks, mut prose) = (Vec::new(), String::new());
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some((indent, kind)) = line.split_once("```").filter(|(indent, _)| indent.trim().is_empty())
        else {
            prose += line;
            prose.push('\n');
            continue;
        };
        let mut text = String::new();
        for (_, line) in lines.by_ref().take_while(|(_, line)| line.trim() != "```") {
            text += line.strip_prefix(indent).unwrap_or(line);
            text.push('\n');
        }
        let before = prose.trim_end().rsplit("\n\n").next().unwrap_or_default().to_owned();
        blocks.push(Block { kind: kind.into(), before, text, line: number + 1 });
    }
    (blocks, prose)
}

/// A page with `{{#include FILE}}`, `{{#include FILE:ANCHOR}}` and `{{#include FILE:FIRST:LAST}}` replaced by what they name.
pub(crate) fn read(path: &Path) -> String {
    let page = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let expanded = page.lines().map(|line| {
        let Some(what) = line.strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix("}}")) else {
            return format!("{line}\n");
        };
        let Some((file, part)) = what.split_once(':') else {
            return read(&path.parent().unwrap().join(what));
        };
        let text = read(&path.parent().unwrap().join(file));
        let part: String = match part.split_once(':') {
            Some((first, last)) => {
                let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
                text.split_inclusive('\n').take(last).skip(first - 1).collect()
            }
            None => {
                let inside = text.split_once(&format!("<!-- ANCHOR: {part} -->\n")).map(|(_, rest)| rest);
                let inside = inside.and_then(|rest| rest.split_once(&format!("<!-- ANCHOR_END: {part} -->")));
                inside.unwrap_or_else(|| panic!("{}: {file} has no anchor {part}", path.display())).0.into()
            }
        };
        assert!(!part.trim().is_empty(), "{}: nothing is included by {what}", path.display());
        part
    });
    expanded.collect()
}

/// Prose without its spans of code, of which the places of links know nothing.
fn without_code(prose: &str) -> String {
    let paragraphs = prose.split("\n\n").map(|paragraph| paragraph.split('`').step_by(2).collect::<String>());
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// Where the links of a page go, images among them.
pub(crate) fn links(page: &str) -> Vec<String> {
    let prose = without_code(&blocks(page).1);
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.trim().into()).collect()
}

/// The anchors that the headings of a page have, as GitHub and mdBook make them.
pub(crate) fn anchors(page: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let prose = blocks(page).1;
    let titles =
        prose.lines().filter(|line| line.trim_start_matches('#').starts_with(' ') && line.starts_with('#'));
    for title in titles {
        // Of a link only its text is shown.
        let mut shown = String::new();
        let mut pieces = title.trim_start_matches('#').trim().split("](");
        shown += pieces.next().unwrap_or_default();
        pieces.for_each(|piece| shown += piece.split_once(')').map_or("", |(_, rest)| rest));
        let kept = shown
            .to_lowercase()
            .chars()
            .filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            })
            .collect::<String>();
        let before = all
            .iter()
            .filter(|a| {
                **a == kept || a.strip_prefix(&format!("{kept}-")).is_some_and(|n| n.parse::<u32>().is_ok())
            })
            .count();
        all.push(if before == 0 { kept } else { format!("{kept}-{before}") });
    }
    all
}

/// Every Markdown file of the repository, without what is built or installed.
pub(crate) fn files() -> Vec<PathBuf> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                let built = ["target", "node_modules", "runs", "book", "out"].contains(&name.as_str());
                if !built && !name.starts_with('.') {
                    collect(&path, found);
                }
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    collect(&root(), &mut found);
    found.sort();
    found
}

/// Every relative link of every page leads to a file, and to a heading of it where it names one. What a page includes is
/// read as part of that page.
#[test]
fn no_link_is_dead() {
    let mut dead = Vec::new();
    let mut followed = 0;
    for path in files() {
        let page = read(&path);
        for link in links(&page) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) =
                link.split_once('#').map_or((&*link, None), |(file, anchor)| (file, Some(anchor)));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let markdown = target.extension().is_some_and(|extension| extension == "md");
            let lives = target.exists()
                && anchor
                    .is_none_or(|anchor| markdown && anchors(&read(&target)).iter().any(|a| a == anchor));
            followed += 1;
            if !lives {
                dead.push(format!("{}: {link}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(followed > 200, "only {followed} links were found");
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn dead_links_would_be_found() {
    let page = "# A `b` [c](d.md)!\n\n[x](#a-b-c) `[no](link)`\n\n```sh\n[no](link)\n```\n\n## A b c\n\n![y](y.svg)\n";
    assert_eq!(links(page), ["d.md", "#a-b-c", "y.svg"]);
    assert_eq!(anchors(page), ["a-b-c", "a-b-c-1"]);
}

/// A chapter that the table of contents does not name is not in the book.
#[test]
fn every_chapter_is_in_the_book() {
    let source = root().join("docs/src");
    let named = links(&read(&source.join("SUMMARY.md")));
    for path in files().into_iter().filter(|path| path.starts_with(&source)) {
        let name = path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
        assert!(name == "SUMMARY.md" || named.contains(&name), "SUMMARY.md does not name {name}");
    }
}
