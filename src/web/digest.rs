//! Keyed hashes of secrets: what is remembered of a password or a token is of no use to whoever reads the memory of
//! another process, or of this one after a restart.

use ring::hmac;
use ring::rand::SystemRandom;

/// How long a hash is: SHA-256.
const LENGTH: usize = 32;

/// The hash of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest([u8; LENGTH]);

impl Digest {
    /// A number that follows from it.
    pub(super) fn number(&self) -> usize {
        self.0.iter().take(size_of::<u32>()).fold(0_usize, |number, byte| (number << 8) | usize::from(*byte))
    }
}

/// The random key of one run of the agent.
#[derive(Clone)]
pub(super) struct Key(hmac::Key);

/// The system has no random numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoRandomness;

impl Key {
    pub(super) fn random() -> Result<Self, NoRandomness> {
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map(Self).map_err(|_| NoRandomness)
    }

    /// The hash of these parts, which another division of the same bytes does not have.
    pub(super) fn digest(&self, parts: &[&[u8]]) -> Digest {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; LENGTH];
        for (byte, of_tag) in digest.iter_mut().zip(context.sign().as_ref()) {
            *byte = *of_tag;
        }
        Digest(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_not_confused_and_each_key_has_its_own_hashes() {
        let key = Key::random().unwrap_or_else(|NoRandomness| panic!("randomness"));
        let one = key.digest(&[b"ab", b"c"]);
        assert_eq!(one, key.digest(&[b"ab", b"c"]));
        assert_ne!(one, key.digest(&[b"a", b"bc"]));
        let other = Key::random().unwrap_or_else(|NoRandomness| panic!("randomness"));
        assert_ne!(one, other.digest(&[b"ab", b"c"]));
    }
}
