//! The one room with unsafe code: libvirt's own library, for the drivers that live in it and that no daemon serves.
//!
//! Everything here blocks: a [`Connection`] stays on the thread that opened it, and whoever wants an answer in time asks
//! from another one. What leaves is owned plain data.
//!
//! Rules that hold in here:
//!
//! - Connections are read-only, and no function that changes, probes or wakes a domain is named.
//! - Where the crate `virt` has a safe method that keeps what it promises, it is taken. Those for a domain's state (it
//!   hides errors), for its job and for statistics (they free what libvirt has allocated in another way than libvirt says,
//!   or never) are not.
//! - What libvirt allocates is owned by a guard from the moment it is seen, and copied or decoded before the guard goes.
#![expect(unsafe_code, reason = "the one room with unsafe code; every block says why it is sound")]

mod events;
mod parameters;

use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::{Error, ErrorNumber};
use virt::sys;

pub(super) use self::events::{Mailbox, Told};

use self::events::Watch;
use self::parameters::{Parameters, Records};
use super::groups::{NOWAIT, bits};
use super::{decode, domain_xml};
use crate::model::{DaemonFacts, Description, Group, Groups, Job, Status, Version};
use crate::source::{Listed, Stats};

/// The longest XML document that is understood: what libvirt's protocol allows, which the library does not hold its own
/// drivers to.
const XML_MAX: usize = libvirt_remote::limits::STRING_MAX;

/// How long libvirt's event loop rests after an error, so that one that lasts costs nothing.
const LOOP_PAUSE: Duration = Duration::from_millis(100);

/// What is done once per process, and how it went: libvirt has one event loop and one error printer.
static READY: OnceLock<Result<(), Failure>> = OnceLock::new();

/// Silences libvirt's printing to stderr and starts its event loop on a thread of its own. Must precede the first
/// connection: those opened before it never get events.
fn ready() -> Result<(), Failure> {
    READY
        .get_or_init(|| {
            virt::error::clear_error_callback();
            virt::event::event_register_default_impl()?;
            let turns = thread::Builder::new().name("libvirt events".to_owned()).spawn(|| {
                loop {
                    if virt::event::event_run_default_impl().is_err() {
                        thread::park_timeout(LOOP_PAUSE);
                    }
                }
            });
            turns.map(drop).map_err(|error| Failure::Refused(format!("no thread for libvirt's event loop: {error}")))
        })
        .clone()
}

/// Why the library gives no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The driver does not have this function.
    #[error("{0}")]
    Unsupported(String),
    /// The driver does not know the domain.
    #[error("{0}")]
    NoDomain(String),
    /// libvirt refused or failed, in its own words.
    #[error("{0}")]
    Refused(String),
    /// The XML came and could not be understood.
    #[error("{0}")]
    Xml(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.message().to_owned();
        if error.code().is(ErrorNumber::NoDomain) {
            Self::NoDomain(message)
        } else if error.code().is(ErrorNumber::NoSupport) {
            Self::Unsupported(message)
        } else {
            Self::Refused(message)
        }
    }
}

/// A read-only connection to a driver in libvirt's library.
pub(super) struct Connection {
    // Before the connection: libvirt keeps a connection for which something is still registered.
    watch: Option<Watch>,
    connect: Connect,
}

impl Connection {
    /// `virConnectOpenReadOnly`. Blocks as long as it takes: whatever the driver speaks to may be far away and mute.
    pub(super) fn open(uri: &str) -> Result<Self, Failure> {
        ready()?;
        if uri.contains('\0') {
            return Err(Failure::Refused("the URI contains a NUL character".to_owned()));
        }
        Ok(Self { watch: None, connect: Connect::open_read_only(Some(uri))? })
    }

    /// Lets the events of all domains come into a mailbox. Returns how many kinds of events the driver does not have.
    pub(super) fn watch(&mut self, mailbox: Mailbox) -> u32 {
        // The old one first: it is of no use any more.
        self.watch = None;
        let (watch, refused) = Watch::begin(&self.connect, mailbox);
        self.watch = Some(watch);
        refused
    }

    /// Whether the driver believes that what it speaks to is still there.
    fn is_alive(&self) -> bool {
        self.connect.is_alive().unwrap_or(false)
    }

    /// Asks for a sign of life: the host's name, for which a driver asks the host. The library answers
    /// `virConnectGetLibVersion` itself, whoever is gone.
    pub(super) fn sign(&self) -> Result<(), Failure> {
        match self.connect.hostname().map_err(Failure::from) {
            Ok(_) | Err(Failure::Unsupported(_)) if self.is_alive() => Ok(()),
            Ok(_) | Err(Failure::Unsupported(_)) => Err(Failure::Refused("the connection is closed".to_owned())),
            Err(failure) => Err(failure),
        }
    }

