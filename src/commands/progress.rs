//! How far the first round of readings has come, for a person who waits.

use std::io::Write;
use std::time::Duration;

use tokio::time::Instant;

use super::table;
use crate::agent::answered;
use crate::snapshot::Snapshot;

/// How far the first round of readings has come; `None` once it is done.
pub(super) fn progress(snapshot: &Snapshot) -> Option<String> {
    let waits = snapshot.vms.iter().filter(|vm| !answered(vm)).count();
    if snapshot.complete && waits == 0 {
        return None;
    }
    let down: Vec<_> = snapshot.daemons.iter().filter(|daemon| !daemon.up).map(|daemon| &*daemon.id.0).collect();
    let total = snapshot.vms.len();
    let read = total - waits;
    Some(match (down.first(), total) {
        (Some(daemon), _) => format!("{read} of {total} VMs read; waiting for {}", table::printable(daemon)),
        (None, 0) => "waiting for the list of VMs".to_owned(),
        (None, _) => format!("{read} of {total} VMs read"),
    })
}

/// How long nothing is said: most readings take less.
const SILENCE: Duration = Duration::from_secs(1);

/// Back to the beginning of the line, which is then empty.
const CLEAR: &str = "\r\x1b[K";

/// A line on a terminal that says how far it is, until it is dropped.
pub(super) struct Line<'a, 'b> {
    /// None: there is no terminal.
    terminal: Option<&'a mut (dyn Write + 'b)>,
    began: Instant,
    shown: bool,
}

impl<'a, 'b> Line<'a, 'b> {
    pub(super) fn on(terminal: Option<&'a mut (dyn Write + 'b)>) -> Self {
        Self { terminal, began: Instant::now(), shown: false }
    }

    /// Says how far this is.
    pub(super) fn show(&mut self, snapshot: &Snapshot) {
        let Some(terminal) = &mut self.terminal else { return };
        if self.began.elapsed() < SILENCE {
            return;
        }
        if let Some(text) = progress(snapshot) {
            // Whether a terminal takes it is of no importance.
            let _ = write!(terminal, "{CLEAR}virt-otel: {text}").and_then(|()| terminal.flush());
            self.shown = true;
        }
    }
}

impl Drop for Line<'_, '_> {
    fn drop(&mut self) {
        if let Some(terminal) = self.terminal.as_mut().filter(|_| self.shown) {
            let _ = write!(terminal, "{CLEAR}").and_then(|()| terminal.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::sample;

    fn waiting() -> Snapshot {
        let daemon = sample::dead_daemon("qemu+ssh://other/system");
        Snapshot { daemons: vec![Arc::new(daemon)], ..Snapshot::default() }
    }

    #[test]
    fn while_nothing_is_known_it_says_for_whom_it_waits() {
        assert_eq!(progress(&Snapshot::default()).as_deref(), Some("waiting for the list of VMs"));
        assert_eq!(progress(&waiting()).as_deref(), Some("0 of 0 VMs read; waiting for qemu+ssh://other/system"));
        assert_eq!(progress(&Snapshot { complete: true, ..waiting() }), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_comes_late_and_goes() {
        let mut terminal = Vec::new();
        let mut line = Line::on(Some(&mut terminal));
        // Most readings are done by then.
        line.show(&waiting());
        tokio::time::advance(SILENCE).await;
        line.show(&waiting());
        drop(line);
        let text = String::from_utf8(terminal).unwrap();
        assert_eq!(text, "\r\x1b[Kvirt-otel: 0 of 0 VMs read; waiting for qemu+ssh://other/system\r\x1b[K");
        Line::on(None).show(&waiting());
    }
}
