//! Stands between the agent and a TCP port of this machine, and can be cut.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Unlimited forwarding.
const WITHOUT_END: u64 = u64::MAX;

/// A port that passes everything on to another one.
pub struct Wire {
    port: u16,
    state: Arc<State>,
}

struct State {
    to: u16,
    /// Both ends of each connection there was.
    ends: Mutex<Vec<TcpStream>>,
    joined: AtomicUsize,
    parted: AtomicBool,
    over: AtomicBool,
    /// How many bytes more are passed on to the client before everything is cut.
    left: AtomicU64,
}

impl Wire {
    /// Listens on its own port and forwards to that one.
    pub fn to(port: u16) -> Wire {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on the loopback address");
        let state = Arc::new(State {
            to: port,
            ends: Mutex::default(),
            joined: AtomicUsize::new(0),
            parted: AtomicBool::new(false),
            over: AtomicBool::new(false),
            left: AtomicU64::new(WITHOUT_END),
        });
        let port = listener.local_addr().expect("the port just bound").port();
        let accepts = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepts.over.load(Ordering::SeqCst) {
                    return;
                }
                // Without a server the client sees its connection end at once.
                if !accepts.parted.load(Ordering::SeqCst)
                    && let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, accepts.to))
                {
                    accepts.join(client, server);
                }
            }
        });
        Wire { port, state }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections it has passed on so far.
    pub fn joined(&self) -> usize {
        self.state.joined.load(Ordering::SeqCst)
    }

    /// Ends all connections; new ones are passed on.
    pub fn cut(&self) {
        self.state.cut();
    }

    /// [`cut`](Self::cut) after this many more bytes to clients: in the middle of a server's answer.
    pub fn cut_after(&self, bytes: u64) {
        self.state.left.store(bytes, Ordering::SeqCst);
    }

    /// [`cut`](Self::cut), and new connections end at once, until [`mend`](Self::mend).
    pub fn part(&self) {
        self.state.parted.store(true, Ordering::SeqCst);
        self.cut();
    }

    pub fn mend(&self) {
        self.state.parted.store(false, Ordering::SeqCst);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl State {
    fn join(self: &Arc<State>, client: TcpStream, server: TcpStream) {
        let copies = [&client, &client, &server, &server].map(TcpStream::try_clone);
        let [Ok(client_reads), Ok(client_end), Ok(server_reads), Ok(server_end)] = copies else { return };
        self.ends.lock().expect("the ends").extend([client_end, server_end]);
        self.joined.fetch_add(1, Ordering::SeqCst);
        let state = Arc::clone(self);
        std::thread::spawn(move || pass(client_reads, server, |_| true));
        std::thread::spawn(move || {
            pass(server_reads, client, |bytes| {
                let take = |left: u64| (left != WITHOUT_END).then(|| left.saturating_sub(bytes));
                match state.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
                    Ok(left) if left <= bytes => {
                        state.left.store(WITHOUT_END, Ordering::SeqCst);
                        state.cut();
                        false
                    }
                    _ => true,
                }
            });
        });
    }

    fn cut(&self) {
        for end in self.ends.lock().expect("the ends").drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

/// Passes bytes on until one side hangs up or `may` forbids it, then hangs up on both.
fn pass(mut from: TcpStream, mut to: TcpStream, mut may: impl FnMut(u64) -> bool) {
    // Small pieces, so that a cut hits the middle of an answer.
    let mut piece = [0; 512];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        if !may(read as u64) || to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
