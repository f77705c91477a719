//! A terminal that tmux makes: what a person sees, and what keys do.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::{answer_within, process};

/// How long something may take to be seen, on a busy machine.
const SOON: Duration = Duration::from_secs(30);
/// The size of the terminal.
const SIZE: [&str; 4] = ["-x", "150", "-y", "30"];
/// What its shell says once the command has ended, before the exit code.
pub const ENDED: &str = "ended with";

/// A terminal in which a command runs. Its server, and so the command, ends when it is dropped.
pub struct Terminal {
    folder: TempDir,
}

impl Terminal {
    /// With the variables of these tests.
    #[track_caller]
    pub fn run(command: &str) -> Terminal {
        let terminal = Terminal { folder: TempDir::new().expect("a folder") };
        let shell = format!("{command}; echo {ENDED} $?; exec sleep 600");
        terminal.tmux(&[&["new-session", "-d"], &SIZE[..], &["sh", "-c", &shell]].concat());
        terminal
    }

    fn try_tmux(&self, arguments: &[&str]) -> Option<process::Output> {
        let mut tmux = Command::new("tmux");
        tmux.env_remove("VIRT_OTEL_TEST_BINARY")
            .arg("-S")
            .arg(self.folder.path().join("socket"))
            .args(["-f", "/dev/null"])
            .args(arguments);
        process::run(tmux, SOON)
    }

    /// A command of tmux's. Returns what it printed.
    #[track_caller]
    pub fn tmux(&self, arguments: &[&str]) -> String {
        let output = self.try_tmux(arguments).expect("tmux answers");
        assert_eq!(output.code, Some(0), "tmux {arguments:?}: {}{}", output.stdout, output.stderr);
        output.stdout
    }

    #[track_caller]
    pub fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    #[track_caller]
    pub fn seen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen is as wanted.
    #[track_caller]
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let found = answer_within(SOON, || {
            let seen = self.seen();
            wanted(&seen).then_some(seen)
        });
        found.unwrap_or_else(|| panic!("in vain: {what}; on the screen:\n{}", self.seen()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.try_tmux(&["kill-server"]);
    }
}
