//! The real connection to a daemon: libvirt's own protocol, over any transport.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libvirt_remote::procedure::{
    ConnectGetAllDomainStats, ConnectGetCapabilities, ConnectGetHostname, ConnectGetLibVersion, ConnectGetType,
    ConnectGetVersion, ConnectListAllDomains, DomainGetJobStats, DomainGetState, DomainGetXmlDesc,
};
use libvirt_remote::{
    Bounds, Connection as Remote, Domain, End, Error, Event, EventKind, Keepalive, Parameter, Text, Ticket, Value,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::hypervisor::{
    Call, Called, Connection, Ending, Eventually, Failure, Hypervisor, Met, Notice, OpenError, Reply,
};
use super::socket::{Dialed, Route, SocketError, Stream};
use crate::libvirt::groups::{NOWAIT, bits};
use crate::libvirt::limits::{Files, Share, Stock};
use crate::libvirt::{decode, domain_xml, event};
use crate::model::{DaemonFacts, Description, Group, Status, Version};
use crate::source::{Ask, Listed, Said};

/// How long a daemon may take for its first answer. A live one takes half a millisecond (measured).
pub(super) const FIRST_WORD: Duration = Duration::from_secs(1);

/// The same for one on another host, including all connection setup.
const FIRST_WORD_REMOTE: Duration = Duration::from_secs(15);

/// How long opening a driver, and querying the daemon's facts, may each take after that. Both take milliseconds.
const OPEN_DEADLINE: Duration = Duration::from_secs(5);

/// The events connection sends a PING after this much silence: an unresponsive daemon is noticed after 20 s even if
/// nobody asks it anything. No call is made over this connection, so that a daemon always reads it.
const KEEPALIVE: Keepalive = Keepalive { interval: Duration::from_secs(5), count: 3 };

/// The same for a single-VM daemon, which is noticed anyway by its statistics calls, made as often.
const KEEPALIVE_OF_ONE: Keepalive = Keepalive { interval: Duration::from_secs(30), count: 2 };

/// Parameters that are decoded before other tasks get their turn: about a tenth of a millisecond.
const DECODE_TURN: usize = 2_048;

/// This many bytes of text take as long as one more parameter. Names, which all parameters have, are shorter.
const DECODE_BYTES: usize = 64;

/// A longer XML document is parsed on a blocking thread: this much takes less than a millisecond.
const XML_INLINE_MAX: usize = 128 * 1_024;

/// A daemon by its address.
#[derive(Debug)]
pub(super) struct Wire {
    route: Route,
    /// The limits of each connection.
    bounds: Bounds,
    /// The files of its connections.
    files: Arc<Share>,
    /// Cancels running calls.
    leaving: CancellationToken,
}

impl Wire {
    /// The daemon at the end of a route, whose connections take their files from `stock`.
    pub(super) fn new(route: Route, bounds: Bounds, stock: &'static Stock) -> Self {
        let files = Share::of(stock, route.files());
        Self { route, bounds, files, leaving: CancellationToken::new() }
    }

    /// A connection with an open driver, and what is known of its peer.
    async fn connect(route: Route, bounds: Bounds, files: Arc<Share>) -> Result<(Remote<Stream>, Dialed), OpenError> {
        let first_word = if route.is_local() { FIRST_WORD } else { FIRST_WORD_REMOTE };
        let mute = || {
            OpenError::Mute(format!(
                "{} did not answer within {first_word:?}: is the daemon stopped or overloaded?",
                route.place()
            ))
        };
        let greet = async {
            let (stream, dialed) = route.dial(&files).await.map_err(refused)?;
            let mut remote = Remote::authenticated(stream).await.map_err(|error| stranger(&route, error))?;
            remote.bound(bounds);
            Ok((remote, dialed))
        };
        let (mut remote, dialed) = timeout(first_word, greet).await.map_err(|_| mute())??;
        let open = remote.open_driver(&dialed.uri);
        let opened = timeout(OPEN_DEADLINE, open).await.map_err(|_| slow("opened its driver"))?;
        opened.map_err(|error| OpenError::Failed(advised(&route, &error)))?;
        Ok((remote, dialed))
    }

    async fn introduced(route: Route, bounds: Bounds, files: Arc<Share>) -> Result<Met<WireConnection>, OpenError> {
        let of_one = route.is_of_one();
        let (mut remote, dialed) = Self::connect(route, bounds, files).await?;
        let introduce = introduce(&mut remote);
        let introduced = timeout(OPEN_DEADLINE, introduce).await.map_err(|_| slow("introduced itself"))?;
        let facts = introduced.map_err(|error| OpenError::Failed(error.to_string()))?;
        remote.keep_alive(Some(if of_one { KEEPALIVE_OF_ONE } else { KEEPALIVE }));
        let Dialed { process, files, .. } = dialed;
        Ok(Met { connection: WireConnection::new(remote, files), facts, process })
    }
}

/// A connection to a daemon.
pub(super) struct WireConnection {
    remote: Remote<Stream>,
    /// The pending liveness check.
    sign: Option<Ticket<ConnectGetLibVersion>>,
    // Released after the connection is closed.
    files: Files,
}

impl WireConnection {
    const fn new(remote: Remote<Stream>, files: Files) -> Self {
        Self { remote, sign: None, files }
    }
}

impl Connection for WireConnection {
    fn poll_notice(&mut self, context: &mut Context<'_>) -> Poll<Notice> {
        if let Some(ticket) = &self.sign
            && let Poll::Ready(answer) = self.remote.poll_receive(ticket, context)
        {
            self.sign = None;
            // Any answer is proof of life. The end of the connection is reported below.
            if !matches!(answer, Err(Error::Ended(_))) {
                return Poll::Ready(Notice::Sign);
            }
        }
        self.remote.poll_event(context).map(|event| match event {
            Ok(Event::Domain { domain, what }) => {
                Notice::Event { domain: Uuid::from_bytes(domain.uuid), name: domain.name, event: event::meaning(what) }
            }
            Ok(Event::Lost(count)) => Notice::Lost(count),
            Err(end) => Notice::Ended(ending(&end)),
        })
    }

    fn ask_for_a_sign(&mut self) {
        // If this fails, the connection has ended and will report it.
        self.sign = self.remote.send(&ConnectGetLibVersion {}).ok();
    }

    fn close(self) -> Eventually<()> {
        let Self { remote, files, .. } = self;
        Box::pin(async move {
            remote.close().await;
            drop(files);
        })
    }
}

impl Hypervisor for Wire {
    type Connection = WireConnection;

    fn is_local(&self) -> bool {
        self.route.is_local()
    }

    fn open(&self) -> Eventually<Result<WireConnection, OpenError>> {
        let connect = Self::connect(self.route.clone(), self.bounds.clone(), Arc::clone(&self.files));
        Box::pin(async move { connect.await.map(|(remote, dialed)| WireConnection::new(remote, dialed.files)) })
    }

    fn meet(&self) -> Eventually<Result<Met<WireConnection>, OpenError>> {
        Box::pin(Self::introduced(self.route.clone(), self.bounds.clone(), Arc::clone(&self.files)))
    }

    fn call(&self, connection: WireConnection, call: Call, name: Arc<str>) -> Eventually<Called<WireConnection>> {
        let leaving = self.leaving.clone();
        Box::pin(async move {
            let WireConnection { files, mut remote, .. } = connection;
            let Some(answered) = leaving.run_until_cancelled(answer(&mut remote, call, name)).await else {
                // A daemon can close a connection while a call hangs: another of its workers does.
                remote.close().await;
                let ending = Ending { reason: "the agent is ending".to_owned(), hung_up: false };
                return Called { connection: Err(ending), result: Err(Failure::Lost) };
            };
            match answered {
                Ok(result) => Called { connection: Ok(WireConnection::new(remote, files)), result },
                Err(Error::Ended(end)) => Called { connection: Err(ending(&end)), result: Err(Failure::Lost) },
                Err(error) => {
                    let result = Err(Failure::Libvirt(error.to_string()));
                    Called { connection: Ok(WireConnection::new(remote, files)), result }
                }
            }
        })
    }

    fn leave(&self) {
        self.leaving.cancel();
    }
}

/// Asks a daemon for its facts and its events: all requests at once.
async fn introduce(remote: &mut Remote<Stream>) -> Result<DaemonFacts, Error> {
    let driver = remote.send(&ConnectGetType {})?;
    let host_name = remote.send(&ConnectGetHostname {})?;
    let version = remote.send(&ConnectGetLibVersion {})?;
    remote.register_all(&EventKind::ALL).await?;
    let facts = DaemonFacts {
        driver: remote.receive(driver).await?.to_string().into(),
        host_name: remote.receive(host_name).await?.to_string().into(),
        libvirt: match remote.receive(version).await {
            Ok(version) => Some(Version(version)),
            Err(Error::Libvirt(_)) => None,
            Err(error) => return Err(error),
        },
        hypervisor: None,
    };
    Ok(facts)
}

/// What a daemon answers. An error from libvirt is an outer error, too.
async fn answer(remote: &mut Remote<Stream>, call: Call, name: Arc<str>) -> Result<Result<Reply, Failure>, Error> {
    let domain = |uuid: Uuid| Domain { name, uuid: uuid.into_bytes(), id: None };
    let said = match call {
        Call::Ask(Ask::List) => Said::Listed(list(remote).await?),
        Call::Ask(Ask::Status(uuid)) => {
            let state = known(remote.call(&DomainGetState { domain: domain(uuid), flags: 0 }).await)?;
            Said::Status(state.map(|state| Status::from_libvirt(state.state.into(), state.reason.into())))
        }
        Call::Ask(Ask::Describe(uuid)) => {
            let xml = known(remote.call(&DomainGetXmlDesc { domain: domain(uuid), flags: 0 }).await)?;
            let Some(xml) = xml else { return Ok(Ok(Reply::Said(Said::Described(None)))) };
            match parse(xml).await {
                Ok(description) => Said::Described(Some(Box::new(description))),
                Err(failure) => return Ok(Err(failure)),
            }
        }
        Call::Ask(Ask::Read(uuid, groups)) => {
            let mut asked = groups;
            // The state is always in the answer, and without it the other figures cannot be trusted.
            asked.insert(Group::State);
            let call = ConnectGetAllDomainStats { domains: vec![domain(uuid)], stats: bits(asked), flags: NOWAIT };
            let record = known(remote.call(&call).await)?.and_then(|records| records.0.into_iter().next());
            let Some(record) = record else { return Ok(Ok(Reply::Said(Said::Stats(None)))) };
            if record.domain.uuid != uuid.into_bytes() {
                return Ok(Err(Failure::Libvirt("the statistics are another domain's".to_owned())));
            }
            let mut decoder = decode::Decoder::default();
            let mut done = 0;
            for parameter in record.parameters.iter() {
                decoder.take(&parameter);
                done += effort(&parameter);
                if done >= DECODE_TURN {
                    done = 0;
                    tokio::task::yield_now().await;
                }
            }
            Said::Stats(Some(Box::new(decoder.finish(record.domain.id, asked))))
        }
        Call::Job(uuid) => {
            let job = known(remote.call(&DomainGetJobStats { domain: domain(uuid), flags: 0 }).await)?;
            let job = job.map(|job| decode::job(job.kind, job.parameters.iter()));
            return Ok(Ok(Reply::Job(job.map(|(job, unknown)| (job.map(Box::new), unknown)))));
        }
        Call::Prepare => {
            // The answer does not matter: the daemon has probed its emulators.
            remote.call(&ConnectGetCapabilities {}).await?;
            let version = remote.call(&ConnectGetVersion {}).await;
            return match version {
                Ok(version) => Ok(Ok(Reply::Prepared(Some(Version(version))))),
                Err(Error::Libvirt(_)) => Ok(Ok(Reply::Prepared(None))),
                Err(error) => Err(error),
            };
        }
    };
    Ok(Ok(Reply::Said(said)))
}

/// The cost of decoding a parameter, in parameters without a long text.
fn effort(parameter: &Parameter<'_>) -> usize {
    let text = match &parameter.value {
        Value::Text(text) => text.len(),
        _ => 0,
    };
    1 + (parameter.field.len() + text) / DECODE_BYTES
}

async fn list(remote: &mut Remote<Stream>) -> Result<Vec<Listed>, Error> {
    let list = remote.call(&ConnectListAllDomains { need_results: 1, flags: 0 }).await?;
    let listed = |domain: Domain| Listed { uuid: Uuid::from_bytes(domain.uuid), name: domain.name, id: domain.id };
    Ok(list.domains.into_iter().map(listed).collect())
}

/// `None` if the daemon does not know the domain.
fn known<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_no_domain() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn parse(xml: Text) -> Result<Description, Failure> {
    if xml.len() <= XML_INLINE_MAX {
        return understood(&xml);
    }
    match tokio::task::spawn_blocking(move || understood(&xml)).await {
        Ok(understood) => understood,
        Err(_) => Err(Failure::Xml("the agent is ending".to_owned())),
    }
}

fn understood(xml: &Text) -> Result<Description, Failure> {
    let xml = xml.to_str().map_err(|error| Failure::Xml(format!("it is not UTF-8 ({error})")))?;
    domain_xml::parse(xml).map_err(|error| Failure::Xml(error.to_string()))
}

fn ending(end: &End) -> Ending {
    Ending { reason: end.to_string(), hung_up: matches!(end, End::Closed | End::Io(_)) }
}

fn refused(error: SocketError) -> OpenError {
    let text = error.to_string();
    if error.is_mute() {
        OpenError::Mute(text)
    } else if error.is_absent() {
        OpenError::Absent(text)
    } else {
        OpenError::Failed(text)
    }
}

/// What went wrong before the first answer was complete.
fn stranger(route: &Route, error: Error) -> OpenError {
    let place = route.place();
    match error {
        Error::Ended(End::Closed) => OpenError::Failed(format!("{place} hung up: is it a libvirt socket?")),
        Error::Ended(End::Violation(violation)) => {
            OpenError::Failed(format!("what listens on {place} is not libvirt ({violation})"))
        }
        error => OpenError::Failed(advised(route, &error)),
    }
}

/// A daemon's error when it cannot find the user at the other end of its socket.
const NO_SUCH_USER: &str = "Failed to find user record for uid";

/// polkit's error when it cannot find the process at the other end of the daemon's socket.
const NO_SUCH_PROCESS: &str = "Process not found";

/// libvirt's message, with advice where it is known and not in the message.
fn advised(route: &Route, error: &Error) -> String {
    let text = format!("{}: {error}", route.place());
    let advice = if text.contains(NO_SUCH_USER) {
        ": the daemon asks who we are; run the agent as root, or as a user that the daemon's /etc/passwd has"
    } else if text.contains(NO_SUCH_PROCESS) {
        ": the agent runs in a process namespace that the daemon and polkit cannot see, such as another container's; run it \
         as root, or in their process namespace (podman run --pid host, or --pid container:NAME), or let the daemon's \
         read-only socket go without polkit (auth_unix_ro = \"none\" in libvirtd.conf or virtqemud.conf)"
    } else {
        ""
    };
    text + advice
}

fn slow(what: &str) -> OpenError {
    OpenError::Mute(format!("the daemon has not {what} within {OPEN_DEADLINE:?}"))
}

#[cfg(test)]
mod tests {
    use libvirt_remote::xdr::{Decode as _, Reader, Writer};

    use super::*;

    #[tokio::test]
    async fn xml_that_is_not_utf_8_is_told_be_it_long_or_short() {
        for length in [1, XML_INLINE_MAX + 1] {
            let mut body = bytes::BytesMut::new();
            Writer::new(&mut body).bytes(&vec![0xff; length]);
            let xml = Text::decode(&mut Reader::new(&body.freeze())).unwrap();
            let Err(Failure::Xml(said)) = parse(xml).await else { panic!("{length} bytes were understood") };
            assert!(said.starts_with("it is not UTF-8 "), "{said}");
        }
    }

    #[test]
    fn a_long_text_takes_the_turn_of_many_parameters() {
        let of = |value| effort(&Parameter { field: "block.0.path".into(), value });
        assert_eq!(of(Value::ULLong(u64::MAX)), 1);
        assert_eq!(of(Value::Text("vda".into())), 1);
        assert_eq!(of(Value::Text("/".repeat(libvirt_remote::limits::TEXT_MAX).into())), 65);
    }
}
