//! The events of libvirt's library. They come on the thread of its event loop, which must never be held up.

use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use libvirt_remote::{DomainEvent as Raw, EventKind};
use tokio::sync::mpsc;
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::sys;

use crate::libvirt::event::meaning;
use crate::source::DomainEvent;

/// Events that wait to be taken. They are taken within a turn of the runtime; who is so far behind reads everything anew.
const EVENTS_MAX: usize = 1_024;

/// Something that happened to a domain.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::libvirt) struct Told {
    pub(in crate::libvirt) domain: Uuid,
    pub(in crate::libvirt) name: Arc<str>,
    pub(in crate::libvirt) event: DomainEvent,
}

/// Where events are put. Never waited for: what finds no room is counted.
#[derive(Debug, Clone)]
pub(in crate::libvirt) struct Mailbox {
    sender: mpsc::Sender<Told>,
    lost: Arc<AtomicU64>,
}

impl Mailbox {
    /// A mailbox, and where events are taken from it, with the count of those that were lost since it was last taken.
    pub(in crate::libvirt) fn new() -> (Self, mpsc::Receiver<Told>, Arc<AtomicU64>) {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        (Self { sender, lost: Arc::clone(&lost) }, receiver, lost)
    }

    fn put(&self, told: Told) {
        if self.sender.try_send(told).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}

/// The mailboxes by the number that callbacks get as their opaque pointer. A number that is late finds nothing, where a
/// pointer would find what is gone.
#[derive(Default)]
struct Mailboxes {
    last: usize,
    by_number: HashMap<usize, Mailbox>,
}

static MAILBOXES: LazyLock<Mutex<Mailboxes>> = LazyLock::new(Mutex::default);

fn mailboxes() -> MutexGuard<'static, Mailboxes> {
    MAILBOXES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The registrations of one connection. They are taken back when it is dropped.
pub(super) struct Watch {
    /// A connection of its own to deregister with: libvirt counts the references.
    connect: Connect,
    number: usize,
    registrations: Vec<c_int>,
}

impl Watch {
    /// Registers for all kinds of events. Returns how many of them the driver does not have.
    pub(super) fn begin(connect: &Connect, mailbox: Mailbox) -> (Self, u32) {
        let number = {
            let mut all = mailboxes();
            all.last += 1;
            let number = all.last;
            all.by_number.insert(number, mailbox);
            number
        };
        let mut watch = Self { connect: connect.clone(), number, registrations: Vec::new() };
        let mut refused = 0;
        for (kind, callback) in callbacks() {
            let opaque = without_provenance_mut::<c_void>(number);
            // SAFETY: the connection is valid; no domain means all of them; each callback has the signature that libvirt
            // documents for its kind (see `callbacks`); `opaque` is a number that is never dereferenced, so that nothing
            // is to be freed.
            let registration = unsafe {
                let connect = watch.connect.as_ptr();
                sys::virConnectDomainEventRegisterAny(connect, null_mut(), kind.id(), Some(callback), opaque, None)
            };
            if registration < 0 { refused += 1 } else { watch.registrations.push(registration) }
        }
        (watch, refused)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for &registration in &self.registrations {
            // SAFETY: the connection is valid as long as `self`; the number was given by it, and is used once.
            let _ = unsafe { sys::virConnectDomainEventDeregisterAny(self.connect.as_ptr(), registration) };
        }
        mailboxes().by_number.remove(&self.number);
    }
}

type Connection = sys::virConnectPtr;
type Machine = sys::virDomainPtr;
type Opaque = *mut c_void;

type Plain = unsafe extern "C" fn(Connection, Machine, Opaque);
type Lifecycle = unsafe extern "C" fn(Connection, Machine, c_int, c_int, Opaque) -> c_int;
type Device = unsafe extern "C" fn(Connection, Machine, *const c_char, Opaque);
type Listing = unsafe extern "C" fn(Connection, Machine, sys::virTypedParameterPtr, c_int, Opaque);
type Iteration = unsafe extern "C" fn(Connection, Machine, c_int, Opaque);
type Metadata = unsafe extern "C" fn(Connection, Machine, c_int, *const c_char, Opaque);

/// Every kind with its callback, in the one type that libvirt's registration takes.
fn callbacks() -> [(EventKind, Plain); EventKind::ALL.len()] {
    use std::mem::transmute;
    // SAFETY: all are pointers to functions. libvirt calls one with the signature that belongs to the kind that it was
    // registered for, which is the one that it is transmuted from; the common type only carries it there, as
    // VIR_DOMAIN_EVENT_CALLBACK does in C.
    unsafe {
        [
            (EventKind::Lifecycle, transmute::<Lifecycle, Plain>(on_lifecycle)),
            (EventKind::Reboot, on_reboot),
            (EventKind::DeviceRemoved, transmute::<Device, Plain>(on_device_removed)),
            (EventKind::Tunable, transmute::<Listing, Plain>(on_tunable)),
            (EventKind::DeviceAdded, transmute::<Device, Plain>(on_device_added)),
            (EventKind::MigrationIteration, transmute::<Iteration, Plain>(on_iteration)),
            (EventKind::JobCompleted, transmute::<Listing, Plain>(on_job_completed)),
            (EventKind::MetadataChange, transmute::<Metadata, Plain>(on_metadata)),
        ]
    }
}

/// Puts an event into its mailbox. `domain` is lent by libvirt for as long as the callback lasts.
fn put(domain: Machine, opaque: Opaque, event: Raw) {
    // A panic must not cross into C. There is nobody to tell: the event is lost.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let Some(mailbox) = mailboxes().by_number.get(&opaque.addr()).cloned() else { return };
        // SAFETY: libvirt's own reference stands behind the pointer; the wrapper is not dropped, and so gives none back.
        let domain = ManuallyDrop::new(unsafe { Domain::from_ptr(domain) });
        if let (Ok(uuid), Ok(name)) = (domain.uuid(), domain.name()) {
            mailbox.put(Told { domain: uuid, name: name.into(), event: meaning(event) });
        }
    }));
}

unsafe extern "C" fn on_lifecycle(_: Connection, domain: Machine, event: c_int, detail: c_int, to: Opaque) -> c_int {
    put(domain, to, Raw::Lifecycle { event, detail });
    0
}

unsafe extern "C" fn on_reboot(_: Connection, domain: Machine, to: Opaque) {
    put(domain, to, Raw::Reboot);
}

unsafe extern "C" fn on_device_removed(_: Connection, domain: Machine, _: *const c_char, to: Opaque) {
    put(domain, to, Raw::DeviceRemoved);
}

unsafe extern "C" fn on_tunable(_: Connection, domain: Machine, _: sys::virTypedParameterPtr, _: c_int, to: Opaque) {
    put(domain, to, Raw::Tunable);
}

unsafe extern "C" fn on_device_added(_: Connection, domain: Machine, _: *const c_char, to: Opaque) {
    put(domain, to, Raw::DeviceAdded);
}

unsafe extern "C" fn on_iteration(_: Connection, domain: Machine, iteration: c_int, to: Opaque) {
    put(domain, to, Raw::MigrationIteration { iteration });
}

unsafe extern "C" fn on_job_completed(
    _: Connection,
    domain: Machine,
    _: sys::virTypedParameterPtr,
    _: c_int,
    to: Opaque,
) {
    put(domain, to, Raw::JobCompleted);
}

unsafe extern "C" fn on_metadata(_: Connection, domain: Machine, _: c_int, _: *const c_char, to: Opaque) {
    put(domain, to, Raw::MetadataChange);
}
