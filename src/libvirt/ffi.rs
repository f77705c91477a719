//! The one room with unsafe code: libvirt's C library, as owned plain data.
//!
//! Rules that hold in here, each for a reason that was measured:
//!
//! - A [`Connection`] is owned by whoever calls through it and every call takes `&mut self`: it carries at most one
//!   call at a time. Two calls and a keepalive time-out at once crash the client library of libvirt 9.
//! - Connections are read-only, and no function that changes, probes or wakes a domain is named here.
//! - Whatever is registered on a connection is taken off again before it is closed, else libvirt keeps the connection
//!   and its file descriptors for ever. It is closed once, and nothing here ever panics over a failing close.
//! - What libvirt allocates is owned by a guard from the moment it is seen. What leaves is a copy: texts are decoded
//!   lossily and cut at [`TEXT_MAX`](super::raw::TEXT_MAX).
//! - Callbacks get a number, not a pointer: a late one finds nothing under its number and goes away. They never block
//!   (but for the few instructions under the table's lock) and never unwind into C.
#![expect(unsafe_code, reason = "the one room with unsafe code; every block says why it is sound")]

mod event_loop;

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::sys;

use super::decode::{Parameter, ParameterValue};
use super::event::RawEvent;
use super::raw::{Failure, RawStats, Sink, bits, bounded};
use crate::model::{DaemonFacts, Groups, Version};
use crate::source::Listed;

/// Most parameters of one record that are looked at. libvirt's protocol allows 4,096 for one domain.
const PARAMETERS_MAX: usize = 4096;

/// Domain handles that a connection keeps. A node has a thousand domains at most; where many come and go, all are
/// forgotten now and then, which costs a look-up each (0.1 ms).
const HANDLES_MAX: usize = 4096;

/// What is done once per process, and how it went: libvirt has one event loop implementation and one error printer.
static INITIALISED: OnceLock<Result<(), Failure>> = OnceLock::new();

/// Silences libvirt's printing to stderr and starts its event loop on a thread of its own, once per process. Must
/// precede the first connection: those opened before it never get events or keepalives.
pub(crate) fn initialise() -> Result<(), Failure> {
    INITIALISED
        .get_or_init(|| {
            virt::error::clear_error_callback();
            event_loop::start()
        })
        .clone()
}

/// The sinks by the number that callbacks get as their opaque pointer.
static SINKS: LazyLock<Mutex<Sinks>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Sinks {
    last: usize,
    by_number: HashMap<usize, Arc<dyn Sink>>,
}

fn sinks() -> MutexGuard<'static, Sinks> {
    SINKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections that libvirt kept after their close, because something still referred to them: 0 if this file is right.
static UNRELEASED: AtomicUsize = AtomicUsize::new(0);

/// A domain handle: libvirt's reference is given back when it is dropped. (`virt`'s own drop panics on an error.)
struct Handle(ManuallyDrop<Domain>);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the pointer is valid: `self` owns one reference, given back here and nowhere else.
        let _ = unsafe { sys::virDomainFree(self.0.as_ptr()) };
    }
}

/// A read-only connection to a libvirt daemon.
pub(crate) struct Connection {
    /// Never dropped by `virt`, whose drop panics on an error: see this type's own.
    connect: ManuallyDrop<Connect>,
    /// Kept so that a reading costs no look-up, which would wait for a VM's lock.
    handles: HashMap<Uuid, Handle>,
    callbacks: Vec<c_int>,
    close_callback: sys::virConnectCloseFunc,
    sink: Option<usize>,
}

impl Connection {
    /// `virConnectOpenReadOnly`. Blocks without bound on a daemon that accepts and is mute.
    pub(crate) fn open(uri: &str) -> Result<Self, Failure> {
        initialise()?;
        if uri.contains('\0') {
            return Err(Failure::ours("the URI contains a NUL character"));
        }
        let connect = ManuallyDrop::new(Connect::open_read_only(Some(uri))?);
        Ok(Self { connect, handles: HashMap::new(), callbacks: Vec::new(), close_callback: None, sink: None })
    }

    fn ptr(&self) -> sys::virConnectPtr {
        // SAFETY: the pointer is valid as long as `self`, which outlives every use of it in this file.
        unsafe { self.connect.as_ptr() }
    }

