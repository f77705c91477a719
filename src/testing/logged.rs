//! Captures what is logged, for the library's tests.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use tracing::Dispatch;
use tracing_subscriber::filter::{LevelFilter, dynamic_filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;

/// The captured log.
#[derive(Debug, Clone, Default)]
pub struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Logged {
    /// Captures what this thread logs from now on.
    pub fn here() -> (Self, tracing::subscriber::DefaultGuard) {
        watch_every_thread();
        let logged = Self::default();
        let writer = logged.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_env_filter("info,kube_client=off,kube_runtime=off")
            .with_writer(move || writer.clone())
            .finish();
        (logged, tracing::subscriber::set_default(subscriber))
    }

    /// All lines.
    pub fn lines(&self) -> Vec<String> {
        self.with("")
    }

    /// The lines with these words.
    pub fn with(&self, words: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }
}

/// Keeps a line from being lost because a thread without a subscriber was the first to log it.
///
/// While there is one subscriber, `tracing` asks that of the thread which comes to a line first whether anybody wants it,
/// and remembers a no for all threads. With two that never end, and do not know in advance, it asks each time.
fn watch_every_thread() {
    static UNDECIDED: OnceLock<[Dispatch; 2]> = OnceLock::new();
    UNDECIDED.get_or_init(|| {
        [(); 2].map(|()| {
            let nothing = dynamic_filter_fn(|_, _| false).with_max_level_hint(LevelFilter::INFO);
            Dispatch::new(tracing_subscriber::registry().with(nothing))
        })
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_another_thread_was_the_first_to_log_is_captured_here() {
        let (logged, _guard) = Logged::here();
        let log = || tracing::info!("a line of two threads");
        std::thread::spawn(log).join().unwrap();
        assert_eq!(logged.lines().len(), 0, "what other threads log is theirs");
        log();
        assert_eq!(logged.with("a line of two threads").len(), 1);
    }
}
