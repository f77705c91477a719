//! The event loop that libvirt's connections run on.
//!
//! libvirt has one of its own, on GLib's poll: each turn looks at every connection there is, and each call on any of them
//! makes several turns. A node with a thousand launchers has two thousand connections and a hundred calls a second, which
//! took a third of a core. This one is on epoll: a turn looks at what happened, and to change what is waited for wakes
//! nobody.
//!
//! What libvirt asks of a loop (`virEventRegisterImpl`): callbacks come from one thread and without a lock of ours held;
//! after a removal there are none; what frees their pointer comes after that, and not from within the removal. A timer
//! goes on until it is changed or removed.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::time::{ClockId, clock_gettime};
use virt::sys;

use crate::libvirt::raw::Failure;

/// What happened to connections that one turn takes in; the rest is there for the next.
const EVENTS_MAX: usize = 256;

/// The longest that a turn waits: it is woken when a timer is to go off sooner.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// How long the loop rests after an error before it turns again, so that a lasting error costs no CPU.
const REST: Duration = Duration::from_millis(100);

/// The mark of the descriptor by which the loop is woken. Those of connections are the ids they were given, from 1.
const WAKE: u64 = 0;

/// The loop of this process, once it was started.
static LOOP: OnceLock<EventLoop> = OnceLock::new();

/// Starts the loop on a thread of its own and gives it to libvirt. Once per process, before any connection.
pub(super) fn start() -> Result<(), Failure> {
    let failed = |error| Failure::ours(format!("no event loop for libvirt: {error}"));
    let events = EventLoop::new().map_err(failed)?;
    if LOOP.set(events).is_err() {
        return Err(failed(io::Error::other("there is one already")));
    }
    // The thread lives as long as the process: the loop has no end, and ends with it.
    let run = || loop {
        let turned = LOOP.get().map(|events| events.turn(LONGEST_WAIT));
        if !matches!(turned, Some(Ok(()))) {
            std::thread::park_timeout(REST);
        }
    };
    std::thread::Builder::new().name("libvirt-events".to_owned()).spawn(run).map_err(failed)?;
    // SAFETY: the functions have the signatures and keep the promises that libvirt documents (see the module); called
    // once, before any connection is opened.
    unsafe {
        sys::virEventRegisterImpl(
            Some(add_handle),
            Some(update_handle),
            Some(remove_handle),
            Some(add_timeout),
            Some(update_timeout),
            Some(remove_timeout),
        );
    }
    Ok(())
}

/// A pointer of libvirt's with what frees it.
#[derive(Debug, Clone, Copy)]
struct Opaque {
    pointer: *mut c_void,
    free: sys::virFreeCallback,
}

// SAFETY: libvirt hands it over to be given back on the loop's thread; nothing here looks behind it.
unsafe impl Send for Opaque {}

/// A descriptor that libvirt waits for.
#[derive(Debug, Clone, Copy)]
struct Handle {
    descriptor: c_int,
    /// Empty: it is not waited for, not even for its end.
    wanted: EventFlags,
    callback: sys::virEventHandleCallback,
    opaque: Opaque,
}

/// Something that happens again and again.
#[derive(Debug, Clone, Copy)]
struct Timer {
    /// `None`: not now.
    every: Option<Duration>,
    /// On the clock that never steps.
    due: Duration,
    callback: sys::virEventTimeoutCallback,
    opaque: Opaque,
}

/// What was asked for. Handles and timers have ids of the same row.
#[derive(Debug, Default)]
struct Table {
    last: c_int,
    handles: HashMap<c_int, Handle>,
    /// Whose a descriptor is: libvirt may have closed it and got the same number again.
    descriptors: HashMap<c_int, c_int>,
    timers: HashMap<c_int, Timer>,
    dues: BTreeSet<(Duration, c_int)>,
    /// What was removed, to be freed by the loop. As much as was there, and emptied at every turn.
    removed: Vec<Opaque>,
}

impl Table {
    fn next_id(&mut self) -> c_int {
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if !self.handles.contains_key(&self.last) && !self.timers.contains_key(&self.last) {
                return self.last;
            }
        }
    }

    /// Changes when a timer goes off. `true` if it is now the first of all.
    fn set(&mut self, id: c_int, every: Option<Duration>, now: Duration) -> bool {
        let Some(timer) = self.timers.get_mut(&id) else { return false };
        self.dues.remove(&(timer.due, id));
        timer.every = every;
        let Some(every) = every else { return false };
        timer.due = now.saturating_add(every);
        self.dues.insert((timer.due, id));
        self.dues.first().is_some_and(|(_, first)| *first == id)
    }
}

