//! A port of our own that leads to one of a private network.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::namespace::Namespace;
use super::process::Process;

/// Listens, and starts a netcat in the private network for each client. All end when it is dropped.
pub struct Forward {
    port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Forward {
    /// Leads to a port of the loopback address inside.
    #[track_caller]
    pub fn to(namespace: &Namespace, inside: u16) -> Forward {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of our own");
        listener.set_nonblocking(true).expect("a socket that does not wait");
        let port = listener.local_addr().expect("the port just bound").port();
        let stop = Arc::new(AtomicBool::new(false));
        let netcat = move |holder: u32| {
            let mut command = std::process::Command::new("nsenter");
            command.args(["--target", &holder.to_string(), "--net", "--"]);
            // It hangs up when the client does.
            command.args(["nc", "-N", "127.0.0.1", &inside.to_string()]);
            command
        };
        let (stopped, holder) = (Arc::clone(&stop), namespace.holder());
        let thread = std::thread::spawn(move || {
            let mut carried: Vec<Process> = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((client, _)) => carried.push(Process::spawn_on("nc", netcat(holder), &client)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    Err(error) => panic!("accept: {error}"),
                }
                carried.retain_mut(Process::running);
            }
        });
        Forward { port, stop, thread: Some(thread) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
