//! Follows files that are replaced while the agent runs, such as certificates and passwords.
//!
//! A few files are looked at on a period, and their content is given out when it has changed. Content is compared, not
//! times or inodes: it makes no difference whether a file is written in place, renamed over, or, as Kubernetes does it,
//! reached through a link that now leads elsewhere.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::heartbeat::Pulse;

/// How often files are looked at. Kubernetes takes about a minute to bring a changed Secret into a pod, and whoever
/// replaces a certificate keeps the old one valid for longer than that; reading a few KiB takes less than a millisecond.
pub const PERIOD: Duration = Duration::from_secs(10);

/// How long changed content must stay the same before it is given out: somebody may still be writing the file, or about
/// to write the key that belongs to the certificate.
pub const SETTLED: Duration = Duration::from_secs(1);

/// How long reading may take before the files count as unreadable: on a network file system it may not end at all.
const READ_DEADLINE: Duration = Duration::from_secs(5);

/// A file, and how much of it may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// The most bytes it may have.
    pub limit: u64,
}

/// Why the content of a file is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The system does not let it be read.
    #[error("it cannot be read: {0}")]
    Refused(String),
    /// A directory, a pipe or a device.
    #[error("it is not a file")]
    NoFile,
    /// It has more bytes than may be read.
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    /// Reading does not end.
    #[error("it could not be read within {READ_DEADLINE:?}")]
    TooSlow,
}

/// What each file holds, in the order of the files.
pub type Contents = Arc<[Result<Vec<u8>, Unreadable>]>;

/// Reads all files. It blocks.
#[must_use]
pub fn read(files: &[Source]) -> Contents {
    files.iter().map(|file| read_file(&file.path, file.limit)).collect()
}

/// Reads one regular file of at most `limit` bytes. A pipe or a device is not waited for. It blocks.
///
/// # Errors
///
/// When it cannot be read, is no file, or is larger.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, Unreadable> {
    let refused = |error: io::Error| Unreadable::Refused(error.to_string());
    // Without NONBLOCK, opening a pipe would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| refused(error.into()))?;
    let file = File::from(file);
    if !file.metadata().map_err(refused)?.is_file() {
        return Err(Unreadable::NoFile);
    }
    let mut content = Vec::new();
    // One byte more tells that there is more.
    file.take(limit.saturating_add(1)).read_to_end(&mut content).map_err(refused)?;
    if u64::try_from(content.len()).is_ok_and(|length| length <= limit) {
        Ok(content)
    } else {
        Err(Unreadable::TooLarge(limit))
    }
}

/// Follows what a few files hold. What belongs together, as a certificate and its key, is followed together.
pub struct Follower<T> {
    /// Reads them. It blocks.
    read: Arc<dyn Fn() -> T + Send + Sync>,
    period: Duration,
    settled: Duration,
    /// What was given out last.
    known: Result<T, Unreadable>,
    /// On a blocking thread. Only one at a time, however long it takes.
    reading: Option<JoinHandle<T>>,
}

impl<T: PartialEq + Clone + Send + 'static> Follower<T> {
    /// A follower of what is `known` so far, and of what `read`, which may block, finds later.
    #[must_use]
    pub fn new(known: T, read: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self { read: Arc::new(read), period: PERIOD, settled: SETTLED, known: Ok(known), reading: None }
    }

    /// With other times than [`PERIOD`] and [`SETTLED`]; for tests.
    #[must_use]
    pub fn with_times(mut self, period: Duration, settled: Duration) -> Self {
        (self.period, self.settled) = (period, settled);
        self
    }

    /// Waits until what is read has changed and stays, or until whether it can be read has changed. Returns what it is
    /// now; a file that cannot be read is for `read` to tell.
    ///
    /// If it is dropped before, nothing is missed.
    ///
    /// # Errors
    ///
    /// [`Unreadable::TooSlow`] when reading does not end.
    pub async fn changed(&mut self, pulse: &Pulse) -> Result<T, Unreadable> {
        let mut seen: Option<Result<T, Unreadable>> = None;
        loop {
            let next = Instant::now() + if seen.is_some() { self.settled } else { self.period };
            pulse.promise(next);
            tokio::time::sleep_until(next).await;
            let now = self.look(pulse).await;
            if now == self.known {
                seen = None;
            } else if seen.as_ref() == Some(&now) {
                self.known.clone_from(&now);
                return now;
            } else {
                seen = Some(now);
            }
        }
    }

    async fn look(&mut self, pulse: &Pulse) -> Result<T, Unreadable> {
        pulse.promise(Instant::now() + READ_DEADLINE);
        let read = &self.read;
        let reading = self.reading.get_or_insert_with(|| {
            let read = Arc::clone(read);
            tokio::task::spawn_blocking(move || read())
        });
        // The next look waits for the same thread.
        let ended = tokio::time::timeout(READ_DEADLINE, reading).await.map_err(|_| Unreadable::TooSlow)?;
        self.reading = None;
        // It fails only when the runtime ends.
        ended.map_err(|_| Unreadable::TooSlow)
    }
}

/// Without what the files hold.
impl<T> fmt::Debug for Follower<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Follower").field("period", &self.period).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
