//! Values that several settings share: durations, switches, lists of pairs, addresses.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use globset::{Glob, GlobSet, GlobSetBuilder};
use percent_encoding::percent_decode_str;

use super::error::{ConfigError, Given};

/// A duration in words (`15s`, `1m30s`, `500ms`) within bounds.
pub(super) fn duration(given: &Given, bounds: &RangeInclusive<Duration>) -> Result<Duration, ConfigError> {
    let duration = humantime::parse_duration(&given.value)
        .map_err(|_| given.wrong("is not a duration", "give a number with a unit, such as 15s, 1m30s or 500ms"))?;
    within(given, duration, bounds)
}

/// A duration in milliseconds, as the `OTEL_*` variables have it, within bounds.
pub(super) fn milliseconds(given: &Given, bounds: &RangeInclusive<Duration>) -> Result<Duration, ConfigError> {
    let millis = given
        .value
        .parse()
        .map_err(|_| given.wrong("is not a number of milliseconds", "give a whole number, such as 10000"))?;
    within(given, Duration::from_millis(millis), bounds)
}

fn within(given: &Given, duration: Duration, bounds: &RangeInclusive<Duration>) -> Result<Duration, ConfigError> {
    if bounds.contains(&duration) {
        return Ok(duration);
    }
    let [least, most] = [bounds.start(), bounds.end()].map(|bound| humantime::format_duration(*bound));
    Err(given.wrong("is out of range", format!("give at least {least} and at most {most}")))
}

/// `true` or `false`, in any case.
pub(super) fn switch(given: &Given) -> Result<bool, ConfigError> {
    match given.value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(given.wrong("is neither true nor false", "give one of the two")),
    }
}

/// One of a few words, in any case.
pub(super) fn word<T: Copy>(given: &Given, words: &[(&str, T)]) -> Result<T, ConfigError> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(&given.value));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        given.wrong("is not accepted", format!("give one of {}", words.join(", ")))
    })
}

/// Comma-separated `key=value` pairs with percent-encoded values: how the `OTEL_*` variables write headers and resource
/// attributes. The error message does not show the value, which may be a secret.
pub(super) fn pairs(given: &Given) -> Result<Vec<(String, String)>, ConfigError> {
    let parts = given.value.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let wrong = |problem: &str| given.problem(problem, "give key=value pairs with commas between");
            let (key, value) = part.split_once('=').ok_or_else(|| wrong("a part of the list has no `=`"))?;
            let key = key.trim();
            if key.is_empty() {
                return Err(wrong("a part of the list has no key"));
            }
            let value = percent_decoded(value.trim()).ok_or_else(|| {
                given.problem(
                    format!("the value of `{key}` is not percent-encoded UTF-8"),
                    "write a percent sign as %25 and a comma as %2C",
                )
            })?;
            Ok((key.to_owned(), value))
        })
        .collect()
}

/// `%41` is `A`; `None` for a lone `%` and for what is not UTF-8 afterwards.
fn percent_decoded(text: &str) -> Option<String> {
    let is_escape = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

/// A file that can be opened. Its content is checked where it is used.
pub(super) fn file(given: &Given, accepted: &str) -> Result<PathBuf, ConfigError> {
    let path = PathBuf::from(&given.value);
    match std::fs::File::open(&path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => Ok(path),
        Ok(_) => Err(given.wrong("is not a file", accepted)),
        Err(error) => Err(given.wrong(format!("cannot be opened ({error})"), accepted)),
    }
}

/// An absolute path. Whether it exists is checked where it is used: it may be created later.
pub(super) fn absolute(given: &Given) -> Result<PathBuf, ConfigError> {
    let path = PathBuf::from(&given.value);
    if path.is_absolute() { Ok(path) } else { Err(given.wrong("is not an absolute path", "begin it with a slash")) }
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// A host name or an address; empty for every address of the machine.
    pub host: String,
    /// The port; 0 for a free one.
    pub port: u16,
}

impl Listen {
    /// Whether nobody but this machine reaches it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let host = self.host.as_str();
        host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Whether both addresses conflict, as far as their text says: names are resolved where they are used.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let everywhere = |listen: &Self| {
            let unspecified = listen.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_unspecified());
            listen.host.is_empty() || unspecified
        };
        let hosts = everywhere(self) || everywhere(other) || self.host.eq_ignore_ascii_case(&other.host);
        // Each port 0 is a different free port.
        hosts && self.port == other.port && self.port != 0
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

/// `host:port`, `[::1]:port` or `:port`.
pub(super) fn listen(given: &Given) -> Result<Listen, ConfigError> {
    const ACCEPTED: &str = "give HOST:PORT, such as localhost:9464, [::1]:9464 or :9464";
    let wrong = || given.wrong("is not an address to listen on", ACCEPTED);
    let (host, port) = given.value.rsplit_once(':').ok_or_else(wrong)?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bracketed {
        Some(address) => {
            address.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            address
        }
        None => host,
    };
    let is_name = |name: &str| name.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_'));
    if bracketed.is_none() && !is_name(host) {
        return Err(wrong());
    }
    let port = port.parse().map_err(|_| given.wrong("has no port from 0 to 65535", ACCEPTED))?;
    Ok(Listen { host: host.to_owned(), port })
}

/// A set of globs. `example` is one that is right.
pub(super) fn globs(patterns: &[Given], example: &str) -> Result<GlobSet, ConfigError> {
    let mut set = GlobSetBuilder::new();
    for given in patterns {
        set.add(Glob::new(&given.value).map_err(|error| {
            given.wrong(format!("is not a glob ({})", error.kind()), format!("give one such as {example}"))
        })?);
    }
    set.build().map_err(|error| ConfigError {
        origin: patterns.first().map(|given| given.origin.to_string()).unwrap_or_default(),
        problem: format!("the globs cannot be used together ({error})"),
        accepted: "give fewer or simpler ones".to_owned(),
    })
}
