//! Stands between the agent and libvirtd and counts calls as they go over the socket.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// libvirt's remote program; other programs on the same socket (keepalive) carry no calls of ours.
const REMOTE_PROGRAM: u32 = 0x2000_8086;
const CALL: u32 = 0;
const REPLY: u32 = 1;

/// `virDomainGetXMLDesc` on the wire.
pub const GET_XML: u32 = 14;
/// `virDomainListGetStats` (and the bulk call) on the wire.
pub const GET_STATS: u32 = 344;
/// `virDomainGetJobStats` on the wire.
pub const GET_JOB_STATS: u32 = 298;

/// Procedures whose answer may take long: those above, and those for a state and for the list.
const MAY_BE_LATE: [u32; 5] = [GET_XML, GET_STATS, GET_JOB_STATS, 212, 273];

/// The groups of statistics that libvirt answers without the QEMU: state and interface.
const NO_MONITOR: u32 = 1 | 16;

/// A call without an answer for longer than this hangs: it is the agent's default deadline. A younger one may be one of
/// the calls in flight at any moment.
const HANGS: Duration = Duration::from_secs(3);

/// What went over the socket.
#[derive(Debug, Default, Clone)]
pub struct Traffic {
    /// How many calls of each procedure were sent.
    pub calls: HashMap<u32, usize>,
    /// The most calls that may wait for a QEMU and were ever unanswered at the same time.
    pub most_waiting: usize,
    /// The most calls for statistics likewise, including those that no QEMU has to answer.
    pub most_reading: usize,
    /// The most calls for a domain's XML likewise.
    pub most_for_xml: usize,
    /// The most calls for the XML of one domain likewise.
    pub most_for_xml_of_one: usize,
    /// The most calls that may wait for a QEMU, those for XML with them, that were ever unanswered at the same time.
    pub most_together: usize,
    /// The most of these that did not hang yet.
    pub most_at_once: usize,
    /// The most unanswered calls of any kind on one connection while one of them might be late.
    pub most_on_one_connection: usize,
    /// Connections that are open now.
    pub connections: usize,
    /// The calls that have no answer yet, by their connection and serial.
    open: HashMap<(usize, u32), Call>,
}

#[derive(Debug, Clone)]
struct Call {
    since: Instant,
    procedure: u32,
    /// Whether it may wait for a QEMU. Calls for a domain's XML, which do from libvirt 11 on, are told by the procedure.
    waits: bool,
    /// The beginning of its arguments.
    arguments: Vec<u8>,
}

impl Call {
    fn may_hang(&self) -> bool {
        self.waits || self.procedure == GET_XML
    }

    fn hangs(&self) -> bool {
        self.since.elapsed() > HANGS
    }
}

impl Traffic {
    /// How many calls that may wait for a QEMU hang now. Those for a domain's XML do from libvirt 11 on.
    pub fn hanging(&self) -> usize {
        self.open.values().filter(|call| call.may_hang() && call.hangs()).count()
    }

    fn begin_anew(&mut self) {
        *self = Traffic {
            calls: std::mem::take(&mut self.calls),
            open: std::mem::take(&mut self.open),
            connections: self.connections,
            ..Traffic::default()
        };
    }

    fn sent(&mut self, connection: usize, header: Header) {
        let Header { procedure, serial, waits, arguments, .. } = header;
        *self.calls.entry(procedure).or_default() += 1;
        if procedure == GET_XML {
            let alike = |call: &&Call| call.procedure == GET_XML && call.arguments == arguments;
            self.most_for_xml_of_one = self.most_for_xml_of_one.max(self.open.values().filter(alike).count() + 1);
        }
        self.open.insert((connection, serial), Call { since: Instant::now(), procedure, waits, arguments });
        let count = |which: &dyn Fn(usize, &Call) -> bool| {
            self.open.iter().filter(|((connection, _), call)| which(*connection, call)).count()
        };
        let late = count(&|other, call| other == connection && MAY_BE_LATE.contains(&call.procedure));
        let here = if late == 0 { 0 } else { count(&|other, _| other == connection) };
        let xml = count(&|_, call| call.procedure == GET_XML);
        let waiting = count(&|_, call| call.waits);
        let reading = count(&|_, call| call.procedure == GET_STATS || call.procedure == GET_JOB_STATS);
        let together = count(&|_, call| call.may_hang());
        let at_once = count(&|_, call| call.may_hang() && !call.hangs());
        self.most_together = self.most_together.max(together);
        self.most_at_once = self.most_at_once.max(at_once);
        self.most_for_xml = self.most_for_xml.max(xml);
        self.most_on_one_connection = self.most_on_one_connection.max(here);
        self.most_waiting = self.most_waiting.max(waiting);
        self.most_reading = self.most_reading.max(reading);
    }
}

/// A socket that forwards everything to a daemon's and counts.
pub struct Proxy {
    traffic: Arc<Mutex<Traffic>>,
    stop: Arc<AtomicBool>,
    /// The procedure whose answers are held back; 0 for none.
    held: Arc<AtomicU32>,
    socket: PathBuf,
    folder: Option<TempDir>,
}

