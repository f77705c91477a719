//! Which of the two formats a scraper wants.

/// A format of the exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format, version 0.0.4.
    Text004,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics100,
}

/// The most ranges of an `Accept` header that are read. Prometheus sends five.
const RANGES_MAX: usize = 32;

impl Format {
    /// The value of the `Content-Type` header.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text004 => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics100 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format for a request with this `Accept` header.
    ///
    /// A client that names OpenMetrics and does not prefer the classic format gets OpenMetrics; every other client gets
    /// the classic format: without a header, with `*/*`, and also when neither format is acceptable, because a readable
    /// page helps more than an error.
    #[must_use]
    pub fn negotiate(accept: Option<&str>) -> Self {
        let mut text = Preference::default();
        let mut openmetrics = Preference::default();
        for range in accept.unwrap_or_default().split(',').take(RANGES_MAX).filter_map(Range::parse) {
            match (range.kind, range.subtype) {
                ("application", "openmetrics-text") if matches!(range.version, None | Some("1.0.0")) => {
                    openmetrics.note(range.quality, EXACT);
                }
                ("text", "plain") if matches!(range.version, None | Some("0.0.4")) => {
                    text.note(range.quality, EXACT);
                }
                ("text", "*") => text.note(range.quality, ANY_SUBTYPE),
                ("*", "*") => text.note(range.quality, ANY),
                _ => {}
            }
        }
        if openmetrics.quality > 0 && openmetrics.quality >= text.quality {
            Self::OpenMetrics100
        } else {
            Self::Text004
        }
    }
}

const ANY: u8 = 1;
const ANY_SUBTYPE: u8 = 2;
const EXACT: u8 = 3;

/// A client's preference for a format, from the most specific range.
#[derive(Debug, Default)]
struct Preference {
    quality: u16,
    specificity: u8,
}

impl Preference {
    fn note(&mut self, quality: u16, specificity: u8) {
        if specificity > self.specificity {
            *self = Self { quality, specificity };
        } else if specificity == self.specificity {
            self.quality = self.quality.max(quality);
        }
    }
}

/// One range of an `Accept` header.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    version: Option<&'a str>,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(range: &'a str) -> Option<Self> {
        let mut parts = range.split(';');
        let (kind, subtype) = parts.next()?.trim().split_once('/')?;
        let mut parsed = Self { kind, subtype, version: None, quality: 1_000 };
        for parameter in parts {
            let Some((name, value)) = parameter.split_once('=') else { continue };
            let value = value.trim().trim_matches('"');
            match name.trim() {
                name if name.eq_ignore_ascii_case("q") => parsed.quality = thousandths(value)?,
                name if name.eq_ignore_ascii_case("version") => parsed.version = Some(value),
                _ => {}
            }
        }
        Some(parsed)
    }
}

/// A quality between 0 and 1 with at most three decimals; `None` for anything else.
fn thousandths(quality: &str) -> Option<u16> {
    let (whole, decimals) = quality.split_once('.').unwrap_or((quality, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let decimals = format!("{decimals:0<3}").parse::<u16>().ok()?;
    match whole {
        "0" => Some(decimals),
        "1" if decimals == 0 => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Format::{self, OpenMetrics100, Text004};

    #[test]
    fn scrapers_get_the_format_they_like_best() {
        for (accept, expected) in [
            (
                // Prometheus 3.
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics100,
            ),
            (
                // Prometheus 2.
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics100,
            ),
            // A Prometheus whose configuration puts the classic format first.
            ("text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1", Text004),
            // A browser, and curl.
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Text004),
            ("*/*", Text004),
            ("text/*", Text004),
            ("application/openmetrics-text", OpenMetrics100),
            ("application/openmetrics-text; version=\"1.0.0\"; charset=utf-8", OpenMetrics100),
            ("application/openmetrics-text;version=1.0.0;Q=0.2, */*;q=0.1", OpenMetrics100),
            ("*/*;q=0.9, application/openmetrics-text;version=1.0.0;q=0.8", Text004),
            // What is refused is not sent.
            ("application/openmetrics-text;version=1.0.0;q=0", Text004),
            ("application/openmetrics-text;version=1.0.0;q=0.000, text/plain;q=0.001", Text004),
            // Text is refused by name, whatever the wildcard says.
            ("text/plain;q=0, */*;q=0.9, application/openmetrics-text;q=0.1", OpenMetrics100),
            // Versions that we do not write.
            ("application/openmetrics-text;version=2.0.0", Text004),
            ("application/openmetrics-text;version=0.0.1", Text004),
            // Unknown types and malformed headers.
            ("", Text004),
            (";;;,,,q=,/", Text004),
            ("application/json", Text004),
            ("application/openmetrics-text;q=2", Text004),
            ("application/openmetrics-text;q=0.1234", Text004),
        ] {
            assert_eq!(Format::negotiate(Some(accept)), expected, "{accept}");
        }
        assert_eq!(Format::negotiate(None), Text004);
    }

    #[test]
    fn a_header_without_end_is_not_read_to_its_end() {
        let accept = "a/b,".repeat(1_000) + "application/openmetrics-text";
        assert_eq!(Format::negotiate(Some(&accept)), Text004);
    }
}