    /// Who it is that answers. A driver that does not know its host's name has none.
    pub(super) fn facts(&self) -> Result<DaemonFacts, Failure> {
        let host_name = match self.connect.hostname().map_err(Failure::from) {
            Ok(name) => name,
            Err(Failure::Unsupported(_)) => String::new(),
            Err(failure) => return Err(failure),
        };
        Ok(DaemonFacts {
            host_name: host_name.into(),
            driver: self.connect.driver_type()?.into(),
            libvirt: self.connect.lib_version().ok().map(|version| Version(version.into())),
            hypervisor: None,
        })
    }

    /// `virConnectGetCapabilities`, then `virConnectGetVersion`.
    pub(super) fn prepare(&self) -> Result<Option<Version>, Failure> {
        match self.connect.capabilities().map_err(Failure::from) {
            Ok(_) | Err(Failure::Unsupported(_)) => {}
            Err(failure) => return Err(failure),
        }
        Ok(self.connect.hyp_version().ok().map(|version| Version(version.into())))
    }

    /// `virConnectListAllDomains`
    pub(super) fn list(&self) -> Result<Vec<Listed>, Failure> {
        let listed = |domain: &Domain| -> Result<Listed, Failure> {
            Ok(Listed { uuid: domain.uuid()?, name: domain.name()?.into(), id: domain.id() })
        };
        self.connect.list_all_domains(0)?.iter().map(listed).collect()
    }

    /// `virDomainGetState`; `None` if the driver does not know the domain.
    pub(super) fn status(&self, uuid: Uuid) -> Result<Option<Status>, Failure> {
        self.with_domain(uuid, |domain| {
            let (mut state, mut reason): (c_int, c_int) = (0, 0);
            // SAFETY: the handle is valid as long as `domain`; both pointers are to variables of this frame.
            let code = unsafe { sys::virDomainGetState(domain.as_ptr(), &raw mut state, &raw mut reason, 0) };
            if code < 0 {
                return Err(Error::last_error().into());
            }
            Ok(Status::from_libvirt(state.into(), reason.into()))
        })
    }

    /// `virDomainGetXMLDesc` of the running configuration, without secrets; `None` if the driver does not know the domain.
    pub(super) fn describe(&self, uuid: Uuid) -> Result<Option<Description>, Failure> {
        self.with_domain(uuid, |domain| {
            let xml = domain.xml_desc(0)?;
            if xml.len() > XML_MAX {
                return Err(Failure::Xml(format!("it has {} bytes, where {XML_MAX} are allowed", xml.len())));
            }
            domain_xml::parse(&xml).map_err(|error| Failure::Xml(error.to_string()))
        })
    }

    /// `virDomainListGetStats` of one domain, NOWAIT; `None` if the driver does not know it.
    pub(super) fn stats(&self, uuid: Uuid, groups: Groups) -> Result<Option<Stats>, Failure> {
        let mut asked = groups;
        // The state is always in the answer, and without it the other figures cannot be trusted.
        asked.insert(Group::State);
        let stats = self.with_domain(uuid, |domain| {
            // SAFETY: the handle is valid as long as `domain`, which outlives the array.
            let mut domains = [unsafe { domain.as_ptr() }, null_mut()];
            let mut records = Records::none();
            // SAFETY: `domains` ends with NULL; what libvirt puts into `records` is freed by that.
            let count =
                unsafe { sys::virDomainListGetStats(domains.as_mut_ptr(), bits(asked), records.slot(), NOWAIT) };
            if count < 0 {
                return Err(Error::last_error().into());
            }
            // SAFETY: libvirt has just said that it has put so many records there.
            let record = unsafe { records.first(count) };
            Ok(record.map(|record| {
                let mut decoder = decode::Decoder::default();
                record.each(|parameter| decoder.take(&parameter));
                decoder.finish(record.id(), asked)
            }))
        })?;
        Ok(stats.flatten())
    }

    /// `virDomainGetJobStats` of the job that is going on, and the number of parameters that are not known; `None` if the
    /// driver does not know the domain.
    pub(super) fn job(&self, uuid: Uuid) -> Result<Option<(Option<Job>, u32)>, Failure> {
        self.with_domain(uuid, |domain| {
            let mut kind: c_int = 0;
            let mut parameters = Parameters::none();
            let (first, count) = parameters.slots();
            // SAFETY: the handle is valid as long as `domain`; the pointers are to variables of this frame, and what
            // libvirt puts there is freed by `parameters`.
            let code = unsafe { sys::virDomainGetJobStats(domain.as_ptr(), &raw mut kind, first, count, 0) };
            if code < 0 {
                return Err(Error::last_error().into());
            }
            // SAFETY: libvirt has just filled in both.
            let parameters = unsafe { parameters.all() };
            Ok(decode::job(kind, parameters.iter().filter_map(parameters::read)))
        })
    }

    /// Looks the domain up, and calls with it. `None` if the driver does not know it (any more).
    fn with_domain<T>(
        &self,
        uuid: Uuid,
        call: impl FnOnce(&Domain) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        let answer = self.connect.lookup_domain_by_uuid(uuid).map_err(Failure::from).and_then(|domain| call(&domain));
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(Failure::NoDomain(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
