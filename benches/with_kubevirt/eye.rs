//! What a reader of /metrics sees, and when: one connection on which the page is fetched again and again.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::lab::{Agent, http};

/// From the end of a page to the next request: this and the time of a scrape limit the resolution.
const PAUSE: Duration = Duration::from_millis(2);

/// The observed metric families; an observed agent should not export much more.
pub(crate) const FAMILIES: [&str; 2] = ["kubevirt.vmi.hypervisor.*", "kubevirt.vmi.condition"];

const TYPE: &str = "kubevirt_vmi_hypervisor_info{";
const CONDITION: &str = "kubevirt_vmi_condition{";

/// An observed state of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Its type is shown, and is KVM.
    Kvm,
    /// Its type is shown, and is another: it is unknown.
    OtherType,
    /// Its type is not shown.
    NoType,
    /// Its condition Paused is shown as true.
    Paused,
    /// It is not.
    NotPaused,
}

/// The scrape that first showed something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// When it was requested: its content is of about then, as the page is rendered at once.
    pub(crate) begun: Instant,
    /// When its last byte arrived.
    pub(crate) at: Instant,
}

/// A VM was seen to have changed.
#[derive(Debug, Clone, Copy)]
struct Change {
    seen: Seen,
    number: u32,
    sight: Sight,
}

#[derive(Debug, Default)]
struct Diary {
    changes: Vec<Change>,
    scrapes: Vec<Duration>,
}

/// See the module. It scrapes until it is dropped.
pub(crate) struct Eye {
    over: Arc<AtomicBool>,
    seen: Arc<(Mutex<Diary>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

/// What the last page showed of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shown {
    kind: Sight,
    paused: bool,
}

const NOTHING: Shown = Shown { kind: Sight::NoType, paused: false };

impl Eye {
    /// Observes the page of an agent with so many VMs.
    pub(crate) fn open(agent: &Agent, vms: u32) -> Eye {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::new((Mutex::default(), Condvar::new()));
        let (port, ends, shared) = (agent.port(), Arc::clone(&over), Arc::clone(&seen));
        let thread = std::thread::spawn(move || look(port, vms, &ends, &shared));
        Eye { over, seen, thread: Some(thread) }
    }

    /// When this was first seen of a VM after `since`. Waits for it, at most `patience`.
    pub(crate) fn wait(&self, number: u32, sight: Sight, since: Instant, patience: Duration) -> Option<Seen> {
        let mut seen = self.seen();
        loop {
            let wanted = |change: &&Change| change.number == number && change.sight == sight && change.seen.at >= since;
            // From the newest back to `since`.
            let recent = seen.changes.iter().rev().take_while(|change| change.seen.at >= since);
            if let Some(first) = recent.filter(wanted).last() {
                return Some(first.seen);
            }
            let left = patience.checked_sub(since.elapsed())?;
            seen = self.seen.1.wait_timeout(seen, left).expect("the thread that looks").0;
        }
    }

    /// How long its own scrapes took so far.
    pub(crate) fn scrapes(&self) -> Vec<Duration> {
        self.seen().scrapes.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Diary> {
        self.seen.0.lock().expect("the thread that looks")
    }
}

impl Drop for Eye {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A failed thread has said why.
            let _ = thread.join();
        }
    }
}

fn look(port: u16, vms: u32, over: &AtomicBool, seen: &(Mutex<Diary>, Condvar)) {
    let mut stream = BufReader::with_capacity(1 << 18, http::connect(port).expect("a connection to the agent"));
    let mut known = vec![NOTHING; vms as usize + 1];
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let page = fetch(&mut stream).expect("a page of the agent");
        let scrape = Seen { begun, at: Instant::now() };
        let mut now = vec![NOTHING; known.len()];
        page.lines().for_each(|line| read(line, &mut now));
        let mut guard = seen.0.lock().expect("nobody panics with it");
        guard.scrapes.push(scrape.at - scrape.begun);
        for ((number, before), after) in (0..).zip(&known).zip(&now) {
            if before.kind != after.kind {
                guard.changes.push(Change { seen: scrape, number, sight: after.kind });
            }
            if before.paused != after.paused {
                let sight = if after.paused { Sight::Paused } else { Sight::NotPaused };
                guard.changes.push(Change { seen: scrape, number, sight });
            }
        }
        drop(guard);
        seen.1.notify_all();
        known = now;
        std::thread::sleep(PAUSE);
    }
}

fn read(line: &str, now: &mut [Shown]) {
    let is_type = line.starts_with(TYPE);
    if !is_type && !line.starts_with(CONDITION) {
        return;
    }
    let number = line.split_once("name=\"vm-").and_then(|(_, rest)| rest.get(..4)?.parse::<usize>().ok());
    let Some(shown) = number.and_then(|number| now.get_mut(number)) else { return };
    if is_type {
        shown.kind = if line.contains("hypervisor_type=\"kvm\"") { Sight::Kvm } else { Sight::OtherType };
    } else if line.contains("condition=\"Paused\"") {
        shown.paused = line.ends_with(" 1");
    }
}

/// Fetches a page over a persistent connection.
fn fetch(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    stream
        .get_mut()
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain;version=0.0.4\r\n\r\n")?;
    let mut length = None;
    let mut first = true;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let line = line.trim_end();
        if first && !line.contains(" 200 ") {
            return Err(std::io::Error::other(format!("the agent answers {line:?}")));
        }
        first = false;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok();
        }
    }
    let length: usize = length.ok_or_else(|| std::io::Error::other("a page without a length"))?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    String::from_utf8(body).map_err(std::io::Error::other)
}
