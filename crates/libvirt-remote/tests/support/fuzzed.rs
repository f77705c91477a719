//! What the fuzzers run, and what the tests run on the corpus they left.

use std::time::Duration;

use bytes::Bytes;
use libvirt_remote::procedure::{
    ConnectGetAllDomainStats, ConnectGetLibVersion, ConnectListAllDomains, DomainGetJobStats, DomainGetState,
    DomainGetXmlDesc, Procedure,
};
use libvirt_remote::{Connection, Error, EventKind, Keepalive};
use tokio::io::{AsyncReadExt as _, DuplexStream};

use super::{Daemon, LONG, Received, SOCKET, domain, reply};

/// How many events are taken between two calls.
const EVENTS: usize = 8;

/// The first byte chooses a procedure, the others are its answer.
pub(crate) fn procedure(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let all = Procedure::all();
    let chosen = &all[usize::from(*choice) % all.len()];
    let body = Bytes::copy_from_slice(body);
    let first = chosen.check(&body).map_err(|error| error.to_string());
    assert_eq!(first, chosen.check(&body).map_err(|error| error.to_string()), "{} is not sure", chosen.function);
}

/// The bytes script a daemon; a whole client must end without a panic.
pub(crate) fn stream(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (client, server) = tokio::io::duplex(SOCKET);
        let both = async { tokio::join!(dialogue(client), script(Daemon(server), data)) };
        tokio::time::timeout(LONG, both).await.expect("it ends");
    });
}

/// How long a client waits for an answer: the crate leaves this to its caller.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that a client does. A call that fails is followed by the next one.
async fn dialogue(stream: DuplexStream) {
    let _ = tokio::time::timeout(PATIENCE, calls(stream)).await;
}

async fn calls(stream: DuplexStream) -> Result<(), Error> {
    let mut libvirt = Connection::open(stream, "qemu:///system").await?;
    libvirt.keep_alive(Some(Keepalive { interval: Duration::from_secs(5), count: 3 }));
    libvirt.register_all(&EventKind::ALL).await?;
    let web = || domain("web");
    let _ = libvirt.call(&ConnectGetLibVersion {}).await;
    let _ = libvirt.call(&ConnectListAllDomains { need_results: 1, flags: 0 }).await;
    let _ = libvirt.call(&DomainGetXmlDesc { domain: web(), flags: 0 }).await;
    events(&mut libvirt).await?;
    let _ = libvirt.call(&ConnectGetAllDomainStats { domains: vec![web()], stats: 0, flags: 0 }).await;
    let _ = libvirt.call(&DomainGetState { domain: web(), flags: 0 }).await;
    let _ = libvirt.call(&DomainGetJobStats { domain: web(), flags: 0 }).await;
    events(&mut libvirt).await?;
    libvirt.close().await;
    Ok(())
}

/// Takes what has come.
async fn events(libvirt: &mut Connection<DuplexStream>) -> Result<(), Error> {
    for _ in 0..EVENTS {
        let soon = Duration::from_millis(1);
        match tokio::time::timeout(soon, libvirt.next_event()).await {
            Ok(event) => drop(event?),
            Err(_) => break,
        }
    }
    Ok(())
}

/// The daemon's actions, one after the other: a byte selects the action; where bytes follow, two give their number.
async fn script(mut daemon: Daemon, data: &[u8]) {
    let mut rest = data;
    let mut asked: Option<Received> = None;
    while let Some((deed, after)) = rest.split_first() {
        rest = after;
        let goes_on = match deed % 4 {
            // The proper answer.
            0 => match daemon.receive().await {
                Some(call) => {
                    let proper = Daemon::proper(&call);
                    asked = Some(call);
                    daemon.send(&proper).await
                }
                None => false,
            },
            // An answer with a proper header and any body.
            1 => match daemon.receive().await {
                Some(call) => {
                    let answer = reply(&call, bytes(&mut rest));
                    asked = Some(call);
                    daemon.send(&answer).await
                }
                None => false,
            },
            // The previous call is answered again.
            2 => match &asked {
                Some(call) => daemon.send(&reply(call, bytes(&mut rest))).await,
                None => true,
            },
            // Any bytes.
            _ => daemon.send(bytes(&mut rest)).await,
        };
        if !goes_on {
            break;
        }
    }
    // It reads on, and hangs up when nothing has come for long.
    let mut unread = [0; 256];
    while let Ok(Ok(1..)) = tokio::time::timeout(LONG / 60, daemon.0.read(&mut unread)).await {}
}

fn bytes<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let Some((length, after)) = rest.split_first_chunk::<2>() else {
        return std::mem::take(rest);
    };
    let (now, later) = after.split_at(usize::from(u16::from_be_bytes(*length)).min(after.len()));
    *rest = later;
    now
}
