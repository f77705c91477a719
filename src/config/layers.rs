//! Precedence: a flag beats its variable, which beats the standard variable, which beats the default.

use super::environment::Environment;
use super::error::{ConfigError, Given, Origin};
use super::flags;

/// Looks values up, layer by layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layers<'a> {
    pub(super) environment: &'a Environment,
}

impl Layers<'_> {
    /// The value of a flag that is given once. The first of `standard`'s variables that is set ranks between the flag's
    /// own variable and its default.
    pub(super) fn one(self, name: &'static str, flag: Option<&String>, standard: &[&str]) -> Option<Given> {
        if let Some(value) = flag {
            return Some(Given { value: value.clone(), origin: Origin::Flag(name) });
        }
        self.variable(&flags::variable(name)).or_else(|| self.first(standard)).or_else(|| default(name))
    }

    /// The value of a flag that has a default.
    ///
    /// # Errors
    ///
    /// None that can happen: a test looks up every default.
    pub(super) fn required(
        self,
        name: &'static str,
        flag: Option<&String>,
        standard: &[&str],
    ) -> Result<Given, ConfigError> {
        self.one(name, flag, standard).ok_or_else(|| ConfigError {
            origin: format!("--{name}"),
            problem: "has no value".into(),
            accepted: "give one".into(),
        })
    }

    /// The values of a flag that may be repeated. Its variable separates them with commas.
    pub(super) fn many(self, name: &'static str, flags: &[String]) -> Vec<Given> {
        if !flags.is_empty() {
            return flags.iter().map(|value| Given { value: value.clone(), origin: Origin::Flag(name) }).collect();
        }
        let list = self.variable(&flags::variable(name)).or_else(|| default(name));
        list.map(|list| split(&list)).unwrap_or_default()
    }

    /// The first of these variables that is set.
    pub(super) fn first(self, names: &[&str]) -> Option<Given> {
        names.iter().find_map(|name| self.variable(name))
    }

    /// The trimmed value of a variable.
    pub(super) fn variable(self, name: &str) -> Option<Given> {
        let value = self.environment.get(name)?.trim().to_owned();
        Some(Given { value, origin: Origin::Variable(name.to_owned()) })
    }
}

fn default(name: &str) -> Option<Given> {
    flags::default(name).map(|value| Given { value: value.to_owned(), origin: Origin::Default })
}

/// The parts of a list: split at commas, but not inside the braces of a glob; blanks around a part do not count.
pub(super) fn split(list: &Given) -> Vec<Given> {
    let mut depth = 0_u32;
    let parts = list.value.split(|character| {
        match character {
            '{' => depth = depth.saturating_add(1),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).map(|part| list.part(part)).collect()
}