    /// `virConnectSetKeepAlive`: the connection is closed when `count` pings, one every `interval` seconds, stay
    /// unanswered.
    pub(crate) fn keep_alive(&mut self, interval: i32, count: u32) -> Result<(), Failure> {
        Ok(self.connect.set_keep_alive(interval, count)?)
    }

    /// Registers for all events of all domains and for the end of the connection. Returns how many kinds of events
    /// the daemon does not know: an older one goes on without them. Once per connection.
    pub(crate) fn watch(&mut self, sink: Arc<dyn Sink>) -> Result<u32, Failure> {
        if self.sink.is_some() {
            return Err(Failure::ours("the connection is already watched"));
        }
        let number = {
            let mut sinks = sinks();
            sinks.last += 1;
            let number = sinks.last;
            sinks.by_number.insert(number, sink);
            number
        };
        self.sink = Some(number);
        let opaque = std::ptr::without_provenance_mut::<c_void>(number);
        let closed: unsafe extern "C" fn(sys::virConnectPtr, c_int, *mut c_void) = on_close;
        // SAFETY: the connection is valid; `opaque` is a number that is never dereferenced, so nothing needs freeing;
        // the callback has the signature of virConnectCloseFunc.
        if unsafe { sys::virConnectRegisterCloseCallback(self.ptr(), Some(closed), opaque, None) } < 0 {
            return Err(Failure::last());
        }
        self.close_callback = Some(closed);
        let mut refused = 0;
        for (event, callback) in event_callbacks() {
            // SAFETY: as above; no domain means all of them; each callback has the signature that libvirt documents
            // for its event id (see `event_callbacks`).
            let id = unsafe {
                sys::virConnectDomainEventRegisterAny(self.ptr(), null_mut(), event, Some(callback), opaque, None)
            };
            if id < 0 { refused += 1 } else { self.callbacks.push(id) }
        }
        Ok(refused)
    }

    /// Whether the connection can still be used. Asks nobody.
    pub(crate) fn is_alive(&self) -> bool {
        self.connect.is_alive().unwrap_or(false)
    }

    /// `virConnectGetLibVersion`: the smallest call that the daemon itself answers, without any domain's lock.
    pub(crate) fn ping(&mut self) -> Result<(), Failure> {
        self.connect.lib_version()?;
        Ok(())
    }

    /// `virConnectGetCapabilities`: makes a fresh daemon probe its QEMU binaries now (seconds) rather than in the
    /// first reading, where it would hold a VM's lock.
    pub(crate) fn capabilities(&mut self) -> Result<(), Failure> {
        self.connect.capabilities()?;
        Ok(())
    }

    /// What the daemon says of itself. A version that it cannot tell is `None`.
    pub(crate) fn facts(&mut self) -> Result<DaemonFacts, Failure> {
        Ok(DaemonFacts {
            host_name: bounded(self.connect.hostname()?.as_bytes()).into(),
            driver: bounded(self.connect.driver_type()?.as_bytes()).into(),
            libvirt: self.connect.lib_version().ok().map(|version| Version(u64::from(version))),
            hypervisor: self.connect.hyp_version().ok().map(|version| Version(u64::from(version))),
        })
    }

    /// `virConnectListAllDomains`. Keeps the handles of those that are listed and forgets all others.
    pub(crate) fn list(&mut self) -> Result<Vec<Listed>, Failure> {
        let domains = self.connect.list_all_domains(0)?;
        // All are owned by a guard before anything else is done with them.
        let domains: Vec<Handle> = domains.into_iter().map(|domain| Handle(ManuallyDrop::new(domain))).collect();
        let mut listed = Vec::with_capacity(domains.len());
        self.handles.clear();
        for domain in domains {
            let uuid = domain.0.uuid()?;
            let name = bounded(domain.0.name()?.as_bytes()).into();
            listed.push(Listed { uuid, name, id: domain.0.id() });
            self.handles.insert(uuid, domain);
        }
        Ok(listed)
    }

