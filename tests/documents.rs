//! The documents: each link leads somewhere, and all say the same about where the source is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use lab_support::page::{self, Todo};

/// Folders without documents of ours.
const SKIPPED: [&str; 4] = [".git", "target", "node_modules", "vendor"];

/// Every Markdown file of the repository with its text, without blocks of code.
fn documents() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                if !SKIPPED.iter().any(|skipped| name == **skipped) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.insert(path.strip_prefix(root).unwrap().to_owned(), without_code(&text));
            }
        }
    }
    found
}

fn without_code(text: &str) -> String {
    let mut code = false;
    let kept = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    });
    kept.map(|line| format!("{line}\n")).collect()
}

/// The anchor that a heading has where Markdown is shown.
fn anchor(heading: &str) -> String {
    let mut text = String::new();
    let mut rest = heading;
    // Of a link its words.
    while let Some((before, (words, after))) =
        rest.split_once('[').and_then(|(before, link)| Some((before, link.split_once("](")?)))
    {
        text.extend([before, words]);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let kept = text.trim().to_lowercase();
    kept.chars()
        .filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter))
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).collect()
}

/// The targets of the links of a text, except addresses.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '\n']).next());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

/// A path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = documents();
    assert!(documents.len() > 20, "{:?}", documents.keys());
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (path, text) in &documents {
        for link in links(text) {
            count += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if file.is_empty() { path.clone() } else { normal(&path.parent().unwrap_or(Path::new("")).join(file)) };
            if !root.join(&target).exists() {
                wrong.push(format!("{}: {link} is not there", path.display()));
            } else if let Some(there) = documents.get(&target)
                && !heading.is_empty()
                && !anchors(there).iter().any(|known| known == heading)
            {
                wrong.push(format!("{}: {link} is no heading of {}", path.display(), target.display()));
            }
        }
    }
    assert!(count > 100, "only {count} links were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Who says where the source is, beside `repository` in Cargo.toml: the file and the line, which without an address is the
/// second one or, if that is empty, not there.
const SOURCE: [(&str, &str, &str); 3] = [
    ("crates/libvirt-remote/Cargo.toml", "repository = \"{}\"", ""),
    ("deploy/helm/virt-otel/values.yaml", "sourceUrl: {}", "sourceUrl: \"\""),
    ("NOTICE", "The source of virt-otel is available from {}", ""),
];

/// What a file says of the address that is not as `SOURCE` has it.
fn wrong(text: &str, (file, with, without): (&str, &str, &str), url: Option<&str>) -> Option<String> {
    let said = with.split('{').next().unwrap();
    let found = text.lines().find(|line| line.starts_with(said)).unwrap_or_default();
    let expected = url.map_or_else(|| without.to_owned(), |url| with.replace("{}", url));
    (found != expected).then(|| format!("{file} says '{found}', and should say '{expected}'"))
}

#[test]
fn where_the_source_is_stands_in_cargo_toml_and_all_say_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let url = option_env!("CARGO_PKG_REPOSITORY").filter(|url| !url.is_empty());
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
    let wrong: Vec<_> = SOURCE.into_iter().filter_map(|said| wrong(&read(said.0), said, url)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_address_is_said_in_full_or_not_at_all() {
    let [_, chart, notice] = SOURCE;
    let url = Some("https://git.example.com/virt-otel");
    assert_eq!(wrong("sourceUrl: https://git.example.com/virt-otel\n", chart, url), None);
    assert!(wrong("sourceUrl: \"\"\n", chart, url).is_some_and(|wrong| wrong.contains("git.example.com")));
    assert!(wrong("sourceUrl: https://git.example.com/virt-otel\n", chart, None).is_some());
    assert_eq!(wrong("virt-otel\n", notice, None), None);
    assert!(wrong("virt-otel\n", notice, url).is_some());
}

#[test]
fn the_pages_that_lead_a_newcomer_say_of_each_command_whether_it_is_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, ran) in [("host.md", 14), ("kubevirt.md", 9), ("openstack.md", 5)] {
        let text = std::fs::read_to_string(root.join("docs/getting-started").join(path)).unwrap();
        let steps = page::steps(&text).unwrap_or_else(|error| panic!("{path}, {error}"));
        let count = steps.iter().filter(|step| !matches!(step.todo, Todo::Not(_))).count();
        assert!(count >= ran, "{path} runs {count} blocks only");
    }
}

#[test]
fn a_comment_that_nobody_understands_is_a_fault() {
    let read = |comment: &str| page::steps(&format!("{comment}\n```sh\ntrue\n```\n"));
    let step = |todo| Ok(vec![page::Step { line: 2, todo, commands: "true\n".to_owned() }]);
    assert_eq!(
        read("<!-- run; exit: 0 or 1; shows: a b -->"),
        step(Todo::Run { codes: vec![0, 1], shows: vec!["a b".to_owned()] })
    );
    assert_eq!(read("<!-- run in the background -->"), step(Todo::Background));
    assert_eq!(read("<!-- not run: no reason -->"), step(Todo::Not("no reason".to_owned())));
    for block in ["```bash\ntrue\n```\n", "- so:\n  ```sh\n  true\n  ```\n", "```console\n$ true\n```\n"] {
        assert!(page::steps(block).is_err(), "{block:?}");
    }
    for wrong in ["", "<!-- of something else -->", "<!-- run; see: a -->", "<!-- run; exit: a -->", "<!-- run -->\n"] {
        assert!(read(wrong).is_err(), "{wrong:?}");
    }
}
