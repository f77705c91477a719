//! Events from libvirt's library. They arrive on the thread of its event loop, which must never be blocked.

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

/// How many events may wait. They are received within a turn of the runtime; a receiver this far behind reads
/// everything again.
const EVENTS_MAX: usize = 1_024;

/// Something that happened to a domain.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::libvirt) struct Told {
    pub(in crate::libvirt) domain: Uuid,
    pub(in crate::libvirt) name: Arc<str>,
    pub(in crate::libvirt) event: DomainEvent,
}

/// Where events are put. It never blocks: events that do not fit are counted.
#[derive(Debug, Clone)]
pub(in crate::libvirt) struct Mailbox {
    sender: mpsc::Sender<Told>,
    lost: Arc<AtomicU64>,
}

impl Mailbox {
    /// A mailbox, its receiver, and the counter of events lost since its reader last reset it.
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

/// The mailboxes by the number that callbacks get as their opaque pointer. In a late callback, the number finds
/// nothing, where a real pointer would dangle.
#[derive(Default)]
struct Mailboxes {
    last: usize,
    by_number: HashMap<usize, Mailbox>,
}

static MAILBOXES: LazyLock<Mutex<Mailboxes>> = LazyLock::new(Mutex::default);

fn mailboxes() -> MutexGuard<'static, Mailboxes> {
    MAILBOXES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The event registrations of one connection, removed on drop.
pub(super) struct Watch {
    /// Its own reference to the connection, to deregister with.
    connect: Connect,
    number: usize,
    registrations: Vec<c_int>,
}

impl Watch {
    /// Registers for all event types that the driver supports.
    pub(super) fn begin(connect: &Connect, mailbox: Mailbox) -> Self {
        let number = {
            let mut all = mailboxes();
            all.last += 1;
            let number = all.last;
            all.by_number.insert(number, mailbox);
            number
        };
        let mut watch = Self { connect: connect.clone(), number, registrations: Vec::new() };
        for (kind, callback) in callbacks() {
            let opaque = without_provenance_mut::<c_void>(number);
            // SAFETY: the connection is valid; NULL stands for all domains; each callback has the signature that
            // libvirt documents for its kind (see `callbacks`); `opaque` is a number that is never dereferenced, so
            // nothing has to be freed.
            let registration = unsafe {
                let connect = watch.connect.as_ptr();
                sys::virConnectDomainEventRegisterAny(connect, null_mut(), kind.id(), Some(callback), opaque, None)
            };
            if registration >= 0 {
                watch.registrations.push(registration);
            }
        }
        watch
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for &registration in &self.registrations {
            // SAFETY: the connection is valid as long as `self`; it issued the number, which is used once.
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

/// Every event type with its callback, cast to the one type that libvirt's registration takes.
fn callbacks() -> [(EventKind, Plain); EventKind::ALL.len()] {
    use std::mem::transmute;
    // SAFETY: all are function pointers. libvirt calls each with the signature of the kind that it was registered for,
    // which is the one it is transmuted from; the common type only passes it on, as VIR_DOMAIN_EVENT_CALLBACK does in
    // C.
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

/// Puts an event into its mailbox. libvirt lends `domain` for the duration of the callback.
fn put(domain: Machine, opaque: Opaque, event: Raw) {
    // A panic must not cross into C. It cannot be reported: the event is lost.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let Some(mailbox) = mailboxes().by_number.get(&opaque.addr()).cloned() else { return };
        // SAFETY: libvirt holds a reference for the pointer; the wrapper is not dropped, and so releases none.
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