    /// `virDomainGetState`: state and reason; `None` if the daemon does not know the domain.
    pub(crate) fn state(&mut self, uuid: Uuid) -> Result<Option<(i32, i32)>, Failure> {
        self.with_domain(uuid, |domain| {
            let (mut state, mut reason) = (0, 0);
            // SAFETY: the handle is valid; both pointers are to variables of this frame.
            let rc = unsafe { sys::virDomainGetState(domain.as_ptr(), &raw mut state, &raw mut reason, 0) };
            if rc < 0 { Err(Failure::last()) } else { Ok(Some((state, reason))) }
        })
    }

    /// `virDomainGetXMLDesc` of the running configuration, without secrets; `None` if the daemon does not know the
    /// domain. libvirt's protocol bounds it at 4 MiB.
    pub(crate) fn xml(&mut self, uuid: Uuid) -> Result<Option<String>, Failure> {
        self.with_domain(uuid, |domain| Ok(Some(domain.xml_desc(0)?)))
    }

    /// `virDomainListGetStats` of this one domain, NOWAIT; `None` if the daemon does not know it. The state is always
    /// read with the groups.
    pub(crate) fn stats(&mut self, uuid: Uuid, groups: Groups) -> Result<Option<RawStats>, Failure> {
        self.with_domain(uuid, |domain| {
            // SAFETY: the handle is valid for the duration of the closure.
            let mut domains = [unsafe { domain.as_ptr() }, null_mut()];
            let mut records: *mut sys::virDomainStatsRecordPtr = null_mut();
            let flags = sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT;
            // SAFETY: `domains` is an array that ends with NULL, `records` receives an array that the guard frees.
            let count =
                unsafe { sys::virDomainListGetStats(domains.as_mut_ptr(), bits(groups), &raw mut records, flags) };
            if count < 0 {
                return Err(Failure::last());
            }
            let records = Records(records);
            if count == 0 || records.0.is_null() {
                return Ok(None);
            }
            // SAFETY: `count` is at least 1, so the first element is a record, valid until the guard is dropped.
            let record = unsafe { &**records.0 };
            // SAFETY: the record owns a reference to its domain; the wrapper is not dropped and so gives none back.
            let answered = ManuallyDrop::new(unsafe { Domain::from_ptr(record.dom) });
            // SAFETY: the record says how many parameters it has, and owns them.
            let parameters = unsafe { copy(record.params, record.nparams) };
            Ok(Some(RawStats { id: answered.id(), parameters }))
        })
    }

    /// `virDomainGetJobStats` of the job that is going on: its `virDomainJobType` and parameters; `None` if the
    /// daemon does not know the domain. Waits for the domain's job and may wait for its QEMU.
    pub(crate) fn job(&mut self, uuid: Uuid) -> Result<Option<(i32, Vec<Parameter>)>, Failure> {
        self.with_domain(uuid, |domain| {
            let mut kind = 0;
            let mut guard = Parameters { first: null_mut(), count: 0 };
            // SAFETY: the handle is valid; the pointers are to variables of this frame; the guard frees what comes.
            let rc = unsafe {
                sys::virDomainGetJobStats(domain.as_ptr(), &raw mut kind, &raw mut guard.first, &raw mut guard.count, 0)
            };
            if rc < 0 {
                return Err(Failure::last());
            }
            // SAFETY: libvirt has just filled both in, and the guard still owns them.
            Ok(Some((kind, unsafe { copy(guard.first, guard.count) })))
        })
    }

    /// Calls with the domain's handle, looking it up the first time. A domain that the daemon does not know (any
    /// more) gives `None`, and its handle is forgotten.
    fn with_domain<T>(
        &mut self,
        uuid: Uuid,
        call: impl FnOnce(&Domain) -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        if self.handles.len() >= HANDLES_MAX && !self.handles.contains_key(&uuid) {
            self.handles.clear();
        }
        let handle = match self.handles.entry(uuid) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => match self.connect.lookup_domain_by_uuid(uuid) {
                Ok(domain) => entry.insert(Handle(ManuallyDrop::new(domain))),
                Err(error) => {
                    let failure = Failure::from(error);
                    return if failure.is_no_domain() { Ok(None) } else { Err(failure) };
                }
            },
        };
        match call(&handle.0) {
            Err(failure) if failure.is_no_domain() => {
                self.handles.remove(&uuid);
                Ok(None)
            }
            Ok(None) => {
                self.handles.remove(&uuid);
                Ok(None)
            }
            answer => answer,
        }
    }
}

