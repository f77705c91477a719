//! The promises that libvirt relies on, each with a loop of its own that is turned by hand.

use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::Relaxed};

use super::*;

/// What callbacks have left behind.
#[derive(Default)]
struct Noted {
    calls: AtomicUsize,
    events: AtomicI32,
    freed: AtomicUsize,
}

impl Noted {
    /// It lives as long as the tests: callbacks have its address.
    fn new() -> &'static Noted {
        Box::leak(Box::default())
    }

    fn opaque(&'static self) -> Opaque {
        Opaque { pointer: std::ptr::from_ref(self).cast_mut().cast(), free: Some(freed) }
    }

    fn calls(&self) -> usize {
        self.calls.load(Relaxed)
    }

    fn freed(&self) -> usize {
        self.freed.load(Relaxed)
    }
}

fn noted(pointer: *mut c_void) -> &'static Noted {
    // SAFETY: made by `Noted::opaque`, and never freed.
    unsafe { &*pointer.cast() }
}

unsafe extern "C" fn happened(_: c_int, _: c_int, events: c_int, pointer: *mut c_void) {
    noted(pointer).calls.fetch_add(1, Relaxed);
    noted(pointer).events.store(events, Relaxed);
}

unsafe extern "C" fn went_off(_: c_int, pointer: *mut c_void) {
    noted(pointer).calls.fetch_add(1, Relaxed);
}

unsafe extern "C" fn freed(pointer: *mut c_void) {
    noted(pointer).freed.fetch_add(1, Relaxed);
}

fn handle(descriptor: c_int, events: u32, opaque: Opaque) -> Handle {
    let wanted = from_libvirt(c_int::try_from(events).unwrap());
    Handle { descriptor, wanted, callback: Some(happened), opaque }
}

fn timer(opaque: Opaque) -> Timer {
    Timer { every: None, due: Duration::ZERO, callback: Some(went_off), opaque }
}

fn turn(events: &EventLoop) {
    events.turn(Duration::ZERO).unwrap();
}

#[test]
fn what_can_be_read_is_told_until_it_is_read() {
    let events = EventLoop::new().unwrap();
    let (mut near, mut far) = UnixStream::pair().unwrap();
    let seen = Noted::new();
    let id = events.add_handle(handle(near.as_raw_fd(), sys::VIR_EVENT_HANDLE_READABLE, seen.opaque()));
    assert!(id > 0);
    turn(&events);
    assert_eq!(seen.calls(), 0);
    far.write_all(b"x").unwrap();
    turn(&events);
    turn(&events);
    assert_eq!((seen.calls(), seen.events.load(Relaxed)), (2, 1));
    near.read_exact(&mut [0]).unwrap();
    turn(&events);
    assert_eq!(seen.calls(), 2);
}

#[test]
fn a_connection_that_ended_is_not_told_of_while_nothing_is_wanted_of_it() {
    let events = EventLoop::new().unwrap();
    let (near, far) = UnixStream::pair().unwrap();
    let seen = Noted::new();
    let id = events.add_handle(handle(near.as_raw_fd(), sys::VIR_EVENT_HANDLE_READABLE, seen.opaque()));
    events.update_handle(id, EventFlags::empty());
    drop(far);
    turn(&events);
    assert_eq!(seen.calls(), 0);
    events.update_handle(id, EventFlags::OUT);
    turn(&events);
    let told = seen.events.load(Relaxed);
    assert_eq!((seen.calls(), told & 8), (1, 8), "it is told that the other end has hung up");
}

#[test]
fn after_its_removal_a_handle_is_freed_by_the_loop_once_and_called_no_more() {
    let events = EventLoop::new().unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    let seen = Noted::new();
    let id = events.add_handle(handle(near.as_raw_fd(), sys::VIR_EVENT_HANDLE_READABLE, seen.opaque()));
    far.write_all(b"x").unwrap();
    assert_eq!(events.remove_handle(id), 0);
    assert_eq!(seen.freed(), 0, "not from within the removal");
    turn(&events);
    turn(&events);
    assert_eq!((seen.calls(), seen.freed()), (0, 1));
    assert_eq!(events.remove_handle(id), -1, "it is gone");
    events.update_handle(id, EventFlags::IN);
    turn(&events);
    assert_eq!(seen.calls(), 0);
}

#[test]
fn a_number_that_was_closed_and_given_again_belongs_to_the_new_one() {
    let events = EventLoop::new().unwrap();
    let (near, far) = UnixStream::pair().unwrap();
    let number = near.as_raw_fd();
    let (old, new) = (Noted::new(), Noted::new());
    let id = events.add_handle(handle(number, sys::VIR_EVENT_HANDLE_READABLE, old.opaque()));
    // As if it had been closed, which takes it out of epoll, and the next one had got its number.
    // SAFETY: the stream is open.
    epoll::delete(&events.epoll, unsafe { BorrowedFd::borrow_raw(number) }).unwrap();
    let next = events.add_handle(handle(number, sys::VIR_EVENT_HANDLE_READABLE, new.opaque()));
    assert!(next > id);
    assert_eq!(events.remove_handle(id), 0);
    drop(far);
    turn(&events);
    assert_eq!((old.calls(), old.freed(), new.calls()), (0, 1, 1));
}

#[test]
fn a_descriptor_that_cannot_be_waited_for_is_refused() {
    let events = EventLoop::new().unwrap();
    let file = tempfile::tempfile().unwrap();
    let seen = Noted::new();
    let wanted = handle(file.as_raw_fd(), sys::VIR_EVENT_HANDLE_READABLE, seen.opaque());
    assert_eq!(events.add_handle(wanted), -1, "a regular file");
    assert!(events.table().handles.is_empty());
}

#[test]
fn a_timer_goes_off_again_and_again_until_it_is_stopped() {
    let events = EventLoop::new().unwrap();
    let (seen, later) = (Noted::new(), Noted::new());
    let id = events.add_timeout(interval(0), timer(seen.opaque()));
    let hour = events.add_timeout(interval(3_600_000), timer(later.opaque()));
    turn(&events);
    turn(&events);
    assert_eq!((seen.calls(), later.calls()), (2, 0));
    events.update_timeout(id, interval(-1));
    turn(&events);
    assert_eq!(seen.calls(), 2);
    events.update_timeout(hour, interval(0));
    turn(&events);
    assert_eq!(later.calls(), 1);
    assert_eq!((events.remove_timeout(id), events.remove_timeout(hour)), (0, 0));
    turn(&events);
    assert_eq!((seen.calls(), seen.freed(), later.calls(), later.freed()), (2, 1, 1, 1));
    assert!(events.table().dues.is_empty());
}

#[test]
fn a_timer_that_comes_first_ends_the_present_wait() {
    let events = EventLoop::new().unwrap();
    let seen = Noted::new();
    std::thread::scope(|scope| {
        // Without being woken it would wait for an hour.
        let waits = scope.spawn(|| events.turn(LONGEST_WAIT));
        events.add_timeout(interval(0), timer(seen.opaque()));
        waits.join().unwrap().unwrap();
    });
    turn(&events);
    assert!(seen.calls() >= 1);
}
