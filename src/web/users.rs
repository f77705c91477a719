//! `basic_auth_users`: who has which password, as bcrypt's hashes.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use bcrypt::HashParts;

use super::digest::{Digest, Key};
use super::document::shown;
use super::error::WebError;
use super::files::Files;
use super::limits::{HIGHEST_COST, KNOWN_PASSWORDS};
use super::memory::Memory;

/// The lowest cost of a hash that bcrypt knows.
const LOWEST_COST: u32 = 4;

/// The users. Which of their passwords were found right is forgotten with them, when the document is read again.
pub(super) struct Users {
    hashes: BTreeMap<String, String>,
    key: Key,
    right: Memory<()>,
}

/// The hash that a password is compared with.
pub(super) struct Compared<'a> {
    pub(super) hash: &'a str,
    /// Whether it is that of the user who asks. If not, no password is right.
    pub(super) of_user: bool,
}

impl Users {
    pub(super) fn new(given: BTreeMap<String, String>, key: Key, files: &Files) -> Result<Self, WebError> {
        for (user, hash) in &given {
            let field = format!("basic_auth_users.{}", shown(user));
            let wrong = |problem: &str, accepted: String| {
                Err(WebError::of(files.document(), format!("{field} {problem}"), accepted))
            };
            if user.contains(':') {
                return wrong("has a colon, which ends a user's name in a request", "give a name without".to_owned());
            }
            let Ok(parts) = HashParts::from_str(hash) else {
                return wrong("is not a hash of bcrypt", "make one with `htpasswd -nBC 10 NAME`".to_owned());
            };
            if !(LOWEST_COST..=HIGHEST_COST).contains(&parts.get_cost()) {
                return wrong(
                    &format!("has the cost {}, and each password would be compared for minutes", parts.get_cost()),
                    format!("make a hash whose cost is from {LOWEST_COST} to {HIGHEST_COST}; 10 is usual"),
                );
            }
        }
        Ok(Self { hashes: given, key, right: Memory::new(KNOWN_PASSWORDS) })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// What to compare a user's password with; `None` if there are no users at all. For a name that nobody has, it is
    /// always the same hash of somebody, so that a wrong name takes as long as a wrong password.
    pub(super) fn compared(&self, user: &[u8]) -> Option<Compared<'_>> {
        let known = std::str::from_utf8(user).ok().and_then(|user| self.hashes.get(user));
        if let Some(hash) = known {
            return Some(Compared { hash, of_user: true });
        }
        let place = self.key.digest(&[user]).number().checked_rem(self.hashes.len())?;
        self.hashes.values().nth(place).map(|hash| Compared { hash, of_user: false })
    }

    /// What stands for a user with a password in what is remembered.
    pub(super) fn digest(&self, user: &[u8], password: &[u8]) -> Digest {
        self.key.digest(&[user, password])
    }

    /// Whether this pair was found right before.
    pub(super) fn knows(&self, pair: &Digest) -> bool {
        self.right.get(pair).is_some()
    }

    /// This pair was found right.
    pub(super) fn note(&self, pair: Digest) {
        self.right.note(pair, ());
    }
}