/// An old and a new text of equal length, to change a daemon's answers: packets state their length.
pub type Rewrite = (&'static str, &'static str);

impl Proxy {
    /// Listens on its own socket for the daemon at this one.
    pub fn start(daemon: &Path) -> Proxy {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = folder.path().join("sock");
        let mut proxy = Proxy::at(&socket, daemon, None);
        proxy.folder = Some(folder);
        proxy
    }

    /// [`start`](Self::start) on a socket of this name.
    pub fn at(socket: &Path, daemon: &Path, rewrite: Option<Rewrite>) -> Proxy {
        assert!(rewrite.is_none_or(|(old, new)| old.len() == new.len()), "another length: {rewrite:?}");
        let listener = UnixListener::bind(socket).expect("a socket of our own");
        let (traffic, stop) = (Arc::new(Mutex::new(Traffic::default())), Arc::new(AtomicBool::new(false)));
        let held = Arc::new(AtomicU32::new(0));
        let (counted, stopped, daemon) = (Arc::clone(&traffic), Arc::clone(&stop), daemon.to_owned());
        let holding = Arc::clone(&held);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                // Without a daemon the client sees its connection end at once.
                if let (Ok(client), Ok(server)) = (client, UnixStream::connect(&daemon)) {
                    carry(client, server, &counted, &holding, rewrite);
                }
            }
        });
        Proxy { traffic, stop, held, socket: socket.to_owned(), folder: None }
    }

    /// The URI of the daemon, through this proxy.
    pub fn uri(&self, daemon: &str) -> String {
        let (base, _) = daemon.split_once("socket=").expect("a URI that names its socket");
        format!("{base}socket={}", self.socket.display())
    }

    /// Holds back the answers to this procedure until [`release`](Self::release), as if the daemon were late.
    pub fn hold(&self, procedure: u32) {
        self.held.store(procedure, Ordering::Relaxed);
    }

    /// Lets through what was held back.
    pub fn release(&self) {
        self.held.store(0, Ordering::Relaxed);
    }

    /// Forgets the maxima so far: what was counted is kept.
    pub fn begin_anew(&self) {
        self.traffic.lock().expect("the traffic").begin_anew();
    }

    /// What went over it so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic.lock().expect("the traffic").clone()
    }

    /// How many calls of this procedure were sent so far.
    pub fn calls(&self, procedure: u32) -> usize {
        self.traffic().calls.get(&procedure).copied().unwrap_or(0)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.release();
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = UnixStream::connect(&self.socket);
    }
}

fn carry(
    client: UnixStream,
    server: UnixStream,
    traffic: &Arc<Mutex<Traffic>>,
    held: &Arc<AtomicU32>,
    rewrite: Option<Rewrite>,
) {
    static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
    let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    traffic.lock().expect("the traffic").connections += 1;
    let (Ok(client_reads), Ok(server_reads)) = (client.try_clone(), server.try_clone()) else { return };
    let (up, down, held) = (Arc::clone(traffic), Arc::clone(traffic), Arc::clone(held));
    std::thread::spawn(move || {
        pump(client_reads, server, None, |header| {
            if header.kind == CALL {
                up.lock().expect("the traffic").sent(connection, header);
            }
        });
    });
    std::thread::spawn(move || {
        pump(server_reads, client, rewrite, |header| {
            if header.kind == REPLY {
                while held.load(Ordering::Relaxed) == header.procedure {
                    std::thread::sleep(Duration::from_millis(10));
                }
                down.lock().expect("the traffic").open.remove(&(connection, header.serial));
            }
        });
        // The daemon has hung up: what had no answer never gets one.
        let mut traffic = down.lock().expect("the traffic");
        traffic.connections -= 1;
        traffic.open.retain(|(other, _), _| *other != connection);
    });
}

struct Header {
    kind: u32,
    procedure: u32,
    serial: u32,
    /// Whether a call may wait for a QEMU.
    waits: bool,
    /// The beginning of what follows, as far as it can name a domain.
    arguments: Vec<u8>,
}

/// The most bytes of a call's arguments that are compared: a name, and a UUID.
const ARGUMENTS: usize = 128;

/// Reads the head of a packet of libvirt's remote program: length, program, version, procedure, type, serial, status, 4
/// bytes each. A call for statistics ends with its groups and its flags.
fn header(packet: &[u8]) -> Option<Header> {
    let word = |at: usize| Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?));
    if packet.len() < 28 || word(4)? != REMOTE_PROGRAM {
        return None;
    }
    let procedure = word(12)?;
    let waits = match procedure {
        // No group at all stands for every group.
        GET_STATS => matches!(word(packet.len() - 8)?, groups if groups == 0 || groups & !NO_MONITOR != 0),
        GET_JOB_STATS => true,
        _ => false,
    };
    let arguments = packet[28..].iter().copied().take(ARGUMENTS).collect();
    Some(Header { kind: word(16)?, procedure, serial: word(20)?, waits, arguments })
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
        if let Some(header) = header(&packet) {
            seen(header);
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
