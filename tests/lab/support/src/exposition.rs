//! A page of metrics, in Prometheus' text format or in OpenMetrics, for assertions.

use std::collections::BTreeMap;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Sample {
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// Whether it has at least these labels.
    pub fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.label(name) == Some(value))
    }
}

/// A parsed page.
#[derive(Debug, Default, Clone)]
pub struct Metrics {
    pub samples: Vec<Sample>,
    /// The type of each family.
    pub types: BTreeMap<String, String>,
}

impl Metrics {
    /// Parses a page; panics with the first invalid line.
    #[track_caller]
    pub fn parse(text: &str) -> Metrics {
        let mut metrics = Metrics::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix('#') {
                let mut words = comment.split_whitespace();
                if words.next() == Some("TYPE")
                    && let (Some(family), Some(kind)) = (words.next(), words.next())
                {
                    metrics.types.insert(family.to_owned(), kind.to_owned());
                }
            } else {
                let sample = sample(line).unwrap_or_else(|| panic!("not a line of metrics: {line:?}"));
                metrics.samples.push(sample);
            }
        }
        metrics
    }

    /// All samples of a name that have at least these labels.
    pub fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Sample> {
        self.samples.iter().filter(|sample| sample.name == name && sample.has(labels)).collect()
    }

    /// The value of the one sample of a name with these labels; none when there is none. Panics when there are more.
    #[track_caller]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found = self.all(name, labels);
        assert!(found.len() < 2, "{name} with {labels:?} is {} samples: {found:?}", found.len());
        found.first().map(|sample| sample.value)
    }

    /// Whether any sample has this name and these labels.
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        !self.all(name, labels).is_empty()
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(|character: char| character == '{' || character.is_whitespace())?;
    let name = line[..end].to_owned();
    let mut rest = &line[end..];
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (key, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            // A label given twice makes the page invalid.
            if labels.insert(key.to_owned(), value).is_some() {
                return None;
            }
            rest = after;
        }
    }
    let value = match rest.split_whitespace().next()? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().ok()?,
    };
    Some(Sample { name, labels, value })
}

/// The text up to the closing quote, unescaped, and what comes after that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            plain => value.push(plain),
        }
    }
    None
}
