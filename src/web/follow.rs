//! Follows changes of the document and of what it names, and keeps the last good settings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::counters::WebCounters;
use super::error::WebError;
use super::files::Files;
use super::judge::judge;
use super::loosening::loosened;
use super::settings::Settings;
use crate::follow;
use crate::heartbeat::Pulse;

/// A document that was read and can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    files: Files,
    settings: Arc<Settings>,
}

impl Loaded {
    /// What it asks for.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> Arc<Settings> {
        Arc::clone(&self.settings)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.files.document()
    }
}

/// Reads a document.
///
/// # Errors
///
/// When it, or a file that it names, cannot be read or used.
pub fn load(document: &Path) -> Result<Loaded, WebError> {
    let files = Files::read(document);
    let settings = Arc::new(judge(&files)?);
    Ok(Loaded { files, settings })
}

/// The settings that are in force. Clones share them.
#[derive(Debug, Clone)]
pub struct Current(pub(super) watch::Receiver<Arc<Settings>>);

impl Current {
    pub(super) fn get(&self) -> Arc<Settings> {
        // Its lock is held while a pointer is cloned.
        Arc::clone(&self.0.borrow())
    }
}

/// Reads the document again and again.
#[derive(Debug)]
pub struct Follower {
    document: PathBuf,
    changes: follow::Follower<Files>,
    /// What was judged last, good or bad.
    files: Files,
    /// What is wrong with that.
    fault: Option<String>,
    /// What the log was told last.
    told: Option<String>,
    settings: watch::Sender<Arc<Settings>>,
    counters: Arc<WebCounters>,
}

/// What is said of files that take too long to be read.
const HANGS: &str = "its files cannot be read in time; does a network file system hang?";

impl Follower {
    /// Follows a document from how it was loaded. The settings are in force for as long as anybody has them; they change
    /// while the follower runs.
    #[must_use]
    pub fn new(loaded: Loaded, counters: Arc<WebCounters>) -> (Self, Current) {
        let Loaded { files, settings } = loaded;
        let (settings, current) = watch::channel(settings);
        let document = files.document().to_owned();
        let path = document.clone();
        let changes = follow::Follower::new(files.clone(), move || Files::read(&path));
        (Self { document, changes, files, fault: None, told: None, settings, counters }, Current(current))
    }

    /// Follows until told to stop.
    pub async fn run(mut self, pulse: Pulse, stop: CancellationToken) {
        loop {
            let read = tokio::select! {
                () = stop.cancelled() => return,
                read = self.changes.changed(&pulse) => read,
            };
            pulse.turn();
            match read {
                Err(_) => self.tell(Some(HANGS.to_owned())),
                // As before they could not be read.
                Ok(files) if files == self.files => self.tell(self.fault.clone()),
                Ok(files) => self.take_over(files),
            }
        }
    }

    fn take_over(&mut self, files: Files) {
        let judged = judge(&files);
        self.files = files;
        let settings = match judged {
            Ok(settings) => settings,
            Err(error) => {
                self.fault = Some(error.to_string());
                return self.tell(self.fault.clone());
            }
        };
        let lost = loosened(&self.settings.borrow(), &settings);
        if let Some(lost) = lost {
            let fault =
                format!("it takes {lost} away, which would open the address; restart the agent if that is meant");
            self.fault = Some(fault);
            return self.tell(self.fault.clone());
        }
        self.settings.send_replace(Arc::new(settings));
        self.counters.change();
        self.counters.set_current(true);
        (self.fault, self.told) = (None, None);
        tracing::info!(file = %self.document.display(), "the web configuration has changed, and is in force");
    }

    /// Counts a state always, and logs it when it is another one than before.
    fn tell(&mut self, fault: Option<String>) {
        self.counters.set_current(fault.is_none());
        if fault == self.told {
            return;
        }
        match &fault {
            Some(reason) => tracing::warn!(
                file = %self.document.display(), reason,
                "the web configuration cannot be taken over; the last good one stays in force"
            ),
            None => tracing::info!(file = %self.document.display(), "the web configuration is as it is in force again"),
        }
        self.told = fault;
    }
}

#[cfg(test)]
mod tests;
