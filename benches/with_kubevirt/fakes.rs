//! More launchers than the machine can run: each is a socket in its own pod, behind which a real libvirtd answers under
//! another name.
//!
//! Such a socket relays every message to the libvirtd of a real launcher and back, and replaces one domain's name and
//! UUID with the other's. They have the same length, so a message keeps its form. The agent gets libvirt's own answers,
//! at their real cost, through separate connections; only that several VMs share one QEMU.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixListener as Listener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;

use crate::lab::{Launcher, Node, Place, uuid};
use crate::names::{NAMESPACE, name};

/// libvirt's remote protocol: a message's header, as big-endian words: its length, this word included, the program, its
/// version, the procedure, the type (1: a reply), the serial, the status.
const HEADER: usize = 28;
const PROCEDURE_OF_XML: u32 = 14;
const REPLY: u32 = 1;

/// No message of libvirt's is longer.
const LONGEST: usize = 32 << 20;

/// The sockets: see the module.
pub(crate) struct Fakes {
    runtime: Option<Runtime>,
    described: Described,
}

/// When libvirt had sent a VM's XML, by the VM's number: from then on its type can be known.
type Described = Arc<Mutex<HashMap<u32, Vec<Instant>>>>;

/// The replacements in messages.
struct Names {
    number: u32,
    /// Real value and replacement: the UUID on the wire, the UUID as text, and the name.
    pairs: [(Vec<u8>, Vec<u8>); 3],
    described: Described,
}

impl Fakes {
    pub(crate) fn new() -> Fakes {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Fakes { runtime: Some(runtime.expect("a runtime")), described: Described::default() }
    }

    /// Makes the pod of a VM, behind whose socket this launcher answers.
    pub(crate) fn add(&self, number: u32, node: &Node, place: &Place, behind: &Launcher, real_uuid: &str) {
        let folder = File::open(node.make_pod(&place.pod_uid)).expect("the pod's folder");
        // The folder's path is too long for a socket address.
        let path = PathBuf::from(format!("/proc/self/fd/{}/virtqemud-sock", folder.as_raw_fd()));
        let listener = Listener::bind(&path).expect("a socket in the pod's folder");
        chown(&path, Some(place.user), None).expect("a new owner");
        listener.set_nonblocking(true).expect("a socket that does not block");

        let real_name = behind.virsh(&["list", "--name"]).trim().to_owned();
        let (other_name, other_uuid) = (format!("{NAMESPACE}_{}", name(number)), uuid());
        assert_eq!(real_name.len(), other_name.len(), "names of one length");
        let wire = |uuid: &str| uuid::Uuid::parse_str(uuid).expect("a UUID").into_bytes().to_vec();
        let names = Arc::new(Names {
            number,
            pairs: [
                (wire(real_uuid), wire(&other_uuid)),
                (real_uuid.into(), other_uuid.into()),
                (real_name.into(), other_name.into()),
            ],
            described: Arc::clone(&self.described),
        });
        let socket = behind.socket();
        let runtime = self.runtime.as_ref().expect("a runtime until the end");
        runtime.spawn(async move {
            let listener = UnixListener::from_std(listener).expect("a socket");
            while let Ok((client, _)) = listener.accept().await {
                let (names, socket) = (Arc::clone(&names), socket.clone());
                tokio::spawn(async move {
                    let Ok(server) = UnixStream::connect(socket).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    // When one side hangs up, so do we.
                    tokio::select! {
                        _ = carry(from_client, to_server, &names, false) => {}
                        _ = carry(from_server, to_client, &names, true) => {}
                    }
                });
            }
        });
    }

    /// When libvirt's XML of this VM was handed to the agent for the first time after `since`.
    pub(crate) fn described(&self, number: u32, since: Instant) -> Option<Instant> {
        let described = self.described.lock().expect("no thread has failed");
        described.get(&number)?.iter().copied().find(|at| *at >= since)
    }
}

impl Drop for Fakes {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

/// Relays messages one way until somebody hangs up.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    names: &Names,
    answers: bool,
) -> io::Result<()> {
    let mut message = Vec::new();
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length).await?;
        let size = u32::from_be_bytes(length) as usize;
        if !(HEADER..=LONGEST).contains(&size) {
            return Err(io::Error::other("no message of libvirt's"));
        }
        message.clear();
        message.extend_from_slice(&length);
        message.resize(size, 0);
        from.read_exact(&mut message[4..]).await?;
        for (real, other) in &names.pairs {
            if answers {
                replace(&mut message[HEADER..], real, other);
            } else {
                replace(&mut message[HEADER..], other, real);
            }
        }
        to.write_all(&message).await?;
        if answers && word(&message, 3) == PROCEDURE_OF_XML && word(&message, 4) == REPLY {
            let mut described = names.described.lock().expect("no thread has failed");
            described.entry(names.number).or_default().push(Instant::now());
        }
    }
}

fn word(message: &[u8], place: usize) -> u32 {
    let bytes = message[4 * place..4 * place + 4].try_into().expect("four bytes of a header");
    u32::from_be_bytes(bytes)
}

fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(old.len()).position(|window| window == old) {
        at += found;
        bytes[at..at + old.len()].copy_from_slice(new);
        at += old.len();
    }
}
