//! Whether a request is admitted, and if not, why.

use crate::model::names;

/// Whether a request is admitted.
pub type Admission = Result<(), Refusal>;

/// Why a request is not admitted: a closed set, since it becomes a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// More requests came than `rate_limit` allows.
    TooOften,
    /// There is no user with a password and no token, or none of a kind that is accepted here.
    NoCredentials,
    /// The user or the password is wrong.
    WrongPassword,
    /// Nobody has this token.
    UnknownToken,
    /// The token's owner may not read `/metrics`.
    Forbidden,
    /// Too many passwords or unknown tokens wait already.
    Busy,
    /// Whoever reviews tokens does not answer.
    NoReview,
}

impl Refusal {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::TooOften,
        Self::NoCredentials,
        Self::WrongPassword,
        Self::UnknownToken,
        Self::Forbidden,
        Self::Busy,
        Self::NoReview,
    ];

    /// The name of every value, for a closed set of labels.
    pub(super) const NAMES: [&'static str; Self::ALL.len()] = names!(Self::ALL);

    /// Its name in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooOften => "too_often",
            Self::NoCredentials => "no_credentials",
            Self::WrongPassword => "wrong_password",
            Self::UnknownToken => "unknown_token",
            Self::Forbidden => "forbidden",
            Self::Busy => "busy",
            Self::NoReview => "no_review",
        }
    }
}
