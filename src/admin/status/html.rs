//! Text in HTML.

use std::time::Duration;

use crate::model::disturbs;

/// The longest text from outside that is shown.
const LONGEST: usize = 400;

/// What is not known.
pub(super) const ABSENT: &str = "–";

/// A text from outside: no markup, no control characters, nothing that turns the direction of writing, and not too long.
pub(in super::super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars().take(LONGEST) {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other if disturbs(other) => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

/// In whole seconds.
pub(super) fn span(span: Duration) -> String {
    humantime::format_duration(Duration::from_secs(span.as_secs())).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_from_outside_is_markup_or_moves_what_is_around_it() {
        assert_eq!(escaped("<script>&\"'\u{202e}\n"), "&lt;script&gt;&amp;&quot;&#39;\u{fffd}\u{fffd}");
        let long = escaped(&"x".repeat(10_000));
        assert_eq!(long.chars().count(), LONGEST + 1);
    }
}
