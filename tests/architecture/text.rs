//! Rust sources as tokens: enough to see which paths a file names, without building it.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file of the product.
pub(crate) struct File {
    /// Its path from the root of the repository, such as `src/libvirt/library.rs`.
    pub(crate) path: String,
    /// How many lines it has without its unit tests.
    pub(crate) lines: usize,
    /// Its tokens without comments, strings and unit tests.
    pub(crate) tokens: Vec<Token>,
}

/// An identifier, a number or a piece of punctuation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// One occurrence of a path such as `crate::model::Vm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    /// Whether a `use` names it.
    pub(crate) imported: bool,
}

impl File {
    /// The file's top-level module; `main` and `lib` for the crate roots.
    pub(crate) fn module(&self) -> &str {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        inner.split('/').next().unwrap_or(inner)
    }

    /// The file's place in the module tree: `["libvirt", "library"]`.
    fn location(&self) -> Vec<String> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        inner.split('/').filter(|part| !["mod", "lib", "main"].contains(part)).map(str::to_owned).collect()
    }

    /// Every path with `::`, with imports expanded and `super` and `self` resolved to `crate`.
    pub(crate) fn paths(&self) -> Vec<Named> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            if self.tokens[at].text == "use" {
                at = use_tree(&self.tokens, at + 1, &[], &mut found);
            } else if is_identifier(&self.tokens[at].text)
                && text_at(&self.tokens, at + 1) == "::"
                && (at == 0 || self.tokens[at - 1].text != "::")
            {
                let (segments, next) = plain_path(&self.tokens, at);
                found.push(Named { segments, line: self.tokens[at].line, imported: false });
                at = next;
            } else {
                at += 1;
            }
        }
        for named in &mut found {
            named.segments = self.resolved(&named.segments);
        }
        found
    }

    fn resolved(&self, segments: &[String]) -> Vec<String> {
        let mut here = self.location();
        let mut rest = segments;
        match rest.first().map(String::as_str) {
            Some("self") => rest = &rest[1..],
            Some("super") => {
                while rest.first().is_some_and(|segment| segment == "super") {
                    here.pop();
                    rest = &rest[1..];
                }
            }
            _ => return segments.to_vec(),
        }
        [vec!["crate".to_owned()], here, rest.to_vec()].concat()
    }
}

/// Every file under `src`, ordered by path, without those that hold only tests.
pub(crate) fn sources() -> Vec<File> {
    sources_under("src")
}

/// The same for the agent's other crates.
pub(crate) fn crates() -> Vec<File> {
    sources_under("crates/libvirt-remote/src")
}

fn sources_under(folder: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    walk(&root.join(folder), &mut paths);
    paths.sort();
    let mut for_tests = Vec::new();
    let mut files = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("a source file that can be read");
        let path = path.strip_prefix(root).expect("a path in the repository").display().to_string();
        let all = tokens(&text);
        for_tests.extend(modules_for_tests(&path, &all));
        let (tokens, lines_of_tests) = without_tests(&all);
        files.push(File { path, lines: text.lines().count() - lines_of_tests, tokens });
    }
    let only_tests = |path: &str| {
        let named_so = path.ends_with("/tests.rs") || path.contains("/tests/") || path.starts_with("src/testing");
        named_so
            || for_tests.iter().any(|module| path == format!("{module}.rs") || path.starts_with(&format!("{module}/")))
    };
    files.retain(|file| !only_tests(&file.path));
    files
}

/// The paths, without `.rs`, of the modules that a file declares for tests alone: `#[cfg(test)] mod fixture;`.
fn modules_for_tests(path: &str, tokens: &[Token]) -> Vec<String> {
    let inner = path.trim_end_matches(".rs");
    let folder = ["/mod", "/lib", "/main"].iter().find_map(|root| inner.strip_suffix(root)).unwrap_or(inner);
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        if !is_mark(tokens, at) {
            continue;
        }
        // The item after the attribute, such as `pub(crate) mod fixture;`.
        let item = &tokens[at + MARK.len()..after_item(tokens, at + MARK.len())];
        if let [.., keyword, name, end] = item
            && keyword.text == "mod"
            && end.text == ";"
        {
            found.push(format!("{folder}/{}", name.text));
        }
    }
    found
}

/// The tokens before an item that only tests see.
const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];

fn is_mark(tokens: &[Token], at: usize) -> bool {
    MARK.iter().enumerate().all(|(offset, text)| text_at(tokens, at + offset) == *text)
}

/// Every `.rs` file under a folder.
pub(crate) fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

fn text_at(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |token| token.text.as_str())
}

/// The path that begins at a token, and the place after it.
fn plain_path(tokens: &[Token], mut at: usize) -> (Vec<String>, usize) {
    let mut segments = vec![tokens[at].text.clone()];
    at += 1;
    while text_at(tokens, at) == "::" && is_identifier(text_at(tokens, at + 1)) {
        segments.push(tokens[at + 1].text.clone());
        at += 2;
    }
    (segments, at)
}

