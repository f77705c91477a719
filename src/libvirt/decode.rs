//! Decodes libvirt's typed parameters.
//!
//! The input is a flat list of named values: `cpu.time`, `vcpu.0.state`, `block.2.rd.reqs`. Names and types differ
//! between versions of libvirt and QEMU, and a daemon may send anything. So every parameter is decoded on its own: a
//! known name fills its field, a known name that is not used is left out, everything else is skipped and counted.
//! Nothing here can fail, and no announced number is trusted (`block.count`, the highest number): memory is allocated
//! for what is in the list, up to [`MAX_VCPUS`] and [`MAX_DEVICES`]; what exceeds them is counted.
//!
//! A list does not say whether the domain's QEMU took part in it. [`stats`] infers it from values that only QEMU
//! provides.

mod devices;
mod groups;
mod job;
mod numbered;
mod value;

#[cfg(test)]
mod tests;

use crate::model::Groups;
use crate::source::Stats;

pub use devices::{MAX_DEVICES, MAX_VCPUS};
pub use job::job;

pub use libvirt_remote::{Parameter, Value};

use groups::Draft;
use value::Fit;

/// Decodes what `virDomainListGetStats` returned for one domain.
///
/// * `id` is the domain's id, `None` if it does not run. If it does not run, or its state says so, only the state is
///   kept: libvirt then fills `cpu.*` with its own process's time.
/// * `asked` are the requested groups; others are not filled. [`Group::Job`] belongs to another call and is ignored.
///
/// # Whether QEMU took part
///
/// [`Monitor::NotAsked`] if no requested group needs QEMU. [`Monitor::Answered`] if the answer has anything that comes
/// only through it (or with it, as `balloon.rss` does). [`Monitor::Busy`] if all of that is missing where it should be:
/// the balloon group lacks `balloon.rss`, or disks have names and no figures. Where neither can be decided (only cpu,
/// vcpu, iothread or dirtyrate were requested; no disk; a driver other than QEMU), the answer counts as complete:
/// `Answered`. So to detect a busy domain, request the balloon group.
///
/// For a busy domain, disks (unless it has none), I/O threads and dirty rate are `None`, and memory holds only what
/// libvirt itself knows.
///
/// From libvirt 11 on, a call that hung in a QEMU is answered when the QEMU dies, with 0 for whatever its process would
/// have said. That is no answer of the domain: `Busy`, with the id alone.
///
/// [`Group::Job`]: crate::model::Group::Job
/// [`Monitor::NotAsked`]: crate::model::Monitor::NotAsked
/// [`Monitor::Answered`]: crate::model::Monitor::Answered
/// [`Monitor::Busy`]: crate::model::Monitor::Busy
#[must_use]
pub fn stats<'a>(id: Option<u32>, parameters: impl IntoIterator<Item = Parameter<'a>>, asked: Groups) -> Stats {
    let mut decoder = Decoder::default();
    for parameter in parameters {
        decoder.take(&parameter);
    }
    decoder.finish(id, asked)
}

/// [`stats`] in steps, for callers that yield in between.
#[derive(Debug, Default)]
pub struct Decoder {
    draft: Draft,
    taken: u32,
    unknown: u32,
    beyond: u32,
}

impl Decoder {
    /// Takes one parameter.
    pub fn take(&mut self, parameter: &Parameter<'_>) {
        self.taken = self.taken.saturating_add(1);
        match self.draft.take(&parameter.field, &parameter.value) {
            Fit::Unknown => self.unknown = self.unknown.saturating_add(1),
            Fit::Beyond => self.beyond = self.beyond.saturating_add(1),
            Fit::Taken | Fit::LeftOut => {}
        }
    }

    /// The decoded statistics. See [`stats`].
    #[must_use]
    pub fn finish(self, id: Option<u32>, asked: Groups) -> Stats {
        let stats = self.draft.finish(id, asked);
        Stats { unknown_parameters: self.unknown, left_out: self.beyond, parameters: self.taken, ..stats }
    }
}
