//! `libvirt.conf`, as far as a client's connections depend on it.

use super::error::AddressError;

/// Most bytes of a file that are parsed.
const LENGTH_MAX: usize = 1_048_576;

/// The settings of `libvirt.conf` that affect a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conf {
    /// `uri_aliases`, each `name=URI`.
    pub(super) aliases: Vec<String>,
    /// `remote_mode`
    pub(super) mode: Option<String>,
    /// `remote_proxy`
    pub(super) proxy: Option<String>,
    /// `tls_priority`
    pub(super) tls_priority: Option<String>,
}

impl Conf {
    /// Parses the text of a `libvirt.conf`: `name = value` lines, where a value is a number, a text in quotes, or a
    /// list of such texts in brackets. Settings that are not used here are ignored.
    ///
    /// # Errors
    ///
    /// If one of the settings that are used is malformed.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let mut conf = Self::default();
        let text = text.get(..LENGTH_MAX).unwrap_or(text);
        let mut rest = text;
        while let Some((line, behind)) = rest.split_once('\n').or_else(|| (!rest.is_empty()).then_some((rest, ""))) {
            let Some((name, value)) = line.split_once('=').filter(|_| !line.trim_start().starts_with('#')) else {
                rest = behind;
                continue;
            };
            let setting = match name.trim() {
                "uri_aliases" => "uri_aliases",
                "remote_mode" => "remote_mode",
                "remote_proxy" => "remote_proxy",
                "tls_priority" => "tls_priority",
                _ => {
                    rest = behind;
                    continue;
                }
            };
            // A list may span several lines.
            let begin = line.len() - value.len();
            let value = Value::read(&rest[begin..]).ok_or_else(|| AddressError::Conf {
                setting,
                problem: "it is neither a text in quotes nor a list of texts in brackets".to_owned(),
            })?;
            rest = &rest[begin + value.length..];
            rest = rest.split_once('\n').map_or("", |(_, behind)| behind);
            let one = || value.texts.first().cloned();
            match setting {
                "uri_aliases" => conf.aliases = value.texts,
                "remote_mode" => conf.mode = one(),
                "remote_proxy" => conf.proxy = one(),
                _ => conf.tls_priority = one(),
            }
        }
        Ok(conf)
    }

    /// What an alias stands for.
    pub(super) fn alias(&self, alias: &str) -> Result<Option<&str>, AddressError> {
        for entry in &self.aliases {
            let malformed = |problem: &str| AddressError::Conf {
                setting: "uri_aliases",
                problem: format!("the entry `{entry}` {problem}"),
            };
            let (name, uri) = entry.split_once('=').ok_or_else(|| malformed("is not name=URI"))?;
            if !is_alias(name) {
                return Err(malformed("has a name with other characters than letters, digits, `_`, `-` and `.`"));
            }
            if name == alias {
                return Ok(Some(uri));
            }
        }
        Ok(None)
    }
}

/// Whether this can be the name of an alias.
pub(super) fn is_alias(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.'))
}

/// The value of a setting.
struct Value {
    texts: Vec<String>,
    /// How many bytes of the text it takes.
    length: usize,
}

impl Value {
    fn read(text: &str) -> Option<Self> {
        let mut reader = Texts { text, at: 0 };
        reader.skip_blank();
        let mut texts = Vec::new();
        if reader.eat('[') {
            loop {
                reader.skip_blank();
                if reader.eat(']') {
                    break;
                }
                texts.push(reader.quoted()?);
                reader.skip_blank();
                if !reader.eat(',') && !reader.text[reader.at..].starts_with(']') {
                    return None;
                }
            }
        } else {
            texts.push(reader.quoted()?);
        }
        Some(Self { texts, length: reader.at })
    }
}

struct Texts<'a> {
    text: &'a str,
    at: usize,
}

impl Texts<'_> {
    /// Skips spaces, ends of lines and comments.
    fn skip_blank(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let blank = rest.len() - rest.trim_start().len();
            self.at += blank;
            if !rest[blank..].starts_with('#') {
                return;
            }
            self.at += rest[blank..].find('\n').unwrap_or(rest.len() - blank);
        }
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.text[self.at..].starts_with(wanted);
        self.at += if found { wanted.len_utf8() } else { 0 };
        found
    }

    /// A text in single or double quotes.
    fn quoted(&mut self) -> Option<String> {
        let rest = &self.text[self.at..];
        let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let end = rest[1..].find(quote)?;
        self.at += end + 2;
        Some(rest[1..=end].to_owned())
    }
}
