//! Listeners on a launcher's socket that are not libvirt.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Accepts and never says anything.
    Mute,
    /// Says something else, once.
    Garbage,
    /// Says something else, without end.
    Flood,
    /// Accepts and hangs up.
    HangUp,
    /// Answers the first call as libvirt does, and nothing after that.
    Forgetful,
    /// Answers the first call as libvirt does, and every other with a packet of 4 GiB.
    Liar,
}

/// Something that listens; it ends when dropped, and its socket stays.
pub struct Impostor {
    stop: Arc<AtomicBool>,
    clients: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Impostor {
    /// Listens on a socket of this user at an unused path of any length.
    #[track_caller]
    pub fn start(socket: &Path, user: u32, manner: Manner) -> Impostor {
        let listener = listen(socket, user);
        listener.set_nonblocking(true).expect("a socket that does not wait");
        let (stop, clients) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&clients));
        let thread = std::thread::spawn(move || {
            let mut held = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((client, _)) => {
                        counted.fetch_add(1, Ordering::Relaxed);
                        // A handle is held so that the client sees no end of the connection before the impostor ends.
                        held.extend(client.try_clone().ok().filter(|_| manner != Manner::HangUp));
                        std::thread::spawn(move || serve(client, manner));
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    Err(error) => panic!("accept: {error}"),
                }
            }
            for client in held {
                let _ = client.shutdown(std::net::Shutdown::Both);
            }
        });
        Impostor { stop, clients, thread: Some(thread) }
    }

    /// How many have connected so far.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A listening socket at a path of any length. Dropped, it leaves a socket that nobody listens on.
#[track_caller]
pub fn listen(socket: &Path, user: u32) -> UnixListener {
    // A bound socket's path has at most 107 bytes; a file's may have more.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let short = folder.path().join("sock");
    let listener = UnixListener::bind(&short).expect("a socket of our own");
    std::os::unix::fs::chown(&short, Some(user), None).expect("a new owner");
    std::fs::rename(&short, socket).expect("a socket in its place");
    listener
}

fn serve(mut client: UnixStream, manner: Manner) {
    // Needed only where accepted sockets inherit the non-blocking mode.
    let _ = client.set_nonblocking(false);
    match manner {
        Manner::HangUp => {}
        Manner::Mute => drop(read_on(&mut client)),
        Manner::Garbage => {
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            drop(read_on(&mut client));
        }
        Manner::Flood => while client.write_all(&[0xa5; 4096]).is_ok() {},
        Manner::Forgetful => {
            if answer_first(&mut client).is_ok() {
                drop(read_on(&mut client));
            }
        }
        Manner::Liar => {
            if answer_first(&mut client).is_ok() {
                while packet(&mut client).is_ok() && client.write_all(&[0xff; 64]).is_ok() {}
            }
        }
    }
}

fn read_on(client: &mut UnixStream) -> std::io::Result<u64> {
    std::io::copy(client, &mut std::io::sink())
}

/// Says that no authentication is needed, whatever was asked.
fn answer_first(client: &mut UnixStream) -> std::io::Result<()> {
    const OK: u32 = 0;
    const REPLY: u32 = 1;
    let call = packet(client)?;
    let word = |at: usize| call.get(at..at + 4).map_or(0, |bytes| u32::from_be_bytes(bytes.try_into().unwrap()));
    // Length, program, version, procedure, type, serial, status; then a list of one kind of authentication: none.
    let answer = [36, word(4), word(8), word(12), REPLY, word(20), OK, 1, 0];
    client.write_all(&answer.iter().flat_map(|word: &u32| word.to_be_bytes()).collect::<Vec<u8>>())
}

fn packet(client: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    client.read_exact(&mut packet)?;
    let length = u32::from_be_bytes(packet[..4].try_into().unwrap()) as usize;
    packet.resize(length.clamp(4, 1 << 16), 0);
    client.read_exact(&mut packet[4..])?;
    Ok(packet)
}
