//! A network between the exporter and the server that refuses and cuts connections as it is told.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What it does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Close it at once.
    Refuse,
    /// Close it after so many bytes from the exporter.
    CutAfter(usize),
    /// Forward it until the mode is set again.
    Forward,
}

/// The network.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: watch::Sender<Mode>,
    upstream: watch::Sender<SocketAddr>,
    /// How many connections were made, and how many have ended.
    count: watch::Sender<(usize, usize)>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, modes) = watch::channel(Mode::Forward);
        let (upstream, upstreams) = watch::channel(upstream);
        let count = watch::Sender::new((0, 0));
        let counter = count.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (modes, counter) = (modes.clone(), counter.clone());
                let upstream = *upstreams.borrow();
                tokio::spawn(async move {
                    counter.send_modify(|(made, _)| *made += 1);
                    carry(client, upstream, modes).await;
                    counter.send_modify(|(_, ended)| *ended += 1);
                });
            }
        });
        Self { address, mode, upstream, count, task }
    }

    /// Leads further connections to another server; those that are open stay.
    pub(crate) fn lead_to(&self, upstream: SocketAddr) {
        self.upstream.send_replace(upstream);
    }

    /// How many connections were made.
    pub(crate) fn made(&self) -> usize {
        self.count.borrow().0
    }

    /// Changes the mode; connections that are forwarded are cut.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Waits until so many connections were made.
    pub(crate) async fn connections(&self, number: usize) {
        let _ = self.count.subscribe().wait_for(|(made, _)| *made >= number).await;
    }

    /// Waits until so many connections have ended.
    pub(crate) async fn cut(&self, number: usize) {
        let _ = self.count.subscribe().wait_for(|(_, ended)| *ended >= number).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut client: TcpStream, upstream: SocketAddr, mut modes: watch::Receiver<Mode>) {
    let mode = *modes.borrow_and_update();
    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
    match mode {
        Mode::Refuse => {}
        Mode::CutAfter(limit) => {
            let (mut from_server, mut to_server) = server.split();
            let (mut from_client, mut to_client) = client.split();
            let mut passed = 0;
            let mut buffer = vec![0; 4_096];
            let requests = async {
                while passed < limit {
                    match from_client.read(&mut buffer).await {
                        Ok(0) | Err(_) => return,
                        Ok(read) if to_server.write_all(&buffer[..read]).await.is_err() => {
                            let _ = read;
                            return;
                        }
                        Ok(read) => passed += read,
                    }
                }
            };
            tokio::select! {
                () = requests => {}
                _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
            }
        }
        Mode::Forward => {
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => {}
                _ = modes.changed() => {}
            }
        }
    }
}
