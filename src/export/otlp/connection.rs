//! The connection to the Collector: made when it is needed, and made anew when the credentials were replaced.
//!
//! The two ends of a connection rarely get new certificates at the same moment. The connection with the old credentials
//! therefore stays until one with the new ones has carried a request.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;
use tonic::transport::Channel;

use super::failure::{describe, unavailable};
use crate::collector::{Access, Credentials, TRY_CREDENTIALS_AGAIN_AFTER};

/// How long a connection with new credentials may take while there is one with the old ones: less than a request's
/// timeout, so that there is time left for the request.
const REPLACE_WITHIN: Duration = Duration::from_secs(3);

/// The connection, or what is known while there is none.
#[derive(Debug)]
pub(super) struct Connection {
    credentials: Credentials,
    replace_within: Duration,
    current: Option<Live>,
    /// The one before, until the current one has carried a request.
    before: Option<Live>,
    /// Credentials over which nothing came through.
    useless: Option<Useless>,
}

#[derive(Debug, Clone)]
struct Live {
    channel: Channel,
    generation: u64,
}

#[derive(Debug, Clone, Copy)]
struct Useless {
    generation: u64,
    again: Instant,
}

impl Connection {
    /// No connection yet. A request may take `timeout`.
    pub(super) fn new(credentials: Credentials, timeout: Duration) -> Self {
        let replace_within = REPLACE_WITHIN.min(timeout / 2);
        Self { credentials, replace_within, current: None, before: None, useless: None }
    }

    /// What to send with a request.
    pub(super) fn access(&self) -> Arc<Access> {
        self.credentials.now()
    }

    /// Whether there is a connection, or was one since the last reset.
    pub(super) fn is_there(&self) -> bool {
        self.current.is_some()
    }

    /// Forgets it: the next request makes a new one.
    pub(super) fn reset(&mut self) {
        (self.current, self.before) = (None, None);
    }

    /// The channel for the next request.
    pub(super) async fn channel(&mut self) -> Result<Channel, Status> {
        let access = self.credentials.now();
        let generation = access.generation();
        match &self.current {
            Some(live) if live.generation == generation || self.is_useless(generation) => Ok(live.channel.clone()),
            Some(live) => {
                let old = live.clone();
                Ok(self.replace(old, &access).await)
            }
            None => {
                let channel = connect(&access).await?;
                self.current = Some(Live { channel: channel.clone(), generation });
                Ok(channel)
            }
        }
    }

    /// A channel with these credentials if it comes up, else the old one.
    async fn replace(&mut self, old: Live, access: &Access) -> Channel {
        let generation = access.generation();
        let within = self.replace_within;
        let connected = tokio::time::timeout(within, connect(access)).await;
        match connected.unwrap_or_else(|_| Err(Status::deadline_exceeded(format!("no connection within {within:?}")))) {
            Ok(channel) => {
                self.current = Some(Live { channel: channel.clone(), generation });
                self.before = Some(old);
                channel
            }
            Err(status) => {
                self.keep_old(generation, &status);
                old.channel
            }
        }
    }

    /// The current channel carried a request: the one before is needed no more.
    pub(super) fn carried(&mut self) {
        self.before = None;
        let generation = self.current.as_ref().map(|live| live.generation);
        if self.useless.is_some_and(|useless| Some(useless.generation) == generation) {
            self.useless = None;
            tracing::info!("a connection to the Collector has come up with the new credentials");
        }
    }

    /// Nothing came through the current channel: the one before it, if there is one.
    pub(super) fn fall_back(&mut self, status: &Status) -> Option<Channel> {
        let before = self.before.take()?;
        let failed = self.current.replace(before.clone());
        if let Some(failed) = failed {
            self.keep_old(failed.generation, status);
        }
        Some(before.channel)
    }

    fn is_useless(&self, generation: u64) -> bool {
        self.useless.is_some_and(|useless| useless.generation == generation && Instant::now() < useless.again)
    }

    fn keep_old(&mut self, generation: u64, status: &Status) {
        if self.useless.is_none_or(|useless| useless.generation != generation) {
            tracing::warn!(
                error = describe(status),
                "no connection to the Collector comes up with the new credentials: the one with the old ones is used on, \
                 and the new ones are tried every minute; check that each end trusts the other's new certificate"
            );
        }
        self.useless = Some(Useless { generation, again: Instant::now() + TRY_CREDENTIALS_AGAIN_AFTER });
    }
}

async fn connect(access: &Access) -> Result<Channel, Status> {
    access.connector().connect().await.map_err(unavailable)
}