impl Drop for Connection {
    /// Blocks as long as the daemon does not answer: drop it where blocking is allowed.
    fn drop(&mut self) {
        self.handles.clear();
        let connection = self.ptr();
        for &callback in &self.callbacks {
            // SAFETY: the connection is valid until the close below, the id was given by it and is used once.
            let _ = unsafe { sys::virConnectDomainEventDeregisterAny(connection, callback) };
        }
        if self.close_callback.is_some() {
            // SAFETY: as above, with the very pointer that was registered.
            let _ = unsafe { sys::virConnectUnregisterCloseCallback(connection, self.close_callback) };
        }
        if let Some(number) = self.sink {
            sinks().by_number.remove(&number);
        }
        // SAFETY: the one reference that `self` owns is given back here and nowhere else.
        if unsafe { sys::virConnectClose(connection) } > 0 {
            UNRELEASED.fetch_add(1, Relaxed);
        }
    }
}

/// The array that `virDomainListGetStats` returned.
struct Records(*mut sys::virDomainStatsRecordPtr);

impl Drop for Records {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the array is libvirt's own, ends with NULL and is freed once, with all that it holds.
            unsafe { sys::virDomainStatsRecordListFree(self.0) };
        }
    }
}

/// Parameters that libvirt has handed over.
struct Parameters {
    first: sys::virTypedParameterPtr,
    count: c_int,
}

impl Drop for Parameters {
    fn drop(&mut self) {
        // SAFETY: pointer and count are those that libvirt returned together (NULL and 0 are allowed); freed once.
        unsafe { sys::virTypedParamsFree(self.first, self.count) };
    }
}

/// Copies parameters out.
///
/// # Safety
/// `first` must point to `count` initialised parameters, or be NULL.
unsafe fn copy(first: sys::virTypedParameterPtr, count: c_int) -> Vec<Parameter> {
    let count = usize::try_from(count).unwrap_or(0).min(PARAMETERS_MAX);
    if first.is_null() || count == 0 {
        return Vec::new();
    }
    // SAFETY: the caller's promise.
    let parameters = unsafe { std::slice::from_raw_parts(first, count) };
    parameters.iter().map(copy_one).collect()
}

fn copy_one(parameter: &sys::virTypedParameter) -> Parameter {
    let name: Vec<u8> = parameter.field.iter().map(|c| c.to_ne_bytes()[0]).take_while(|byte| *byte != 0).collect();
    // SAFETY: libvirt says in `type_` which member of the union it has written; a text is NULL or ends with NUL and
    // lives as long as the parameter.
    let value = unsafe {
        match c_uint::try_from(parameter.type_).unwrap_or(0) {
            sys::VIR_TYPED_PARAM_INT => ParameterValue::Int(parameter.value.i),
            sys::VIR_TYPED_PARAM_UINT => ParameterValue::UInt(parameter.value.ui),
            sys::VIR_TYPED_PARAM_LLONG => ParameterValue::Llong(parameter.value.l),
            sys::VIR_TYPED_PARAM_ULLONG => ParameterValue::Ullong(parameter.value.ul),
            sys::VIR_TYPED_PARAM_DOUBLE => ParameterValue::Double(parameter.value.d),
            sys::VIR_TYPED_PARAM_BOOLEAN => ParameterValue::Boolean(parameter.value.b != 0),
            sys::VIR_TYPED_PARAM_STRING => ParameterValue::Text(text(parameter.value.s)),
            _ => ParameterValue::Unknown(parameter.type_),
        }
    };
    Parameter { name: bounded(&name), value }
}

/// Copies a text out.
///
/// # Safety
/// `text` must be NULL or point to bytes that end with NUL.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    bounded(unsafe { CStr::from_ptr(text) }.to_bytes())
}

type Callback = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);
type LifecycleCallback =
    unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void) -> c_int;
type AliasCallback = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *const c_char, *mut c_void);
type ParametersCallback =
    unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, sys::virTypedParameterPtr, c_int, *mut c_void);
type IterationCallback = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, *mut c_void);
type MetadataCallback = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, *const c_char, *mut c_void);

