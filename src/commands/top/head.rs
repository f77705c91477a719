//! The lines above the table: how many VMs there are and of which kinds, how far reading has come, and who answers. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::screen::Screen;
use crate::commands::progress::progress;
use crate::commands::table;
use crate::model::HypervisorType;
use crate::snapshot::Snapshot;

/// The most lines of daemons: VMs are what one looks at.
const DAEMONS: usize = 4;

/// The lines. `api`: whether the Kubernetes API has listed the VMs.
pub(super) fn lines(screen: &Screen, api: Option<bool>) -> Vec<String> {
    let snapshot = screen.snapshot();
    let mut lines = vec![counts(snapshot, screen.interval(), screen.age())];
    if let Some(progress) = progress(snapshot) {
        lines.push(progress);
    }
    match api {
        Some(true) => lines.push("Kubernetes API: it has listed the VMs".to_owned()),
        Some(false) => lines.push("Kubernetes API: no answer yet".to_owned()),
        None => {
            let daemons = table::daemons(snapshot);
            let count = daemons.lines().count();
            lines.extend(daemons.lines().take(DAEMONS).map(str::to_owned));
            if count > DAEMONS {
                let down = snapshot.daemons.iter().skip(DAEMONS).filter(|daemon| !daemon.up).count();
                lines.push(format!("and {} more daemons, {down} of them down", count - DAEMONS));
            }
        }
    }
    lines
}

fn counts(snapshot: &Snapshot, interval: Duration, age: Duration) -> String {
    let mut text = format!("{} VMs", snapshot.vms.len());
    let kinds = HypervisorType::ALL.into_iter().map(|kind| {
        let count = snapshot.vms.iter().filter(|vm| vm.hypervisor == Some(kind)).count();
        (kind.as_str(), count)
    });
    for (kind, count) in kinds.filter(|(_, count)| *count > 0) {
        let _ = write!(text, ", {count} {kind}");
    }
    let stuck = snapshot.vms.iter().filter(|vm| vm.collection.stuck).count();
    if stuck > 0 {
        let _ = write!(text, ", {stuck} stuck");
    }
    let age = Duration::from_secs(age.as_secs());
    let _ = write!(text, "; read every {}", humantime::format_duration(interval));
    if snapshot.sequence > 0 {
        let _ = write!(text, ", newest {} ago", humantime::format_duration(age));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Colours;
    use crate::testing::sample;

    fn screen(snapshot: Snapshot) -> Screen {
        let mut screen = Screen::new(Duration::from_secs(15), Colours::Off);
        screen.take(Arc::new(snapshot));
        screen
    }

    #[test]
    fn kinds_are_counted_and_who_hangs() {
        let text = lines(&screen(sample::snapshot()), None).join("\n");
        for part in ["5 VMs, 2 kvm, 1 qemu-tcg, 1 unknown, 1 stuck", "read every 15s", "qemu:///system: up"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn of_many_daemons_the_first_are_shown_and_the_others_counted() {
        let mut snapshot = sample::snapshot();
        for number in 0..6 {
            snapshot.daemons.push(Arc::new(sample::dead_daemon(&format!("qemu+ssh://h{number}/system"))));
        }
        let text = lines(&screen(snapshot), None).join("\n");
        assert!(text.contains("h2/system: down") && !text.contains("h3/"), "{text}");
        assert!(text.ends_with("and 3 more daemons, 3 of them down"), "{text}");
    }

    #[test]
    fn what_the_api_and_the_reading_have_come_to_is_said() {
        let text = lines(&screen(Snapshot::default()), Some(false));
        assert_eq!(text[1..], ["waiting for the list of VMs", "Kubernetes API: no answer yet"]);
    }
}
