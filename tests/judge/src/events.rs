//! The events that libvirt's library receives.
#![expect(unsafe_code, reason = "the crate `virt` has no method for events of domains")]

use std::ffi::{c_char, c_int, c_void};
use std::mem::{ManuallyDrop, transmute};
use std::ptr::null_mut;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use libvirt_remote::{DomainEvent, EventKind};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::sys;

use crate::library::Library;
use crate::plain::{Fault, Machine};

/// Most events in the queue: more than any test causes.
const EVENTS_MAX: usize = 4_096;

/// An event: the domain, with its id at that moment, and what happened.
pub type Heard = (Machine, DomainEvent);

/// Receives every kind of event that `libvirt-remote` knows.
#[derive(Debug)]
pub struct Listener {
    connect: Connect,
    registrations: Vec<c_int>,
    heard: Receiver<Heard>,
    /// How many kinds of events the daemon does not have.
    pub refused: u32,
}

impl Listener {
    /// Registers for all domains.
    ///
    /// # Errors
    ///
    /// libvirt's, for lifecycle events, which every daemon has.
    pub fn new(library: &Library) -> Result<Self, Fault> {
        let (sender, heard) = sync_channel(EVENTS_MAX);
        let mut listener = Self { connect: library.connect.clone(), registrations: Vec::new(), heard, refused: 0 };
        for kind in EventKind::ALL {
            match listener.register(kind, sender.clone()) {
                Ok(registration) => listener.registrations.push(registration),
                Err(fault) if kind == EventKind::Lifecycle => return Err(fault),
                Err(_) => listener.refused += 1,
            }
        }
        Ok(listener)
    }

    fn register(&self, kind: EventKind, sender: SyncSender<Heard>) -> Result<c_int, Fault> {
        let opaque = Box::into_raw(Box::new(sender));
        // SAFETY: the connection is valid; no domain means all of them; the callback has the signature of its kind (see
        // `callback`); libvirt owns the box `opaque` from now on, and passes it to `free` when no callback will use it
        // any more.
        let registration = unsafe {
            sys::virConnectDomainEventRegisterAny(
                self.connect.as_ptr(),
                null_mut(),
                kind.id(),
                Some(callback(kind)),
                opaque.cast(),
                Some(free),
            )
        };
        if registration >= 0 {
            return Ok(registration);
        }
        let fault = virt::error::Error::last_error().into();
        // SAFETY: libvirt has refused it, and so will neither use nor free it.
        drop(unsafe { Box::from_raw(opaque) });
        Err(fault)
    }

    /// The next event; `None` if there is none in time.
    #[must_use]
    pub fn next(&self, within: Duration) -> Option<Heard> {
        self.heard.recv_timeout(within).ok()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        for &registration in &self.registrations {
            // SAFETY: the connection is valid as long as `self`; it gave this number, which is used once.
            unsafe { sys::virConnectDomainEventDeregisterAny(self.connect.as_ptr(), registration) };
        }
    }
}

type Plain = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);
type Number = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, *mut c_void);
type Numbers = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void) -> c_int;
type Text = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *const c_char, *mut c_void);
type NumberAndText = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, *const c_char, *mut c_void);
type Parameters =
    unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, sys::virTypedParameterPtr, c_int, *mut c_void);

/// The callback of a kind, in the one type that the registration takes.
fn callback(kind: EventKind) -> Plain {
    // SAFETY: libvirt calls each function with the signature that the pointer is transmuted from, as documented for the
    // kind that it is registered for.
    unsafe {
        match kind {
            EventKind::Lifecycle => transmute::<Numbers, Plain>(lifecycle),
            EventKind::Reboot => reboot,
            EventKind::DeviceRemoved => transmute::<Text, Plain>(device_removed),
            EventKind::Tunable => transmute::<Parameters, Plain>(tunable),
            EventKind::DeviceAdded => transmute::<Text, Plain>(device_added),
            EventKind::MigrationIteration => transmute::<Number, Plain>(migration_iteration),
            EventKind::JobCompleted => transmute::<Parameters, Plain>(job_completed),
            EventKind::MetadataChange => transmute::<NumberAndText, Plain>(metadata_change),
        }
    }
}

unsafe extern "C" fn free(opaque: *mut c_void) {
    // SAFETY: the box that `register` gave to libvirt, given back once.
    drop(unsafe { Box::from_raw(opaque.cast::<SyncSender<Heard>>()) });
}

/// # Safety
///
/// libvirt lends `domain`, and `opaque` is the box of a sender that still exists.
unsafe fn hear(domain: sys::virDomainPtr, opaque: *mut c_void, what: DomainEvent) {
    // SAFETY: the caller's promise; the wrapper is not dropped, and so releases no reference.
    let (domain, sender) =
        unsafe { (ManuallyDrop::new(Domain::from_ptr(domain)), &*opaque.cast::<SyncSender<Heard>>()) };
    if let Ok(machine) = Library::machine(&domain) {
        // The comparison notices an event that is not queued.
        let _ = sender.try_send((machine, what));
    }
}

unsafe extern "C" fn lifecycle(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    event: c_int,
    detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: libvirt's promise to a callback.
    unsafe { hear(domain, opaque, DomainEvent::Lifecycle { event, detail }) };
    0
}

unsafe extern "C" fn reboot(_: sys::virConnectPtr, domain: sys::virDomainPtr, opaque: *mut c_void) {
    // SAFETY: libvirt's promise to a callback.
    unsafe { hear(domain, opaque, DomainEvent::Reboot) };
}

unsafe extern "C" fn device_removed(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt's promise to a callback.
    unsafe { hear(domain, opaque, DomainEvent::DeviceRemoved) };
}

unsafe extern "C" fn device_added(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt's promise to a callback.
    unsafe { hear(domain, opaque, DomainEvent::DeviceAdded) };
}

unsafe extern "C" fn tunable(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _: sys::virTypedParameterPtr,
    _: c_int,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt's promise to a callback.
    unsafe { hear(domain, opaque, DomainEvent::Tunable) };
}

unsafe extern "C" fn migration_iteration(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    iteration: c_int,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt's promise to a callback.
    unsafe { hear(domain, opaque, DomainEvent::MigrationIteration { iteration }) };
}

unsafe extern "C" fn job_completed(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _: sys::virTypedParameterPtr,
    _: c_int,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt's promise to a callback.
    unsafe { hear(domain, opaque, DomainEvent::JobCompleted) };
}

unsafe extern "C" fn metadata_change(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _: c_int,
    _: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt's promise to a callback.
    unsafe { hear(domain, opaque, DomainEvent::MetadataChange) };
}
