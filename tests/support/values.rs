//! The chart's values as a table, from values.yaml and its comments: a part of deploy/helm/virt-otel/README.md.

use std::fmt::Write;

use serde_json::Value;

/// The table, from the text and what it means.
pub fn table(values: &str, all: &Value) -> String {
    let mut table = "\n| Value | Default | What it is |\n|---|---|---|\n".to_owned();
    let (mut path, mut comment, mut leaf) = (Vec::<(usize, &str)>::new(), Vec::new(), None);
    for line in values.lines() {
        let text = line.trim_start();
        let depth = line.len() - text.len();
        if let Some(said) = text.strip_prefix('#') {
            comment.push(said.trim());
        } else if text.is_empty() {
            // A comment that stands alone is about the file.
            comment.clear();
        } else if leaf.is_none_or(|leaf| depth <= leaf) {
            let (key, given) = text.split_once(':').unwrap_or((text, ""));
            path.retain(|(above, _)| *above < depth);
            path.push((depth, key));
            let value = path.iter().fold(all, |value, (_, key)| &value[*key]);
            let parts = given.is_empty() && value.as_object().is_some_and(|parts| parts.keys().all(|key| is_word(key)));
            leaf = (!parts).then_some(depth);
            let default = if parts { String::new() } else { format!("`{value}`") };
            let name: Vec<&str> = path.iter().map(|(_, key)| *key).collect();
            let said = std::mem::take(&mut comment).join(" ").replace('|', "\\|");
            if !parts || !said.is_empty() {
                let _ = writeln!(table, "| `{}` | {default} | {said} |", name.join("."));
            }
        }
    }
    table.push('\n');
    table
}

/// Whether a key is a name of the chart's, and not one of Kubernetes' labels.
fn is_word(key: &str) -> bool {
    key.chars().all(char::is_alphanumeric)
}
