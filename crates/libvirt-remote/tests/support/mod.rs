//! A test daemon, byte by byte, at the other end of a stream in memory.

pub(crate) mod fuzzed;

use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use libvirt_remote::xdr::{Encode as _, Writer};
use libvirt_remote::{Connection, Domain, Error};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

pub(crate) const REMOTE: u32 = 0x2000_8086;
pub(crate) const KEEPALIVE: u32 = 0x6b65_6570;
pub(crate) const REPLY: u32 = 1;
pub(crate) const MESSAGE: u32 = 2;

/// The buffer size of a stream in memory, like a socket's.
pub(crate) const SOCKET: usize = 65_536;

/// A frame.
pub(crate) fn frame(program: u32, procedure: u32, kind: u32, serial: u32, status: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(28 + body.len()).unwrap();
    let words = [length, program, 1, procedure, kind, serial, status];
    words.iter().flat_map(|word| word.to_be_bytes()).chain(body.iter().copied()).collect()
}

/// The answer to a call.
pub(crate) fn reply(call: &Received, body: &[u8]) -> Vec<u8> {
    frame(REMOTE, call.procedure, REPLY, call.serial, 0, body)
}

/// An error in place of the answer to a call.
pub(crate) fn failure(call: &Received, code: i32, message: &str) -> Vec<u8> {
    let body = body(|writer| {
        writer.i32(code);
        writer.i32(10);
        writer.u32(1);
        writer.bytes(message.as_bytes());
        writer.i32(2);
        writer.u32(0);
        for _ in 0..3 {
            writer.u32(0);
        }
        writer.i32(-1);
        writer.i32(-1);
        writer.u32(0);
    });
    frame(REMOTE, call.procedure, REPLY, call.serial, 1, &body)
}

pub(crate) fn ping() -> Vec<u8> {
    frame(KEEPALIVE, 1, MESSAGE, 0, 0, &[])
}

/// A lifecycle event.
pub(crate) fn lifecycle(callback: i32, name: &str, event: i32, detail: i32) -> Vec<u8> {
    let body = body(|writer| {
        writer.i32(callback);
        domain(name).encode(writer);
        writer.i32(event);
        writer.i32(detail);
    });
    frame(REMOTE, 318, MESSAGE, 0, 0, &body)
}

pub(crate) fn domain(name: &str) -> Domain {
    Domain { name: name.into(), uuid: [7; 16], id: Some(3) }
}

pub(crate) fn body(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    write(&mut Writer::new(&mut buffer));
    buffer.to_vec()
}

/// A statistics record with parameters of every type.
pub(crate) fn statistics() -> Vec<u8> {
    body(|writer| {
        writer.count(1);
        domain("web").encode(writer);
        writer.count(7);
        for (name, kind, value) in [
            ("a.int", 1, &(-5_i32).to_be_bytes()[..]),
            ("a.uint", 2, &5_u32.to_be_bytes()[..]),
            ("a.llong", 3, &(-5_i64).to_be_bytes()[..]),
            ("a.ullong", 4, &5_u64.to_be_bytes()[..]),
            ("a.double", 5, &0.5_f64.to_be_bytes()[..]),
            ("a.boolean", 6, &1_i32.to_be_bytes()[..]),
            ("a.text", 7, &[0, 0, 0, 3, b'v', b'd', b'a', 0][..]),
        ] {
            writer.bytes(name.as_bytes());
            writer.i32(kind);
            for word in value.chunks_exact(4) {
                writer.array::<4>(word.try_into().unwrap());
            }
        }
    })
}

/// A call as the daemon received it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) program: u32,
    pub(crate) procedure: u32,
    pub(crate) serial: u32,
    pub(crate) body: Vec<u8>,
}

/// The daemon's end.
pub(crate) struct Daemon(pub(crate) DuplexStream);

impl Daemon {
    /// The next frame that the client sends; `None` when it has closed the stream.
    pub(crate) async fn receive(&mut self) -> Option<Received> {
        let mut head = [0; 28];
        self.0.read_exact(&mut head).await.ok()?;
        let word = |at: usize| u32::from_be_bytes(head[4 * at..4 * at + 4].try_into().unwrap());
        let mut body = vec![0; word(0) as usize - 28];
        self.0.read_exact(&mut body).await.ok()?;
        Some(Received { program: word(1), procedure: word(3), serial: word(5), body })
    }

    /// Sends bytes; `false` when the client has closed the stream.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// Answers the first calls of a client, without authentication.
    pub(crate) async fn welcome(&mut self) {
        let auth = self.receive().await.unwrap();
        assert_eq!((auth.program, auth.procedure), (REMOTE, 66));
        self.send(&reply(&auth, &[0, 0, 0, 1, 0, 0, 0, 0])).await;
        let open = self.receive().await.unwrap();
        assert_eq!(open.procedure, 1);
        let mut uri = BytesMut::new();
        uri.put_slice(&open.body);
        assert_eq!(&open.body[open.body.len() - 4..], [0, 0, 0, 1], "opened read-only");
        self.send(&reply(&open, &[])).await;
    }

    /// The answer that a well-behaved daemon gives to a call.
    pub(crate) fn proper(call: &Received) -> Vec<u8> {
        let text = |text: &str| body(|writer| writer.bytes(text.as_bytes()));
        let answer = match call.procedure {
            1 | 2 => Vec::new(),
            3 => text("QEMU"),
            4 | 157 => 9_000_000_u64.to_be_bytes().to_vec(),
            7 => text("<capabilities/>"),
            14 => text("<domain type='kvm'/>"),
            59 | 110 => text("host.example"),
            60 | 70 | 316 => vec![0, 0, 0, 1],
            66 => vec![0, 0, 0, 1, 0, 0, 0, 0],
            212 => vec![0, 0, 0, 1, 0, 0, 0, 5],
            273 => body(|writer| {
                writer.count(2);
                domain("web").encode(writer);
                Domain { id: None, ..domain("db") }.encode(writer);
                writer.u32(2);
            }),
            298 => body(|writer| {
                writer.i32(2);
                writer.count(1);
                writer.bytes(b"operation");
                writer.i32(1);
                writer.i32(5);
            }),
            344 => statistics(),
            other => panic!("procedure {other}"),
        };
        reply(call, &answer)
    }
}

/// A client and a daemon that have opened a connection.
pub(crate) async fn opened() -> (Connection<DuplexStream>, Daemon) {
    let (client, server) = tokio::io::duplex(SOCKET);
    let mut daemon = Daemon(server);
    let (connection, ()) = tokio::join!(Connection::open(client, "qemu:///system"), daemon.welcome());
    (connection.unwrap(), daemon)
}

/// Longer than anything here may take, in tokio's paused time.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// Waits for what must come.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LONG, future).await.expect("nothing hangs")
}

/// The reason why a call failed, in words.
pub(crate) fn words<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.expect_err("it cannot succeed").to_string()
}
