//! What stays in memory while KVM domains come and go under one libvirtd, with freezes, resets, and restarts of the
//! daemon and of the receiver.
//!
//! `tests/lab/prepare.sh packages` makes what it needs; it takes about forty minutes, as root.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a bench prints what it measured, waits by sleeping, reads the real clock, and ends where it cannot go on"
)]

use std::collections::VecDeque;
use std::thread::sleep;
use std::time::Duration;

use lab_support::measure::receiver::Receiver;
use lab_support::measure::{Progress, mebibytes, print_table};
use lab_support::{Agent, Domain, Libvirtd};

/// Domains in all, each with its own name and UUID.
const DOMAINS: usize = 930;

/// Domains at a time.
const AT_ONCE: usize = 5;

/// Domains per row of the table.
const ROW: usize = 93;

/// One domain in this many is frozen for longer than a call may take, and then thawed.
const FREEZE: usize = 20;
const FROZEN: Duration = Duration::from_secs(5);

/// One domain in this many is reset.
const RESET: usize = 9;

/// libvirtd is restarted after this many; half way between, the receiver of the pushes.
const RESTART: usize = 100;

/// The agent's interval. It pushes as often.
const INTERVAL: &str = "2s";
const PUSHES: &str = "2000";

/// How long a domain may take to appear on the page.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let Some(progress) = Progress::begin("churn") else { return };
    let mut libvirtd = Libvirtd::system();
    let mut receiver = Some(Receiver::start());
    let address = receiver.as_ref().expect("a receiver").address();
    let uri = libvirtd.read_only_uri();
    let endpoint = format!("http://{address}");
    let agent = Agent::start(
        &["--libvirt-uri", &uri, "--interval", INTERVAL],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_METRIC_EXPORT_INTERVAL", PUSHES)],
    );

    let mut alive = VecDeque::new();
    let mut rows = Vec::new();
    for number in 1..=DOMAINS {
        let name = format!("vm-{number:04}");
        libvirtd.create_paused(&Domain::kvm(&name).disks(1));
        agent
            .wait_for(PATIENCE, &name, |page| page.has("libvirt_domain_cpu_usage_seconds_total", &[("domain", &name)]));
        // It runs only for a moment: its own use of the processors is not measured.
        libvirtd.virsh(&["resume", &name]);
        libvirtd.virsh(&["suspend", &name]);
        if number.is_multiple_of(RESET) {
            libvirtd.virsh(&["reset", &name]);
        }
        if number.is_multiple_of(FREEZE) {
            libvirtd.freeze(&name);
            sleep(FROZEN);
            libvirtd.thaw(&name);
        }
        alive.push_back(name);
        if alive.len() > AT_ONCE
            && let Some(oldest) = alive.pop_front()
        {
            libvirtd.virsh(&["destroy", &oldest]);
        }
        if number.is_multiple_of(RESTART) {
            libvirtd.restart();
        }
        if (number + RESTART / 2).is_multiple_of(RESTART) {
            drop(receiver.take());
            sleep(FROZEN);
            receiver = Some(Receiver::start_at(address));
        }
        if number.is_multiple_of(ROW) {
            progress.say(&format!("{number} domains"));
            rows.push(vec![
                number.to_string(),
                format!("{} s", progress.elapsed().as_secs()),
                mebibytes(agent.anonymous()),
                mebibytes(agent.resident()),
                agent.threads().to_string(),
                agent.descriptors().to_string(),
            ]);
        }
    }
    print_table(
        &format!("{DOMAINS} domains that come and go"),
        &format!(
            "{AT_ONCE} at a time, read and pushed every {INTERVAL}. Every {RESET}th is reset, every {FREEZE}th frozen \
             for {} s; libvirtd and the receiver of the pushes are restarted after every {RESTART}.",
            FROZEN.as_secs()
        ),
        &["Domains so far", "After", "Anonymous", "Resident", "Threads", "Descriptors"],
        &rows,
    );
}
