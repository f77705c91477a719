//! The only module with unsafe code: libvirt's own library, for drivers that run inside it and have no daemon.
//!
//! Everything here blocks. A [`Connection`] stays on the thread that opened it; callers with a deadline wait on another
//! thread. Only owned plain data leaves this module.
//!
//! Rules of this module:
//!
//! - Connections are read-only, and no function that changes, probes or wakes a domain is used.
//! - Safe methods of the crate `virt` are used where they are correct. Those for a domain's state (hides errors), for
//!   its job and for statistics (they free libvirt's memory otherwise than libvirt documents, or never) are not.
//! - A guard owns what libvirt allocates from the moment it is seen. The data is copied or decoded before it drops.
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

/// The longest XML document that is parsed: the limit of libvirt's protocol, which the library does not enforce on its
/// own drivers.
const XML_MAX: usize = libvirt_remote::limits::STRING_MAX;

/// How long libvirt's event loop pauses after an error, so that a persistent one costs nothing.
const LOOP_PAUSE: Duration = Duration::from_millis(100);

/// The result of what is done once per process: libvirt has one event loop and one error printer.
static READY: OnceLock<Result<(), Failure>> = OnceLock::new();

/// Stops libvirt from printing to stderr and runs its event loop on a thread of its own. Must precede the first
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
    /// The XML could not be parsed.
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
    // Dropped before the connection: libvirt keeps a connection that still has registrations.
    watch: Option<Watch>,
    connect: Connect,
}

impl Connection {
    /// `virConnectOpenReadOnly`. Blocks without limit: the driver's host may be remote and unresponsive.
    pub(super) fn open(uri: &str) -> Result<Self, Failure> {
        ready()?;
        if uri.contains('\0') {
            return Err(Failure::Refused("the URI contains a NUL character".to_owned()));
        }
        Ok(Self { watch: None, connect: Connect::open_read_only(Some(uri))? })
    }

    /// Sends the events of all domains to a mailbox.
    pub(super) fn watch(&mut self, mailbox: Mailbox) {
        // Deregister the old watch first.
        self.watch = None;
        self.watch = Some(Watch::begin(&self.connect, mailbox));
    }

    /// Whether the driver considers its connection alive.
    fn is_alive(&self) -> bool {
        self.connect.is_alive().unwrap_or(false)
    }

    /// Liveness check: the host's name, for which a driver has to ask the host. The library itself answers
    /// `virConnectGetLibVersion`, even if the host is gone.
    pub(super) fn sign(&self) -> Result<(), Failure> {
        match self.connect.hostname().map_err(Failure::from) {
            Ok(_) | Err(Failure::Unsupported(_)) if self.is_alive() => Ok(()),
            Ok(_) | Err(Failure::Unsupported(_)) => Err(Failure::Refused("the connection is closed".to_owned())),
            Err(failure) => Err(failure),
        }
    }

    /// Facts about the driver. The host name is empty if the driver does not know it.
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

    /// `virDomainGetXMLDesc` of the running configuration, without secrets; `None` if the driver does not know the
    /// domain.
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
            // SAFETY: `domains` ends with NULL; `records` frees what libvirt puts into it.
            let count =
                unsafe { sys::virDomainListGetStats(domains.as_mut_ptr(), bits(asked), records.slot(), NOWAIT) };
            if count < 0 {
                return Err(Error::last_error().into());
            }
            // SAFETY: libvirt has just reported that it put `count` records there.
            let record = unsafe { records.first(count) };
            Ok(record.map(|record| {
                let mut decoder = decode::Decoder::default();
                record.each(|parameter| decoder.take(&parameter));
                decoder.finish(record.id(), asked)
            }))
        })?;
        Ok(stats.flatten())
    }

    /// `virDomainGetJobStats` of the running job, and the number of unknown parameters; `None` if the driver does not
    /// know the domain.
    pub(super) fn job(&self, uuid: Uuid) -> Result<Option<(Option<Job>, u32)>, Failure> {
        self.with_domain(uuid, |domain| {
            let mut kind: c_int = 0;
            let mut parameters = Parameters::none();
            let (first, count) = parameters.slots();
            // SAFETY: the handle is valid as long as `domain`; the pointers are to variables of this frame, and
            // `parameters` frees what libvirt puts there.
            let code = unsafe { sys::virDomainGetJobStats(domain.as_ptr(), &raw mut kind, first, count, 0) };
            if code < 0 {
                return Err(Error::last_error().into());
            }
            // SAFETY: libvirt has just filled in both.
            let parameters = unsafe { parameters.all() };
            Ok(decode::job(kind, parameters.iter().filter_map(parameters::read)))
        })
    }

    /// Looks the domain up and calls `call` with it. `None` if the driver does not know it (any more).
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
