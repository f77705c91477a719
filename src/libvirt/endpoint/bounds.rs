//! What the daemons of one process may make it hold together.
//!
//! What one daemon may is bounded by its connections ([`libvirt_remote::limits`]). A libvirt host has few, and is not
//! taken over by its VMs; a node has a hundred launchers and more, and each of them may be. With every one of 250
//! launchers in bad hands (more pods than a node has), the sum is:
//!
//! | | MiB |
//! |---|---|
//! | long messages, until they are taken apart ([`ROOM`]) | 96 |
//! | what is made of them meanwhile: no more than they are long | 96 |
//! | messages of up to 64 KiB that have not ended, on four connections each | 62 |
//! | names and events that wait: 72 of 1 KiB each ([`NAMES_OF_ONE`], [`EVENTS_OF_ONE`] twice) | 18 |
//! | the agent itself with 1,000 VMs | 100 |
//! | together | 372 |
//!
//! The chart allows 512 MiB; the rest is for what the VMs of those are that say that theirs is immense. Of the page all of
//! them have 80 MiB at most, however much they say (`observe::share`).

use std::sync::Arc;

use libvirt_remote::Bounds;
pub use libvirt_remote::Room;
use libvirt_remote::limits::EVENTS_MAX;

use super::{Settings, outbox};

/// Bytes of messages longer than 64 KiB that all daemons of a process may make it hold at a time. The longest answer of a
/// domain that is known has 1.4 MiB, for a few milliseconds.
pub const ROOM: usize = 96 * 1_048_576;

/// Names that are remembered of a host, for messages and for calls. A node has a thousand domains at most; more are named
/// by their UUID alone.
const NAMES_OF_A_HOST: usize = 4_096;

/// Names that are remembered of a daemon that has one VM: its own, and a few of before.
const NAMES_OF_ONE: usize = 8;

/// Events of a daemon with one VM that may wait, in its connection and once more on their way to the reader. A migration
/// makes ten. Who makes more is read anew.
const EVENTS_OF_ONE: usize = 32;

/// The room for all daemons of this process.
#[must_use]
pub fn room() -> Arc<Room> {
    Arc::new(Room::new(ROOM))
}

/// Whether the daemon has one VM.
pub(super) const fn is_of_one(settings: &Settings) -> bool {
    settings.calls_at_once == 1
}

/// What each connection of a daemon may take.
pub(super) fn of_connections(settings: &Settings) -> Bounds {
    let room = settings.room.clone();
    if is_of_one(settings) {
        // Nobody waits for longer for any answer of it.
        Bounds { room, long_within: settings.deadline, events: EVENTS_OF_ONE }
    } else {
        Bounds { room, events: EVENTS_MAX, ..Bounds::default() }
    }
}

/// How many names are remembered of a daemon.
pub(super) const fn names(settings: &Settings) -> usize {
    if is_of_one(settings) { NAMES_OF_ONE } else { NAMES_OF_A_HOST }
}

/// How many events of a daemon may wait for the reader.
pub(super) const fn events(settings: &Settings) -> usize {
    if is_of_one(settings) { EVENTS_OF_ONE } else { outbox::WAITING_MAX }
}
