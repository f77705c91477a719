//! Reads the files of Collectors again, for as long as the agent runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::credentials::{Access, Credentials};
use super::files::NamedFile;
use super::secrets::Secrets;
use super::{Collector, CollectorError, CredentialCounters};
use crate::follow::{self, Contents, Follower, Source};
use crate::heartbeat::Pulse;

/// Follows the files of one Collector, or of several that have the same files.
pub struct Rotation {
    follower: Follower<Contents>,
    held: Keeper,
}

/// What the files hold, and who is told of it.
struct Keeper {
    files: Vec<NamedFile>,
    secrets: Secrets,
    users: Vec<User>,
    counters: Arc<CredentialCounters>,
}

/// One Collector's credentials.
struct User {
    collector: Collector,
    current: watch::Sender<Arc<Access>>,
}

impl Collector {
    /// Reads the files: the credentials as they are now, and what keeps them current. It blocks.
    ///
    /// # Errors
    ///
    /// When a file cannot be used. The Collector need not be reachable.
    pub fn open(&self) -> Result<(Credentials, Rotation), CollectorError> {
        let files = NamedFile::of(self);
        let sources: Vec<Source> = files.iter().map(NamedFile::source).collect();
        let contents = follow::read(&sources);
        let secrets = Secrets::new(&files, &contents)?;
        let mut held = Keeper { files, secrets, users: Vec::new(), counters: Arc::default() };
        let credentials = held.add(self)?;
        let follower = Follower::new(contents, move || follow::read(&sources));
        Ok((credentials, Rotation { follower, held }))
    }
}

impl Rotation {
    /// The credentials of a further Collector, if it has the same files: they are then read, and complained of, once.
    ///
    /// # Errors
    ///
    /// When TLS to it cannot be set up.
    pub fn share(&mut self, collector: &Collector) -> Result<Option<Credentials>, CollectorError> {
        if NamedFile::of(collector) == self.held.files { self.held.add(collector).map(Some) } else { Ok(None) }
    }

    /// With these counters.
    #[must_use]
    pub fn with_counters(mut self, counters: Arc<CredentialCounters>) -> Self {
        self.held.counters = counters;
        self
    }

    /// With other times than those of `follow`; for tests.
    #[must_use]
    pub fn with_times(mut self, period: Duration, settled: Duration) -> Self {
        self.follower = self.follower.with_times(period, settled);
        self
    }

    /// Whether there is any file to follow.
    #[must_use]
    pub fn has_files(&self) -> bool {
        !self.held.files.is_empty()
    }

    /// The first Collector's endpoint, as it may be logged.
    #[must_use]
    pub fn name(&self) -> String {
        self.held.users.first().map(|user| user.collector.name()).unwrap_or_default()
    }

    /// Follows the files until told to stop.
    pub async fn run(self, pulse: Pulse, stop: CancellationToken) {
        let Self { mut follower, mut held } = self;
        loop {
            let contents = tokio::select! {
                () = stop.cancelled() => return,
                contents = follower.changed(&pulse) => contents,
            };
            let contents = contents.unwrap_or_else(|reason| held.files.iter().map(|_| Err(reason.clone())).collect());
            pulse.turn();
            // It checks certificates, and may read the system's.
            let renewing = tokio::task::spawn_blocking(move || {
                held.renew(&contents);
                held
            });
            held = match renewing.await {
                Ok(held) => held,
                // The runtime ends.
                Err(_) => return,
            };
        }
    }
}

impl Keeper {
    fn add(&mut self, collector: &Collector) -> Result<Credentials, CollectorError> {
        let (current, credentials) = Credentials::new(Access::new(collector, &self.secrets)?);
        self.users.push(User { collector: collector.clone(), current });
        Ok(credentials)
    }

    /// Takes what is good of what the files hold now.
    fn renew(&mut self, contents: &Contents) {
        let renewed = self.secrets.renew(&self.files, contents, &self.counters);
        for user in &self.users {
            if renewed.tls {
                user.renew_tls(&self.secrets);
            } else if renewed.headers {
                let now = user.now().with_headers(&user.collector, &self.secrets);
                user.current.send_replace(Arc::new(now));
            }
        }
    }
}

impl User {
    fn now(&self) -> Arc<Access> {
        Arc::clone(&self.current.borrow())
    }

    fn renew_tls(&self, secrets: &Secrets) {
        let before = self.now();
        let now = before.with_tls(&self.collector, secrets).unwrap_or_else(|error| {
            tracing::warn!(
                error = error.to_string(),
                endpoint = self.collector.name(),
                "TLS with the new credentials cannot be set up: the last good ones are used on"
            );
            before.with_headers(&self.collector, secrets)
        });
        self.current.send_replace(Arc::new(now));
    }
}

/// Without what the files hold.
impl fmt::Debug for Rotation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Rotation").field("files", &self.held.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
