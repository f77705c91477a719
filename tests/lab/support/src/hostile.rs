//! A fake daemon that speaks libvirt's protocol correctly until it behaves like a compromised launcher.

pub mod large;
pub mod longest;
pub mod words;

use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use uuid::Uuid;

use super::impostor::listen;
use words::{Body, CALL, Call, KEEPALIVE, MESSAGE, Named, REMOTE, REPLY, frame, lifecycle, ping};

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Manner {
    /// Nothing wrong.
    Honest,
    /// Honest, with a VM larger than any test machine can start: [`large`].
    Large,
    /// A frame with the length 0.
    LengthZero,
    /// A frame shorter than its own length word.
    LengthThree,
    /// A frame of 2 GiB.
    LengthMost,
    /// The answer, a byte a second.
    Trickle,
    /// An answer to a call that was not made.
    WrongSerial,
    /// An answer to another procedure.
    WrongProcedure,
    /// An answer of a program that does not exist.
    WrongProgram,
    /// A call instead of an answer.
    WrongType,
    /// An answer whose status is neither success nor error.
    WrongStatus,
    /// The answer, twice.
    TwoReplies,
    /// An answer before anything was asked.
    ReplyBefore,
    /// An array of 2³² − 1 records.
    CountMost,
    /// A text that is longer than its frame.
    LongText,
    /// A typed parameter of a type that does not exist.
    UnknownType,
    /// Parameters with names of 80 bytes, as many as a frame holds.
    LongNames,
    /// One parameter more than there may be.
    TooManyParameters,
    /// An XML that is a byte longer than a text may be.
    LongXml,
    /// Events of registrations and domains that do not exist, without end.
    UnknownEvents,
    /// Events of its domain, without end.
    Events,
    /// Events of ever new unknown domains, without end.
    NewDomains,
    /// PINGs without end.
    Pings,
    /// Enough PINGs to fill the client's buffer for the answers, and nothing read.
    FullOfPongs,
    /// Nothing is read any more.
    ReadsNothing,
    /// It hangs up right after the event registration.
    HangsUp,
    /// It says that it has closed the connection, and goes on.
    SaysClosed,
    /// Statistics are never answered.
    NoStatistics,
    /// 4,096 vCPUs and 1,024 disks, with long aliases.
    Immense,
    /// Another thousand domains each time it is asked.
    Thousands,
    /// The longest possible answer to every question.
    Fullest,
    /// The same without the last byte, which never comes.
    Hoards,
}

impl Manner {
    /// All but the honest ones.
    pub const ALL: [Manner; 30] = [
        Manner::LengthZero,
        Manner::LengthThree,
        Manner::LengthMost,
        Manner::Trickle,
        Manner::WrongSerial,
        Manner::WrongProcedure,
        Manner::WrongProgram,
        Manner::WrongType,
        Manner::WrongStatus,
        Manner::TwoReplies,
        Manner::ReplyBefore,
        Manner::CountMost,
        Manner::LongText,
        Manner::UnknownType,
        Manner::LongNames,
        Manner::TooManyParameters,
        Manner::LongXml,
        Manner::UnknownEvents,
        Manner::Events,
        Manner::NewDomains,
        Manner::Pings,
        Manner::FullOfPongs,
        Manner::ReadsNothing,
        Manner::HangsUp,
        Manner::SaysClosed,
        Manner::NoStatistics,
        Manner::Immense,
        Manner::Thousands,
        Manner::Fullest,
        Manner::Hoards,
    ];

    /// Those that cost the most memory.
    pub const HEAVIEST: [Manner; 8] = [
        Manner::LongNames,
        Manner::TooManyParameters,
        Manner::LongXml,
        Manner::NewDomains,
        Manner::Immense,
        Manner::Thousands,
        Manner::Fullest,
        Manner::Hoards,
    ];

