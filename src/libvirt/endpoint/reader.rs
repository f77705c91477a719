//! Who reads a daemon.

use super::admission::Limits;

/// Who reads a daemon. It decides how many calls there may be: the daemon has few workers for all its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reader {
    /// The agent: four calls in flight and eight abandoned.
    #[default]
    Agent,
    /// A command that may run beside an agent: one call in flight and two abandoned.
    BesideAnAgent,
}

impl Reader {
    pub(super) const fn limits(self) -> Limits {
        match self {
            Self::Agent => Limits::AGENT,
            Self::BesideAnAgent => Limits::BESIDE_AN_AGENT,
        }
    }
}
