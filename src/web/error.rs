//! What is said of a document that cannot be used.

use std::fmt;
use std::path::Path;

/// Why the document cannot be used: the file, the field with what is wrong, and what to do.
///
/// It shows no value that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {problem}; {accepted}")]
pub struct WebError {
    /// The document, or a file that it names.
    pub file: String,
    /// The field, and what is wrong with it.
    pub problem: String,
    /// What is accepted, or what to do.
    pub accepted: String,
}

impl WebError {
    pub(super) fn of(file: &Path, problem: impl fmt::Display, accepted: impl Into<String>) -> Self {
        Self { file: file.display().to_string(), problem: problem.to_string(), accepted: accepted.into() }
    }
}
