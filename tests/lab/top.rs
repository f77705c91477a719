//! `virt-otel top` on a terminal that tmux makes: what a person sees, and what keys do.

use std::time::Duration;

use tempfile::TempDir;

use super::support::proxy::Proxy;
use super::support::terminal::{ENDED, Terminal};
use super::support::{Domain, Libvirtd, binary, process, wait_until};

/// How long something may take to be seen, on a busy machine.
const SOON: Duration = Duration::from_secs(30);
/// How often it may read.
const INTERVAL: Duration = Duration::from_secs(2);
/// The procedure of `virDomainListGetStats`.
const GET_STATISTICS: u32 = 344;

/// The row of a VM.
fn row<'a>(seen: &'a str, name: &str) -> Option<&'a str> {
    seen.lines().find(|line| line.starts_with(name))
}

fn has(seen: &str, name: &str, words: &[&str]) -> bool {
    row(seen, name).is_some_and(|row| words.iter().all(|word| row.contains(word)))
}

#[test]
fn top_shows_each_vm_with_what_it_does_and_obeys_its_keys() {
    let libvirtd = Libvirtd::system();
    libvirtd.create(&Domain::tcg("busy").disks(1).nics(1));
    let names = libvirtd.create_paused_guests(2);
    libvirtd.freeze(&names[1]);
    let proxy = Proxy::start(&libvirtd.socket());
    let top = format!("{} top --libvirt-uri '{}' --interval 2s", binary().display(), proxy.uri(&libvirtd.uri()));
    let began = std::time::Instant::now();
    let terminal = Terminal::run(&format!("env -u NO_COLOR {top}"));

    let seen = terminal.wait_for("every VM, and rates", |seen| {
        has(seen, "busy", &["running", "qemu-tcg"]) && has(seen, &names[0], &["paused", "ok"])
    });
    assert!(seen.contains("3 VMs") && seen.contains("libvirt"), "{seen}");
    terminal
        .wait_for("the frozen one to be stuck", |seen| has(seen, &names[1], &["stuck"]) && seen.contains("1 stuck"));
    // An emulated guest that boots uses a processor: some number stands in its column.
    terminal.wait_for("its processor time", |seen| {
        row(seen, "busy").is_some_and(|row| row.split_whitespace().nth(4).is_some_and(|cpu| cpu.parse::<f64>().is_ok()))
    });
    let coloured = terminal.tmux(&["capture-pane", "-p", "-e"]);
    assert!(coloured.contains("[38;5;1m") && coloured.contains("[38;5;3m"), "red and yellow: {coloured}");

    terminal.press("a");
    let seen = terminal.wait_for("the order of names", |seen| seen.contains("[a]name"));
    let place = |name: &str| seen.lines().position(|line| line.starts_with(name));
    assert!(place("busy") < place(&names[0]), "{seen}");
    terminal.press("Enter");
    terminal.wait_for("one VM", |seen| seen.contains("UUID") && seen.contains("DISK") && seen.contains("VCPU"));
    terminal.press("Escape");
    terminal.press("/");
    terminal.press(&names[0]);
    terminal.wait_for("that one alone", |seen| row(seen, &names[0]).is_some() && row(seen, "busy").is_none());
    terminal.press("Escape");
    terminal.wait_for("all of them", |seen| row(seen, "busy").is_some());

    // Three VMs, none more often than the interval, and a first reading each that an event may repeat. As a second reader it
    // has one call out, and two that hang.
    let traffic = proxy.traffic();
    let readings = traffic.calls.get(&GET_STATISTICS).copied().unwrap_or_default();
    let most = 3 * (began.elapsed().as_secs() / INTERVAL.as_secs() + 3);
    assert!(readings > 0 && readings as u64 <= most, "{readings} readings in {:?}", began.elapsed());
    assert!(traffic.most_together <= 3, "{} calls were out", traffic.most_together);

    terminal.press("q");
    terminal.wait_for("the end", |seen| seen.contains(&format!("{ENDED} 0")));
}

#[test]
fn top_ends_by_a_signal_with_the_terminal_as_it_was_and_has_no_colours_that_are_not_wanted() {
    let libvirtd = Libvirtd::system();
    libvirtd.create(&Domain::tcg("plain"));
    let pid = TempDir::new().expect("a folder");
    let file = pid.path().join("pid").display().to_string();
    let top = format!("{} top --libvirt-uri '{}'", binary().display(), libvirtd.uri());
    let terminal = Terminal::run(&format!("NO_COLOR=1 sh -c 'echo $$ >{file}; exec {}'", top.replace('\'', "")));
    terminal.wait_for("the VM", |seen| has(seen, "plain", &["qemu-tcg"]));
    let coloured = terminal.tmux(&["capture-pane", "-p", "-e"]);
    assert!(!coloured.contains("[38;5;"), "{coloured}");
    let pid = wait_until(SOON, "its process", || std::fs::read_to_string(&file).ok()?.trim().parse().ok());
    process::signal(pid, rustix::process::Signal::TERM);
    let seen = terminal.wait_for("the end", |seen| seen.contains(&format!("{ENDED} 0")));
    assert!(row(&seen, "plain").is_none(), "the screen before is back: {seen}");
}