/// Expands `a::{b, c::d}`, from the place after `use` or within braces; returns the place after it.
fn use_tree(tokens: &[Token], mut at: usize, before: &[String], found: &mut Vec<Named>) -> usize {
    let line = tokens.get(at).map_or(0, |token| token.line);
    let mut segments = before.to_vec();
    loop {
        match text_at(tokens, at) {
            "{" => {
                at += 1;
                while !["}", ""].contains(&text_at(tokens, at)) {
                    at = use_tree(tokens, at, &segments, found);
                    if text_at(tokens, at) == "," {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "::" => at += 1,
            "as" => at += 2,
            word if is_identifier(word) || word == "*" => {
                segments.push(word.to_owned());
                at += 1;
            }
            _ => {
                found.push(Named { segments, line, imported: true });
                return at;
            }
        }
    }
}

/// Drops what only tests see, the items after `#[cfg(test)]`, and counts their lines.
fn without_tests(tokens: &[Token]) -> (Vec<Token>, usize) {
    let mut kept: Vec<Token> = Vec::with_capacity(tokens.len());
    let (mut at, mut lines) = (0, 0);
    while at < tokens.len() {
        if is_mark(tokens, at) {
            let end = after_item(tokens, at + MARK.len());
            lines += tokens[end - 1].line - tokens[at].line + 1;
            at = end;
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    (kept, lines)
}

/// The place after an item: after its closing brace, or its semicolon if it has no body.
fn after_item(tokens: &[Token], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
        at += 1;
    }
    at
}

/// Splits a source into tokens, without comments and the contents of strings.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let characters: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < characters.len() {
        let start = at;
        let next = characters.get(at + 1).copied().unwrap_or('\0');
        let literal = match characters[at] {
            '"' => Some(end_of_string(&characters, at)),
            'r' | 'b' | 'c' => end_of_prefixed_string(&characters, at),
            '\'' => end_of_character(&characters, at),
            _ => None,
        };
        let text = match characters[at] {
            _ if literal.is_some() => {
                at = literal.unwrap_or(at);
                Some("\"\"".to_owned())
            }
            '/' if next == '/' => {
                at = end_of(&characters, at, "\n");
                None
            }
            '/' if next == '*' => {
                at = end_of_comment(&characters, at);
                None
            }
            ':' if next == ':' => {
                at += 2;
                Some("::".to_owned())
            }
            first if first.is_alphanumeric() || first == '_' => {
                while characters.get(at).is_some_and(|&c| c.is_alphanumeric() || c == '_') {
                    at += 1;
                }
                Some(characters[start..at].iter().collect())
            }
            first => {
                at += 1;
                (!first.is_whitespace()).then(|| first.to_string())
            }
        };
        if let Some(text) = text {
            found.push(Token { text, line });
        }
        line += characters[start..at].iter().filter(|&&c| c == '\n').count();
    }
    found
}

fn end_of(characters: &[char], from: usize, mark: &str) -> usize {
    let mark: Vec<char> = mark.chars().collect();
    let found = characters[from..].windows(mark.len()).position(|window| window == mark);
    found.map_or(characters.len(), |offset| from + offset + mark.len())
}

fn end_of_comment(characters: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from + 2, 1);
    while at < characters.len() && depth > 0 {
        match (characters[at], characters.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

fn end_of_string(characters: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < characters.len() && characters[at] != '"' {
        at += if characters[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(characters.len())
}

/// The end of `r"…"`, `r#"…"#`, `b"…"`, `c"…"` and their combinations; none if this is a word.
fn end_of_prefixed_string(characters: &[char], from: usize) -> Option<usize> {
    let prefix = characters[from..].iter().take(2).take_while(|&&c| matches!(c, 'r' | 'b' | 'c')).count();
    let hashes = characters[from + prefix..].iter().take_while(|&&c| c == '#').count();
    let quote = from + prefix + hashes;
    if characters.get(quote) != Some(&'"') {
        return None;
    }
    let raw = characters[from..from + prefix].contains(&'r');
    Some(if raw {
        end_of(characters, quote + 1, &format!("\"{}", "#".repeat(hashes)))
    } else {
        end_of_string(characters, quote)
    })
}

/// The end of a character literal; none if this is a lifetime.
fn end_of_character(characters: &[char], from: usize) -> Option<usize> {
    if characters.get(from + 1) == Some(&'\\') {
        // After the escaped character, so that '\'' does not end too early.
        let end = characters.get(from + 3..)?.iter().position(|&c| c == '\'')?;
        return Some(from + 3 + end + 1);
    }
    (characters.get(from + 2) == Some(&'\'')).then_some(from + 3)
}