/// See the module.
#[derive(Debug)]
struct EventLoop {
    epoll: OwnedFd,
    wake: OwnedFd,
    table: Mutex<Table>,
}

impl EventLoop {
    fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Self { epoll, wake, table: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // Only fails when it is full, and then it wakes already.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn add_handle(&self, mut handle: Handle) -> c_int {
        let wanted = std::mem::replace(&mut handle.wanted, EventFlags::empty());
        let mut table = self.table();
        let id = table.next_id();
        table.handles.insert(id, handle);
        if self.want(&mut table, id, wanted).is_ok() {
            return id;
        }
        table.handles.remove(&id);
        -1
    }

    fn update_handle(&self, id: c_int, wanted: EventFlags) {
        // There is nobody to tell: libvirt's function returns nothing. Its calls have deadlines.
        let _ = self.want(&mut self.table(), id, wanted);
    }

    /// Waits for these from now on. For none means that it is not in epoll, which would tell of an end in any case.
    fn want(&self, table: &mut Table, id: c_int, wanted: EventFlags) -> io::Result<()> {
        let Table { handles, descriptors, .. } = table;
        let Some(handle) = handles.get_mut(&id) else { return Ok(()) };
        if handle.wanted == wanted {
            return Ok(());
        }
        // SAFETY: libvirt has given it to be waited for, and takes it back before it closes it. Should it have closed it,
        // epoll knows it no more, and the number is only compared.
        let descriptor = unsafe { BorrowedFd::borrow_raw(handle.descriptor) };
        let mark = EventData::new_u64(u64::try_from(id).unwrap_or(WAKE));
        let ours = descriptors.get(&handle.descriptor) == Some(&id);
        if wanted.is_empty() {
            handle.wanted = wanted;
            if ours {
                descriptors.remove(&handle.descriptor);
                epoll::delete(&self.epoll, descriptor)?;
            }
        } else if ours {
            epoll::modify(&self.epoll, descriptor, mark, wanted)?;
            handle.wanted = wanted;
        } else {
            epoll::add(&self.epoll, descriptor, mark, wanted)?;
            descriptors.insert(handle.descriptor, id);
            handle.wanted = wanted;
        }
        Ok(())
    }

    fn remove_handle(&self, id: c_int) -> c_int {
        let mut table = self.table();
        let _ = self.want(&mut table, id, EventFlags::empty());
        let Some(handle) = table.handles.remove(&id) else { return -1 };
        table.removed.push(handle.opaque);
        drop(table);
        self.wake();
        0
    }

    fn add_timeout(&self, every: Option<Duration>, mut timer: Timer) -> c_int {
        timer.every = None;
        let mut table = self.table();
        let id = table.next_id();
        table.timers.insert(id, timer);
        let first = table.set(id, every, now());
        drop(table);
        if first {
            self.wake();
        }
        id
    }

    fn update_timeout(&self, id: c_int, every: Option<Duration>) {
        let first = self.table().set(id, every, now());
        if first {
            self.wake();
        }
    }

    fn remove_timeout(&self, id: c_int) -> c_int {
        let mut table = self.table();
        table.set(id, None, Duration::ZERO);
        let Some(timer) = table.timers.remove(&id) else { return -1 };
        table.removed.push(timer.opaque);
        drop(table);
        self.wake();
        0
    }

