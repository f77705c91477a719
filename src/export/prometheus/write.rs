//! Labels, numbers and texts, in the spelling of the two formats.

// Writing into a string cannot fail, so the results of `write!` are dropped here.
use std::fmt::Write;

use super::Format;
use crate::catalog::{Label, Value};

/// Appends labels, separated by commas.
pub(super) fn push_labels<'a>(labels: impl Iterator<Item = Label<'a>>, out: &mut String) {
    for (index, label) in labels.enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_label(&label, out);
    }
}

/// Appends a label with its value.
pub(super) fn push_label(label: &Label<'_>, out: &mut String) {
    push_pair(label.attribute.label, label.value, out);
}

/// Appends a label with its value.
pub(super) fn push_pair(name: &str, value: &str, out: &mut String) {
    out.push_str(name);
    out.push_str("=\"");
    push_quoted(value, out);
    out.push('"');
}

/// Appends the value of a label, escaped; both formats do it in the same way.
pub(super) fn push_quoted(value: &str, out: &mut String) {
    push_escaped(value, &['\\', '"', '\n', '\0'], out);
}

/// Appends the HELP line of a family.
pub(super) fn push_help(family: &str, help: &str, format: Format, out: &mut String) {
    out.push_str("# HELP ");
    out.push_str(family);
    out.push(' ');
    match format {
        Format::Text004 => push_escaped(help, &['\\', '\n', '\0'], out),
        Format::OpenMetrics100 => push_quoted(help, out),
    }
    out.push('\n');
}

fn push_escaped(mut text: &str, special: &[char], out: &mut String) {
    // Nearly every text has nothing to escape and is copied in one piece.
    while let Some(at) = text.find(special) {
        out.push_str(&text[..at]);
        let rest = &text[at..];
        let mut rest = rest.chars();
        match rest.next() {
            Some('\n') => out.push_str("\\n"),
            // Prometheus reads a zero byte as the end of its input.
            Some('\0') => out.push(char::REPLACEMENT_CHARACTER),
            Some(c) => {
                out.push('\\');
                out.push(c);
            }
            None => {}
        }
        text = rest.as_str();
    }
    out.push_str(text);
}

/// Appends a value: integers as integers, others with as many digits as it takes to read back the same number.
pub(super) fn push_value(value: Value, out: &mut String) {
    match value {
        Value::Integer(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Double(value) => push_double(value, out),
    }
}

/// Appends a floating-point number.
pub(super) fn push_double(value: f64, out: &mut String) {
    if value == f64::INFINITY {
        out.push_str("+Inf");
    } else if value == f64::NEG_INFINITY {
        out.push_str("-Inf");
    } else {
        let _ = write!(out, "{value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_escaped_as_each_format_has_it() {
        let help = |format| {
            let mut out = String::new();
            push_help("x", "a \"b\" \\ c\nd", format, &mut out);
            out
        };
        assert_eq!(help(Format::Text004), "# HELP x a \"b\" \\\\ c\\nd\n");
        assert_eq!(help(Format::OpenMetrics100), "# HELP x a \\\"b\\\" \\\\ c\\nd\n");
    }

    #[test]
    fn numbers_read_back_as_themselves() {
        for (value, expected) in [
            (Value::Integer(0), "0"),
            (Value::Integer(u64::MAX), "18446744073709551615"),
            (Value::Double(0.0), "0"),
            (Value::Double(1.0), "1"),
            (Value::Double(0.1), "0.1"),
            (Value::Double(1e-9), "0.000000001"),
            (Value::Double(86_400.123_456_789), "86400.123456789"),
            (Value::Double(f64::INFINITY), "+Inf"),
            (Value::Double(f64::NEG_INFINITY), "-Inf"),
            (Value::Double(f64::NAN), "NaN"),
        ] {
            let mut out = String::new();
            push_value(value, &mut out);
            assert_eq!(out, expected);
        }
    }
}