    /// What the log must say if this ends the connection; `None` if it does not.
    pub fn ends_with(self) -> Option<&'static str> {
        Some(match self {
            Manner::LengthZero => "a message of 0 bytes",
            Manner::LengthThree => "a message of 3 bytes",
            Manner::LengthMost => "a message of 2147483647 bytes",
            Manner::Trickle => "has not ended a message within",
            // A launcher has less time for it than a host.
            Manner::Hoards => "has not ended a",
            Manner::WrongSerial | Manner::TwoReplies => "which was not made or has been answered",
            Manner::ReplyBefore => "which was not made or has been answered",
            Manner::WrongProcedure => "an answer to procedure 7",
            Manner::WrongProgram => "a message of the program 0x20008089",
            Manner::WrongType => "a message of type 0",
            Manner::WrongStatus => "a message of type 1 and status 7",
            Manner::CountMost
            | Manner::LongText
            | Manner::UnknownType
            | Manner::LongNames
            | Manner::TooManyParameters => "the answer to virDomainListGetStats is malformed",
            Manner::LongXml => "bytes as the answer to virDomainGetXMLDesc",
            Manner::FullOfPongs | Manner::ReadsNothing => "",
            Manner::HangsUp => "closed the connection",
            Manner::Honest
            | Manner::Large
            | Manner::UnknownEvents
            | Manner::Events
            | Manner::NewDomains
            | Manner::Pings
            | Manner::SaysClosed
            | Manner::NoStatistics
            | Manner::Immense
            | Manner::Thousands
            | Manner::Fullest => return None,
        })
    }
}

impl Manner {
    /// Whether every answer is as long as possible.
    fn is_full(self) -> bool {
        matches!(self, Manner::Fullest | Manner::Hoards)
    }

    /// Whether only time tells: its connection ends after half a minute, and the next one lasts as long.
    pub fn lasts(self) -> bool {
        matches!(self, Manner::Trickle | Manner::FullOfPongs | Manner::ReadsNothing | Manner::Hoards)
    }
}

/// A daemon with one domain; it ends when dropped.
pub struct Hostile {
    shared: Arc<Shared>,
    socket: std::path::PathBuf,
}

struct Shared {
    manner: Manner,
    domain: Named,
    over: AtomicBool,
    /// The connected clients, by connection number.
    clients: Mutex<Vec<(usize, UnixStream)>>,
    connections: AtomicUsize,
}

impl Hostile {
    /// Listens on a socket of this user at an unused path of any length.
    #[track_caller]
    pub fn start(socket: &Path, user: u32, manner: Manner, domain: &str) -> Hostile {
        let listener = listen(socket, user);
        let shared = Arc::new(Shared {
            manner,
            domain: Named { name: domain.to_owned(), uuid: fresh() },
            over: AtomicBool::new(false),
            clients: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if serving.over.load(Ordering::SeqCst) {
                    return;
                }
                let number = serving.connections.fetch_add(1, Ordering::SeqCst);
                let another = client.try_clone().map(|client| (number, client));
                serving.clients.lock().expect("the clients").extend(another);
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || {
                    let _ = Peer { shared: &serving, callbacks: 0 }.serve(&client);
                    let _ = client.shutdown(Shutdown::Both);
                    serving.clients.lock().expect("the clients").retain(|(other, _)| *other != number);
                });
            }
        });
        Hostile { shared, socket: socket.to_owned() }
    }

    /// How often it was connected to.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        for (_, client) in self.shared.clients.lock().expect("the clients").drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
        // Wakes the accepting thread, through a path short enough for a socket.
        let folder = tempfile::tempdir().expect("a temporary folder");
        let short = folder.path().join("sock");
        if std::fs::hard_link(&self.socket, &short).is_ok() {
            let _ = UnixStream::connect(&short);
        }
    }
}

/// One client's other end.
struct Peer<'s> {
    shared: &'s Shared,
    /// Registrations for events.
    callbacks: u32,
}

/// How many kinds of events the agent registers for.
const KINDS: u32 = 8;

/// More PINGs than a socket holds answers to.
const PINGS: usize = 2_000;

/// Long enough for every test.
const FOR_EVER: Duration = Duration::from_secs(600);