    /// Waits until something happens, for so long at most, and calls whoever wants to know.
    fn turn(&self, longest: Duration) -> io::Result<()> {
        let first = self.table().dues.first().map(|(due, _)| *due);
        let wait = first.map_or(longest, |due| due.saturating_sub(now()).min(longest));
        let wait = Timespec::try_from(wait).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
        let mut happened: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
        match epoll::wait(&self.epoll, spare_capacity(&mut happened), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in happened {
            let (mark, flags) = (event.data, event.flags);
            match c_int::try_from(mark.u64()) {
                Ok(0) => {
                    // Empties it; what it counts is of no interest.
                    let _ = rustix::io::read(&self.wake, &mut [0_u8; 8]);
                }
                Ok(id) => self.tell(id, flags),
                Err(_) => {}
            }
        }
        self.go_off();
        for Opaque { pointer, free } in std::mem::take(&mut self.table().removed) {
            if let Some(free) = free {
                // SAFETY: libvirt's own function and pointer, together as they came, once; no callback has it any more.
                unsafe { free(pointer) };
            }
        }
        Ok(())
    }

    fn tell(&self, id: c_int, flags: EventFlags) {
        // Copied: it may be changed or removed while it is called, which frees its pointer at the end of the turn.
        let handle = self.table().handles.get(&id).copied().filter(|handle| !handle.wanted.is_empty());
        if let Some(Handle { descriptor, callback: Some(callback), opaque, .. }) = handle {
            // SAFETY: libvirt's own function, with what it was registered with; on the one thread that calls it.
            unsafe { callback(id, descriptor, to_libvirt(flags), opaque.pointer) };
        }
    }

    /// Calls the timers that are due, each once.
    fn go_off(&self) {
        let mut due = Vec::new();
        {
            let mut table = self.table();
            let now = now();
            while let Some((_, id)) = table.dues.first().copied().filter(|(at, _)| *at <= now) {
                table.dues.pop_first();
                due.push(id);
            }
            for id in &due {
                let every = table.timers.get(id).and_then(|timer| timer.every);
                table.set(*id, every, now);
            }
        }
        for id in due {
            let timer = self.table().timers.get(&id).copied().filter(|timer| timer.every.is_some());
            if let Some(Timer { callback: Some(callback), opaque, .. }) = timer {
                // SAFETY: as for a handle.
                unsafe { callback(id, opaque.pointer) };
            }
        }
    }
}

/// The clock that never steps.
fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}

const PAIRS: [(sys::virEventHandleType, EventFlags); 4] = [
    (sys::VIR_EVENT_HANDLE_READABLE, EventFlags::IN),
    (sys::VIR_EVENT_HANDLE_WRITABLE, EventFlags::OUT),
    (sys::VIR_EVENT_HANDLE_ERROR, EventFlags::ERR),
    (sys::VIR_EVENT_HANDLE_HANGUP, EventFlags::HUP),
];

fn to_libvirt(flags: EventFlags) -> c_int {
    let bits = PAIRS.iter().filter(|(_, flag)| flags.contains(*flag)).fold(0, |bits, (bit, _)| bits | bit);
    c_int::try_from(bits).unwrap_or(0)
}

fn from_libvirt(events: c_int) -> EventFlags {
    let bits = sys::virEventHandleType::try_from(events).unwrap_or(0);
    PAIRS.iter().filter(|(bit, _)| bits & bit != 0).fold(EventFlags::empty(), |flags, (_, flag)| flags | *flag)
}

/// A time of libvirt's in milliseconds; below zero: not now.
fn interval(milliseconds: c_int) -> Option<Duration> {
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}

/// Does something with the loop. A panic must not cross into C; -1 says that it could not be done.
fn with_loop(work: impl FnOnce(&EventLoop) -> c_int) -> c_int {
    catch_unwind(AssertUnwindSafe(|| LOOP.get().map_or(-1, work))).unwrap_or(-1)
}

unsafe extern "C" fn add_handle(
    descriptor: c_int,
    events: c_int,
    callback: sys::virEventHandleCallback,
    pointer: *mut c_void,
    free: sys::virFreeCallback,
) -> c_int {
    let handle = Handle { descriptor, wanted: from_libvirt(events), callback, opaque: Opaque { pointer, free } };
    with_loop(|events| events.add_handle(handle))
}

unsafe extern "C" fn update_handle(id: c_int, events: c_int) {
    with_loop(|event_loop| {
        event_loop.update_handle(id, from_libvirt(events));
        0
    });
}

unsafe extern "C" fn remove_handle(id: c_int) -> c_int {
    with_loop(|events| events.remove_handle(id))
}

unsafe extern "C" fn add_timeout(
    milliseconds: c_int,
    callback: sys::virEventTimeoutCallback,
    pointer: *mut c_void,
    free: sys::virFreeCallback,
) -> c_int {
    let timer = Timer { every: None, due: Duration::ZERO, callback, opaque: Opaque { pointer, free } };
    with_loop(|events| events.add_timeout(interval(milliseconds), timer))
}

unsafe extern "C" fn update_timeout(id: c_int, milliseconds: c_int) {
    with_loop(|events| {
        events.update_timeout(id, interval(milliseconds));
        0
    });
}

unsafe extern "C" fn remove_timeout(id: c_int) -> c_int {
    with_loop(|events| events.remove_timeout(id))
}

#[cfg(test)]
mod tests;
