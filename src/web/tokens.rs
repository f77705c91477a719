//! Bearer tokens: reviewed by somebody else, remembered for a while, and never faster than a pace.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::admission::{Admission, Refusal};
use super::digest::{Key, NoRandomness};
use super::error::WebError;
use super::limits::{
    ACCEPTED_FOR, KNOWN_FOR, KNOWN_TOKENS, REFUSED_FOR, REFUSED_TOKENS, REVIEW_TIME, REVIEWS, REVIEWS_A_SECOND,
    REVIEWS_OF_KNOWN,
};
use super::memory::Memory;
use super::rate::Rate;

/// What a review found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The token is somebody's who may read `/metrics`.
    Allowed,
    /// The token is nobody's.
    Unknown,
    /// The token is somebody's who may not.
    Denied,
}

/// Whoever reviews tokens did not answer. It has said why in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAnswer;

/// A review that runs.
pub type Reviewing = Pin<Box<dyn Future<Output = Result<Verdict, NoAnswer>> + Send>>;

/// Who reviews tokens.
pub trait Review: Send + Sync + 'static {
    /// Whether the owner of this token may read `/metrics`.
    fn review(&self, token: String) -> Reviewing;
}

/// The half of [`REVIEWS_A_SECOND`] that may come at once; the other half comes evenly.
const BURST: u32 = REVIEWS_A_SECOND / 2;

/// How far apart reviews of unknown tokens are: with a burst as above, no second has more than [`REVIEWS_A_SECOND`].
const PACE: Duration = Duration::from_millis(1_000 / (REVIEWS_A_SECOND - BURST) as u64);

/// The tokens that were seen.
pub struct Tokens {
    review: Arc<dyn Review>,
    key: Key,
    accepted: Memory<()>,
    refused: Memory<Refusal>,
    strangers: Semaphore,
    pace: Rate,
    known: Semaphore,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// No token was seen yet.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub fn new(review: Arc<dyn Review>) -> Result<Self, WebError> {
        let key = Key::random().map_err(|NoRandomness| {
            let problem = "cannot be obeyed without random numbers, which the system does not give";
            WebError::of(Path::new("--web-auth"), problem, "see dmesg")
        })?;
        Ok(Self {
            review,
            key,
            accepted: Memory::new(KNOWN_TOKENS),
            refused: Memory::new(REFUSED_TOKENS),
            strangers: Semaphore::new(REVIEWS),
            pace: Rate::new(PACE, BURST),
            known: Semaphore::new(REVIEWS_OF_KNOWN),
        })
    }

    /// Whether whoever has this token is admitted.
    pub(super) async fn check(&self, token: &str) -> Admission {
        let digest = self.key.digest(&[token.as_bytes()]);
        let accepted = self.accepted.get(&digest).map(|(age, ())| age);
        if accepted.is_some_and(|age| age < ACCEPTED_FOR) {
            return Ok(());
        }
        if let Some((age, refusal)) = self.refused.get(&digest)
            && age < REFUSED_FOR
        {
            return Err(refusal);
        }
        let is_known = accepted.is_some_and(|age| age < KNOWN_FOR);
        let room = if is_known { &self.known } else { &self.strangers };
        let _permit = room.try_acquire().map_err(|_| Refusal::Busy)?;
        if !is_known && !self.pace.take() {
            return Err(Refusal::Busy);
        }
        let refusal = match timeout(REVIEW_TIME, self.review.review(token.to_owned())).await {
            Ok(Ok(Verdict::Allowed)) => {
                self.refused.forget(&digest);
                self.accepted.note(digest, ());
                return Ok(());
            }
            Ok(Ok(Verdict::Unknown)) => Refusal::UnknownToken,
            Ok(Ok(Verdict::Denied)) => Refusal::Forbidden,
            // Nothing was found out: whoever was known stays known.
            Ok(Err(NoAnswer)) | Err(_) => return Err(Refusal::NoReview),
        };
        self.accepted.forget(&digest);
        self.refused.note(digest, refusal);
        Err(refusal)
    }
}

#[cfg(test)]
mod tests;
