//! How much memory all daemons together may make the process hold.
//!
//! Each daemon is bounded by the limits of its connections ([`libvirt_remote::limits`]). A libvirt host has few
//! daemons, which its VMs do not take over; a node has a hundred launchers and more, each of which may be compromised.
//! With 250 compromised launchers (more pods than a node has), the sum is:
//!
//! | | MiB |
//! |---|---|
//! | long messages, until they are decoded ([`ROOM`]) | 96 |
//! | what is decoded from them: no more than their length | 96 |
//! | incomplete messages of up to 64 KiB, on four connections each | 62 |
//! | names and waiting events: 72 of 1 KiB each ([`NAMES_OF_ONE`], [`EVENTS_OF_ONE`] twice) | 18 |
//! | the agent itself with 1,000 VMs | 100 |
//! | together | 372 |
//!
//! The chart allows 512 MiB; the rest is for the VMs of launchers that report immense ones. All of them together get 80
//! MiB of the metrics page at most, however much they report (`observe::share`).

use std::sync::Arc;

use libvirt_remote::Bounds;
pub use libvirt_remote::Room;
use libvirt_remote::limits::EVENTS_MAX;

use super::{Settings, outbox};

/// Bytes of messages longer than 64 KiB that all daemons together may make the process hold at a time. The longest
/// answer known for a domain has 1.4 MiB, held for a few milliseconds.
pub const ROOM: usize = 96 * 1_048_576;

/// Domain names that are remembered per host, for messages and for calls. A node has a thousand domains at most; any
/// beyond this limit are identified by their UUID.
const NAMES_OF_A_HOST: usize = 4_096;

/// Names that are remembered for a daemon with one VM: its own, and a few earlier ones.
const NAMES_OF_ONE: usize = 8;

/// Events of a single-VM daemon that may wait, in its connection and once more on their way to the reader. A migration
/// produces ten. If there are more, everything is read again.
const EVENTS_OF_ONE: usize = 32;

/// The memory limit that all daemons share.
#[must_use]
pub fn room() -> Arc<Room> {
    Arc::new(Room::new(ROOM))
}

/// Whether the daemon has one VM.
pub(super) const fn is_of_one(settings: &Settings) -> bool {
    settings.calls_at_once == 1
}

/// The limits of each connection of a daemon.
pub(super) fn of_connections(settings: &Settings) -> Bounds {
    let room = settings.room.clone();
    if is_of_one(settings) {
        // No caller waits longer for an answer.
        Bounds { room, long_within: settings.deadline, events: EVENTS_OF_ONE }
    } else {
        Bounds { room, events: EVENTS_MAX, ..Bounds::default() }
    }
}

/// How many names are remembered for a daemon.
pub(super) const fn names(settings: &Settings) -> usize {
    if is_of_one(settings) { NAMES_OF_ONE } else { NAMES_OF_A_HOST }
}

/// How many events of a daemon may wait for the reader.
pub(super) const fn events(settings: &Settings) -> usize {
    if is_of_one(settings) { EVENTS_OF_ONE } else { outbox::WAITING_MAX }
}