/// Event ids with their callbacks, in the one type that libvirt's registration takes.
fn event_callbacks() -> [(c_int, Callback); 8] {
    use std::mem::transmute;
    // SAFETY: libvirt calls a callback with the signature that belongs to the event id it was registered for, which
    // is the one that it is transmuted from; the generic type only carries it there (VIR_DOMAIN_EVENT_CALLBACK in C).
    unsafe {
        [
            (id(sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE), transmute::<LifecycleCallback, Callback>(on_lifecycle)),
            (id(sys::VIR_DOMAIN_EVENT_ID_REBOOT), on_reboot),
            (id(sys::VIR_DOMAIN_EVENT_ID_DEVICE_ADDED), transmute::<AliasCallback, Callback>(on_device)),
            (id(sys::VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED), transmute::<AliasCallback, Callback>(on_device)),
            (id(sys::VIR_DOMAIN_EVENT_ID_TUNABLE), transmute::<ParametersCallback, Callback>(on_tunable)),
            (id(sys::VIR_DOMAIN_EVENT_ID_JOB_COMPLETED), transmute::<ParametersCallback, Callback>(on_job)),
            (id(sys::VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION), transmute::<IterationCallback, Callback>(on_iteration)),
            (id(sys::VIR_DOMAIN_EVENT_ID_METADATA_CHANGE), transmute::<MetadataCallback, Callback>(on_metadata)),
        ]
    }
}

/// An event id as the registration takes it; -1, which it refuses, for one that cannot be.
fn id(event: sys::virDomainEventID) -> c_int {
    c_int::try_from(event).unwrap_or(-1)
}

fn sink(opaque: *mut c_void) -> Option<Arc<dyn Sink>> {
    sinks().by_number.get(&opaque.addr()).cloned()
}

/// Hands an event on. `domain` is lent by libvirt for the duration of the callback.
fn report(domain: sys::virDomainPtr, opaque: *mut c_void, event: RawEvent) {
    // A panic must not cross into C. There is nobody to tell: the event is lost.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let Some(sink) = sink(opaque) else { return };
        // SAFETY: libvirt's own reference stands behind the pointer; the wrapper is not dropped and gives none back.
        let domain = ManuallyDrop::new(unsafe { Domain::from_ptr(domain) });
        if let (Ok(uuid), Ok(name)) = (domain.uuid(), domain.name()) {
            sink.domain(uuid, bounded(name.as_bytes()).into(), event);
        }
    }));
}

type Conn = sys::virConnectPtr;
type Dom = sys::virDomainPtr;

unsafe extern "C" fn on_close(_: Conn, reason: c_int, opaque: *mut c_void) {
    let _ = catch_unwind(AssertUnwindSafe(|| {
        if let Some(sink) = sink(opaque) {
            sink.closed(reason);
        }
    }));
}
unsafe extern "C" fn on_lifecycle(_: Conn, domain: Dom, event: c_int, detail: c_int, opaque: *mut c_void) -> c_int {
    report(domain, opaque, RawEvent::Lifecycle { event, detail });
    0
}
unsafe extern "C" fn on_reboot(_: Conn, domain: Dom, opaque: *mut c_void) {
    report(domain, opaque, RawEvent::Reboot);
}
unsafe extern "C" fn on_device(_: Conn, domain: Dom, _: *const c_char, opaque: *mut c_void) {
    report(domain, opaque, RawEvent::Configuration);
}
unsafe extern "C" fn on_tunable(_: Conn, domain: Dom, _: sys::virTypedParameterPtr, _: c_int, opaque: *mut c_void) {
    report(domain, opaque, RawEvent::Configuration);
}
unsafe extern "C" fn on_job(_: Conn, domain: Dom, _: sys::virTypedParameterPtr, _: c_int, opaque: *mut c_void) {
    report(domain, opaque, RawEvent::Job);
}
unsafe extern "C" fn on_iteration(_: Conn, domain: Dom, _: c_int, opaque: *mut c_void) {
    report(domain, opaque, RawEvent::Job);
}
unsafe extern "C" fn on_metadata(_: Conn, domain: Dom, _: c_int, _: *const c_char, opaque: *mut c_void) {
    report(domain, opaque, RawEvent::Configuration);
}

#[cfg(test)]
mod tests;
