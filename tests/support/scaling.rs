//! How many series there are, counted: the source of the table in docs/scaling.md.

use std::fmt::Write;
use std::sync::Arc;

use virt_otel::catalog::{Profile, Selection, Vocabulary};
use virt_otel::model::{GuestInterface, Vm};
use virt_otel::testing::{sample, vmis};

/// What is published: the names, and the profile.
const PUBLISHED: [(Vocabulary, Profile); 3] = [
    (Vocabulary::Libvirt, Profile::Full),
    (Vocabulary::Kubevirt, Profile::Full),
    (Vocabulary::Kubevirt, Profile::BesideKubevirt),
];

/// The series that a VM has.
pub fn series(vm: &Vm, vocabulary: Vocabulary, profile: Profile) -> usize {
    Selection::new(vocabulary, |row| profile.has(row.metric)).series_of(vm)
}

/// A VM of which everything is known: two vCPUs, two disks, two interfaces with an address each, an I/O thread, no job.
fn whole(vocabulary: Vocabulary) -> Vm {
    let mut vm = match vocabulary {
        Vocabulary::Libvirt => sample::running(),
        Vocabulary::Kubevirt => vmis::running(),
    };
    // Counted for itself.
    vm.description.iter_mut().for_each(|description| Arc::make_mut(description).metadata = None);
    if let Some(vmi) = &mut vm.vmi {
        let vmi = Arc::make_mut(vmi);
        let with_an_address = vmi.nics.iter().map(|nic| GuestInterface {
            name: Some(Arc::clone(&nic.name)),
            guest_name: None,
            addresses: Box::new([format!("10.0.0.{}", nic.name.len()).into()]),
        });
        vmi.addresses = with_an_address.collect();
        // Most VMs never migrate.
        vmi.migration = None;
    }
    vm
}

/// Takes one of its things from a VM.
type Take = fn(&mut Vm);

/// What makes more series, and a VM with one less of it.
const THINGS: [(&str, Take); 4] = [
    ("each vCPU", |vm| {
        vm.vcpus.iter_mut().for_each(|all| all.value.each.truncate(all.value.each.len() - 1));
    }),
    ("each disk", |vm| {
        vm.disks.iter_mut().for_each(|all| all.value.truncate(all.value.len() - 1));
        vm.description.iter_mut().map(Arc::make_mut).for_each(|all| all.disks.truncate(all.disks.len() - 1));
    }),
    ("each network interface", |vm| {
        vm.nics.iter_mut().for_each(|all| all.value.truncate(all.value.len() - 1));
        vm.description.iter_mut().map(Arc::make_mut).for_each(|all| all.nics.truncate(all.nics.len() - 1));
        if let Some(vmi) = &mut vm.vmi {
            let vmi = Arc::make_mut(vmi);
            vmi.nics = vmi.nics[1..].into();
            vmi.addresses = vmi.addresses[1..].into();
        }
    }),
    ("each I/O thread", |vm| {
        vm.io_threads.iter_mut().for_each(|all| all.value.truncate(all.value.len() - 1));
    }),
];

/// The counts of one way to publish: without devices, for each of [`THINGS`], and for a job.
struct Counts {
    bare: usize,
    each: [usize; THINGS.len()],
    job: usize,
    migrated: usize,
    openstack: usize,
}

impl Counts {
    fn of((vocabulary, profile): (Vocabulary, Profile)) -> Counts {
        let all = whole(vocabulary);
        let count = |vm: &Vm| series(vm, vocabulary, profile);
        let each = THINGS.map(|(_, take)| {
            let mut less = all.clone();
            take(&mut less);
            count(&all) - count(&less)
        });
        let mut bare = all.clone();
        for (place, (_, take)) in THINGS.iter().enumerate() {
            // The I/O thread is alone.
            (0..if place == THINGS.len() - 1 { 1 } else { 2 }).for_each(|_| take(&mut bare));
        }
        let mut busy = all.clone();
        busy.job = sample::migrating().job;
        let mut migrated = all.clone();
        if let (Some(vmi), Some(after)) = (&mut migrated.vmi, &vmis::running().vmi) {
            Arc::make_mut(vmi).migration = after.migration.clone();
        }
        let mut instance = all.clone();
        instance.description.iter_mut().for_each(|description| {
            Arc::make_mut(description).metadata = Some(Arc::new(sample::metadata()));
        });
        Counts {
            bare: count(&bare),
            each,
            job: count(&busy) - count(&all),
            migrated: count(&migrated) - count(&all),
            openstack: count(&instance) - count(&all),
        }
    }

    /// The series of a VM with this many of each of [`THINGS`].
    fn of_a_vm(&self, things: [usize; THINGS.len()]) -> usize {
        self.bare + self.each.iter().zip(things).map(|(each, count)| each * count).sum::<usize>()
    }
}

/// The table.
pub fn table() -> String {
    let counts = PUBLISHED.map(Counts::of);
    let mut out =
        "\n| | libvirt mode | KubeVirt, `full` | KubeVirt, `beside-kubevirt` |\n|---|---|---|---|\n".to_owned();
    let mut line = |what: &str, number: &dyn Fn(&Counts) -> usize| {
        let [one, two, three] = counts.each_ref().map(number);
        let _ = writeln!(out, "| {what} | {one} | {two} | {three} |");
    };
    line("a VM without any of the following", &|counts| counts.bare);
    for (place, (what, _)) in THINGS.iter().enumerate() {
        line(what, &|counts| counts.each[place]);
    }
    line("a migration, while it runs", &|counts| counts.job);
    line("after its last migration", &|counts| counts.migrated);
    line("an instance of OpenStack with a title", &|counts| counts.openstack);
    line("**a VM with 4 vCPUs, 2 disks and 1 interface**", &|counts| counts.of_a_vm([4, 2, 1, 0]));
    out
}