impl Peer<'_> {
    fn serve(&mut self, client: &UnixStream) -> std::io::Result<()> {
        let mut client = client;
        if self.shared.manner == Manner::ReplyBefore {
            client.write_all(&frame(REMOTE, 66, REPLY, 77, 0, &Body::of(&[1, 0])))?;
        }
        loop {
            let call = Call::read(&mut client)?;
            if call.program == KEEPALIVE {
                if call.procedure == 1 {
                    client.write_all(&frame(KEEPALIVE, 2, MESSAGE, 0, 0, &Body::default()))?;
                }
                continue;
            }
            let answered = match call.procedure {
                7 | 14 | 344 if self.shared.manner == Manner::Hoards => {
                    let answer = call.reply(&self.proper(call));
                    client.write_all(&answer[..answer.len() - 1])?;
                    true
                }
                344 => self.statistics(client, call)?,
                _ => false,
            };
            if !answered {
                client.write_all(&call.reply(&self.proper(call)))?;
            }
            if call.procedure == 316 {
                self.callbacks += 1;
                if self.callbacks == KINDS {
                    self.introduced(client)?;
                }
            }
        }
    }

    /// What an honest daemon says.
    fn proper(&self, call: Call) -> Body {
        let domain = &self.shared.domain;
        match call.procedure {
            3 => Body::default().text("QEMU"),
            4 | 157 => Body::default().u64(9_000_000),
            7 if self.shared.manner.is_full() => Body::default().text(&" ".repeat(longest::TEXT)),
            7 => Body::default().text("<capabilities/>"),
            14 => Body::default().text(&self.xml()),
            59 | 110 => Body::default().text("hostile.test"),
            60 | 70 => Body::of(&[1]),
            66 => Body::of(&[1, 0]),
            212 => Body::of(&[1, 1]),
            273 => self.list(),
            298 => Body::of(&[0, 0]),
            316 => Body::of(&[self.callbacks + 1]),
            // For the requested domain.
            344 if self.shared.manner.is_full() => {
                let asked = Named { uuid: call.domain.unwrap_or(domain.uuid), ..domain.clone() };
                longest::statistics(Body::of(&[1]).domain(&asked))
            }
            344 => {
                let statistics = Body::of(&[1]).domain(domain).u32(5).int("state.state", 1).int("state.reason", 1);
                let statistics = statistics.figure("cpu.time", 5_000_000_000).figure("balloon.current", 65_536);
                statistics.figure("balloon.rss", 65_536)
            }
            _ => Body::default(),
        }
    }

    fn list(&self) -> Body {
        let mut domains = vec![self.shared.domain.clone()];
        match self.shared.manner {
            Manner::Thousands => domains.extend((0..1_000).map(|_| stranger())),
            Manner::Fullest => domains.extend((1..longest::LISTED).map(|_| stranger())),
            _ => {}
        }
        let count = u32::try_from(domains.len()).expect("a number");
        domains.iter().fold(Body::of(&[count]), |body, domain| body.domain(domain)).u32(count)
    }

    fn xml(&self) -> String {
        let Named { name, uuid } = &self.shared.domain;
        let head = format!("<domain type='kvm'><name>{name}</name><uuid>{uuid}</uuid><devices>");
        match self.shared.manner {
            Manner::LongXml => head + &" ".repeat(4 * 1_024 * 1_024 + 1),
            Manner::Fullest | Manner::Hoards => longest::document(&head),
            Manner::Large => head + &large::disks() + "</devices></domain>",
            Manner::Immense => {
                let disk = |number: usize| {
                    let alias = format!("ua-{number:04}-{}", "a".repeat(1_000));
                    format!("<disk type='file'><target dev='disk{number}'/><alias name='{alias}'/></disk>")
                };
                let disks: String = (0..1_024).map(disk).collect();
                head + &disks + "</devices></domain>"
            }
            _ => head + "</devices></domain>",
        }
    }

    /// What it answers to the call for statistics. `false`: as an honest daemon does.
    fn statistics(&self, mut client: &UnixStream, call: Call) -> std::io::Result<bool> {
        let Call { serial, procedure, .. } = call;
        let proper = self.proper(call);
        let record = || Body::of(&[1]).domain(&self.shared.domain);
        let bytes = match self.shared.manner {
            Manner::LengthZero => Body::of(&[0; 7]).0,
            Manner::LengthThree => Body::of(&[3, REMOTE, 1, procedure, REPLY, serial, 0]).0,
            Manner::LengthMost => Body::of(&[0x7fff_ffff, REMOTE, 1, procedure, REPLY, serial, 0]).0,
            Manner::Trickle => {
                for byte in call.reply(&proper) {
                    client.write_all(&[byte])?;
                    std::thread::sleep(Duration::from_secs(1));
                }
                Vec::new()
            }
            Manner::WrongSerial => frame(REMOTE, procedure, REPLY, serial + 77, 0, &proper),
            Manner::WrongProcedure => frame(REMOTE, 7, REPLY, serial, 0, &proper),
            Manner::WrongProgram => frame(REMOTE + 3, procedure, REPLY, serial, 0, &proper),
            Manner::WrongType => frame(REMOTE, procedure, CALL, serial, 0, &proper),
            Manner::WrongStatus => frame(REMOTE, procedure, REPLY, serial, 7, &proper),
            Manner::TwoReplies => [call.reply(&proper), call.reply(&proper)].concat(),
            Manner::CountMost => call.reply(&Body::of(&[u32::MAX])),
            Manner::LongText => call.reply(&record().u32(1).u32(1_000_000)),
            Manner::UnknownType => call.reply(&record().u32(1).text("cpu.time").u32(99).u64(5)),
            Manner::LongNames => {
                let parameters = (0..50_000).map(|number| format!("{number:080}"));
                call.reply(&parameters.fold(record().u32(50_000), |body, name| body.int(&name, 1)))
            }
            Manner::TooManyParameters => {
                let parameters = (0..262_145).map(|number| format!("v.{number}"));
                call.reply(&parameters.fold(record().u32(262_145), |body, name| body.int(&name, 1)))
            }
            Manner::NoStatistics => Vec::new(),
            Manner::Immense => call.reply(&immense(record())),
            Manner::Large => call.reply(&large::statistics(record())),
            _ => return Ok(false),
        };
        client.write_all(&bytes)?;
        Ok(true)
    }

    /// The agent has registered for its events: this is the connection on which it listens.
    fn introduced(&self, mut client: &UnixStream) -> std::io::Result<()> {
        let burst = |frame: &[u8]| frame.repeat(100);
        let nobody = Named { name: "nobody".to_owned(), uuid: Uuid::nil() };
        let flood = match self.shared.manner {
            Manner::UnknownEvents => burst(&lifecycle(99, &nobody, 4, 0)),
            // Suspended, resumed, suspended …
            Manner::Events => {
                let events = [3, 4].map(|event| lifecycle(1, &self.shared.domain, event, 0));
                burst(&events.concat())
            }
            Manner::Pings => burst(&ping()),
            Manner::NewDomains => loop {
                let strangers: Vec<u8> = (0..100).flat_map(|_| lifecycle(1, &stranger(), 2, 0)).collect();
                client.write_all(&strangers)?;
            },
            Manner::FullOfPongs => {
                client.write_all(&ping().repeat(PINGS))?;
                std::thread::sleep(FOR_EVER);
                return Ok(());
            }
            Manner::ReadsNothing => {
                std::thread::sleep(FOR_EVER);
                return Ok(());
            }
            // The answers that it still owes go first.
            Manner::HangsUp => return client.shutdown(Shutdown::Both),
            Manner::SaysClosed => {
                client.write_all(&frame(REMOTE, 362, MESSAGE, 0, 0, &Body::of(&[1])).repeat(100))?;
                return Ok(());
            }
            _ => return Ok(()),
        };
        // Calls are still answered.
        let mut writer = client.try_clone()?;
        std::thread::spawn(move || while writer.write_all(&flood).is_ok() {});
        Ok(())
    }
}

/// A UUID that no other domain has.
fn fresh() -> Uuid {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    Uuid::from_u64_pair(0x6695_eb01_f6a4_4304, (u64::from(std::process::id()) << 32) + number as u64)
}

fn stranger() -> Named {
    let uuid = fresh();
    Named { name: format!("vm-{uuid}"), uuid }
}

/// More than any machine has.
fn immense(record: Body) -> Body {
    const VCPUS: u32 = 4_096;
    const DISKS: u32 = 1_024;
    let mut body = record.u32(4 + 3 * VCPUS + 3 * DISKS + 1);
    body = body.int("state.state", 1).int("state.reason", 1).figure("cpu.time", 5).figure("balloon.rss", 65_536);
    for number in 0..VCPUS {
        body = body.int(&format!("vcpu.{number}.state"), 1).figure(&format!("vcpu.{number}.time"), 5);
        body = body.figure(&format!("vcpu.{number}.wait"), 5);
    }
    body = body.int("block.count", DISKS);
    for number in 0..DISKS {
        body = body.word(&format!("block.{number}.name"), &format!("disk{number}"));
        body = body.figure(&format!("block.{number}.rd.reqs"), 5).figure(&format!("block.{number}.wr.reqs"), 5);
    }
    body
}
