//! What is known of a bounded number of secrets, by their hashes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::digest::Digest;

/// A memory of so many secrets. When it is full, the one that was noted first makes room.
#[derive(Debug)]
pub(super) struct Memory<V> {
    most: usize,
    // Held for a few instructions, and never across an await.
    noted: Mutex<HashMap<Digest, (Instant, V)>>,
}

impl<V: Copy> Memory<V> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, noted: Mutex::new(HashMap::new()) }
    }

    /// What was noted of a secret, and how long ago.
    pub(super) fn get(&self, digest: &Digest) -> Option<(Duration, V)> {
        self.held().get(digest).map(|(since, value)| (since.elapsed(), *value))
    }

    /// Notes something of a secret now.
    pub(super) fn note(&self, digest: Digest, value: V) {
        let mut noted = self.held();
        if noted.len() >= self.most && !noted.contains_key(&digest) {
            let first = noted.iter().min_by_key(|(_, (since, _))| *since).map(|(digest, _)| *digest);
            if let Some(first) = first {
                noted.remove(&first);
            }
        }
        noted.insert(digest, (Instant::now(), value));
    }

    /// Forgets a secret.
    pub(super) fn forget(&self, digest: &Digest) {
        self.held().remove(digest);
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Digest, (Instant, V)>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.held().len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::digest::Key;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn when_it_is_full_the_first_makes_room() {
        let key = Key::random().unwrap_or_else(|_| panic!("randomness"));
        let digests: Vec<Digest> = (0_u8..5).map(|number| key.digest(&[&[number]])).collect();
        let memory = Memory::new(3);
        for (number, digest) in digests.iter().take(3).enumerate() {
            memory.note(*digest, number);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        // Noted again, it is the latest, and no second entry.
        memory.note(digests[0], 10);
        tokio::time::advance(Duration::from_secs(1)).await;
        memory.note(digests[3], 3);
        assert_eq!(memory.len(), 3);
        assert_eq!(memory.get(&digests[1]), None);
        assert_eq!(memory.get(&digests[0]), Some((Duration::from_secs(1), 10)));
        memory.forget(&digests[0]);
        assert_eq!((memory.get(&digests[0]), memory.len()), (None, 2));
    }
}
