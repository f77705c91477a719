//! Stands between the agent and libvirtd and counts calls as they go over the socket.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

/// libvirt's remote program; other programs on the same socket (keepalive) carry no calls of ours.
const REMOTE_PROGRAM: u32 = 0x2000_8086;
const CALL: u32 = 0;
const REPLY: u32 = 1;

/// `virDomainGetXMLDesc` on the wire.
pub(crate) const GET_XML: u32 = 14;
/// `virDomainListGetStats` (and the bulk call) on the wire.
pub(crate) const GET_STATS: u32 = 344;
/// `virDomainGetJobStats` on the wire.
pub(crate) const GET_JOB_STATS: u32 = 298;

/// What went over the socket.
#[derive(Debug, Default, Clone)]
pub(crate) struct Traffic {
    /// How many calls of each procedure were sent.
    pub(crate) calls: HashMap<u32, usize>,
    /// How many calls that may wait for a QEMU are without an answer now.
    pub(crate) waiting: usize,
    /// The most there ever were.
    pub(crate) most_waiting: usize,
    /// The most calls of any kind that one connection ever had without an answer.
    pub(crate) most_on_one_connection: usize,
    /// Connections that are open now.
    pub(crate) connections: usize,
}

/// A socket that passes everything on to a daemon's and counts.
pub(crate) struct Proxy {
    traffic: Arc<Mutex<Traffic>>,
    stop: Arc<AtomicBool>,
    socket: PathBuf,
    folder: Option<TempDir>,
}

/// What to put in place of a text that a daemon answers with, of the same length: its packets say how long they are.
pub(crate) type Rewrite = (&'static str, &'static str);

impl Proxy {
    /// Listens on a socket of its own for a daemon that has this one.
    pub(crate) fn start(daemon: &Path) -> Proxy {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = folder.path().join("sock");
        let mut proxy = Proxy::at(&socket, daemon, None);
        proxy.folder = Some(folder);
        proxy
    }

    /// [`start`](Self::start) on a socket of this name.
    pub(crate) fn at(socket: &Path, daemon: &Path, rewrite: Option<Rewrite>) -> Proxy {
        assert!(rewrite.is_none_or(|(old, new)| old.len() == new.len()), "another length: {rewrite:?}");
        let listener = UnixListener::bind(socket).expect("a socket of our own");
        let (traffic, stop) = (Arc::new(Mutex::new(Traffic::default())), Arc::new(AtomicBool::new(false)));
        let (counted, stopped, daemon) = (Arc::clone(&traffic), Arc::clone(&stop), daemon.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                // Without a daemon the client sees its connection end at once.
                if let (Ok(client), Ok(server)) = (client, UnixStream::connect(&daemon)) {
                    carry(client, server, &counted, rewrite);
                }
            }
        });
        Proxy { traffic, stop, socket: socket.to_owned(), folder: None }
    }

    /// The URI of the daemon, through this proxy.
    pub(crate) fn uri(&self, daemon: &str) -> String {
        let (base, _) = daemon.split_once("socket=").expect("a URI that names its socket");
        format!("{base}socket={}", self.socket.display())
    }

    /// What went over it so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic.lock().expect("the traffic").clone()
    }

    /// How many calls of this procedure were sent so far.
    pub(crate) fn calls(&self, procedure: u32) -> usize {
        self.traffic().calls.get(&procedure).copied().unwrap_or(0)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = UnixStream::connect(&self.socket);
    }
}

/// The calls of one connection that have no answer yet: serial to procedure.
type Open = Arc<Mutex<HashMap<u32, u32>>>;

fn carry(client: UnixStream, server: UnixStream, traffic: &Arc<Mutex<Traffic>>, rewrite: Option<Rewrite>) {
    traffic.lock().expect("the traffic").connections += 1;
    let open: Open = Arc::default();
    let (Ok(client_reads), Ok(server_reads)) = (client.try_clone(), server.try_clone()) else { return };
    let (up, down) = (Arc::clone(traffic), Arc::clone(traffic));
    let (asked, answered) = (Arc::clone(&open), open);
    std::thread::spawn(move || {
        pump(client_reads, server, None, |header| {
            if header.kind == CALL {
                let mut open = asked.lock().expect("the open calls");
                open.insert(header.serial, header.procedure);
                let mut traffic = up.lock().expect("the traffic");
                *traffic.calls.entry(header.procedure).or_default() += 1;
                traffic.most_on_one_connection = traffic.most_on_one_connection.max(open.len());
                if waits(header.procedure) {
                    traffic.waiting += 1;
                    traffic.most_waiting = traffic.most_waiting.max(traffic.waiting);
                }
            }
        });
    });
    std::thread::spawn(move || {
        pump(server_reads, client, rewrite, |header| {
            if header.kind == REPLY {
                let procedure = answered.lock().expect("the open calls").remove(&header.serial);
                if procedure.is_some_and(waits) {
                    down.lock().expect("the traffic").waiting -= 1;
                }
            }
        });
        // The daemon has hung up: what had no answer never gets one.
        let mut traffic = down.lock().expect("the traffic");
        traffic.connections -= 1;
        let abandoned =
            answered.lock().expect("the open calls").drain().filter(|(_, procedure)| waits(*procedure)).count();
        traffic.waiting -= abandoned;
    });
}

const fn waits(procedure: u32) -> bool {
    procedure == GET_STATS || procedure == GET_JOB_STATS
}

struct Header {
    kind: u32,
    procedure: u32,
    serial: u32,
}

/// Passes packets on until one side hangs up, then hangs up on the other.
fn pump(mut from: UnixStream, mut to: UnixStream, rewrite: Option<Rewrite>, mut seen: impl FnMut(Header)) {
    let mut packet = vec![0; 4];
    while from.read_exact(&mut packet[..4]).is_ok() {
        let length = u32::from_be_bytes(packet[..4].try_into().expect("four bytes")) as usize;
        packet.resize(length.max(4), 0);
        if from.read_exact(&mut packet[4..]).is_err() {
            break;
        }
        // Length, program, version, procedure, type, serial, status: 4 bytes each.
        if length >= 28 {
            let word =
                |number: usize| u32::from_be_bytes(packet[number * 4..number * 4 + 4].try_into().expect("four bytes"));
            if word(1) == REMOTE_PROGRAM {
                seen(Header { procedure: word(3), kind: word(4), serial: word(5) });
            }
        }
        if let Some((old, new)) = rewrite
            && let Some(at) = packet.windows(old.len()).position(|window| window == old.as_bytes())
        {
            packet[at..at + new.len()].copy_from_slice(new.as_bytes());
        }
        if to.write_all(&packet).is_err() {
            break;
        }
        packet.resize(4, 0);
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
