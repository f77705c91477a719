//! The queries about a domain: which are out, and which are wanted.

/// A query about a domain. There is at most one of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum CallState {
    /// None.
    #[default]
    Idle,
    /// It is sent at the end of this loop iteration.
    Wanted,
    /// It is in flight.
    Out,
    /// It is in flight, and must be repeated: its answer may be outdated.
    OutAgain,
}

impl CallState {
    /// Requests it. `true` if the caller must queue it. If it is in flight, it is repeated after its answer.
    pub(super) fn request(&mut self) -> bool {
        match self {
            Self::Idle => {
                *self = Self::Wanted;
                return true;
            }
            Self::Out => *self = Self::OutAgain,
            Self::Wanted | Self::OutAgain => {}
        }
        false
    }

    /// It is sent now, if it is still wanted.
    pub(super) fn go(&mut self) -> bool {
        let wanted = *self == Self::Wanted;
        if wanted {
            *self = Self::Out;
        }
        wanted
    }

    /// It was answered. `true` if it must be repeated.
    pub(super) fn returned(&mut self) -> bool {
        let again = *self == Self::OutAgain;
        *self = Self::Idle;
        again
    }

    /// It need not be sent, or not repeated.
    pub(super) fn cancel(&mut self) {
        *self = match self {
            Self::Idle | Self::Wanted => Self::Idle,
            Self::Out | Self::OutAgain => Self::Out,
        };
    }
}

/// The queries about one domain. They outlive the domain's data: a domain that goes and comes back while a query about
/// it is in flight waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pending {
    pub(super) status: CallState,
    pub(super) describe: CallState,
    pub(super) read: CallState,
    /// Counts incarnations and their ends, so that answers about an earlier one are discarded.
    pub(super) epoch: u32,
}

impl Pending {
    /// None of them need be sent or repeated.
    pub(super) fn cancel(&mut self) {
        self.status.cancel();
        self.describe.cancel();
        self.read.cancel();
    }

    /// Whether a query is pending.
    pub(super) fn any(&self) -> bool {
        [self.status, self.describe, self.read].into_iter().any(|call| call != CallState::Idle)
    }
}

/// What to do about a domain after something happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Actions {
    /// Ask for its state.
    pub(super) status: bool,
    /// Ask for its XML.
    pub(super) describe: bool,
    /// Read it at once, all groups.
    pub(super) read: bool,
    /// It is gone.
    pub(super) remove: bool,
    /// Something happened that is shown at once.
    pub(super) lifecycle: bool,
}
