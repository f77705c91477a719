//! What is on the screen: which VMs, in which order, and which one is looked at. Pure.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::commands::table::name;
use crate::config::Colours;
use crate::model::{Vm, VmKey};
use crate::rates::{Rates, Readings};
use crate::snapshot::Snapshot;

/// What the rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Processors in use, the most first.
    Processor,
    /// Waiting for a processor, the longest first.
    Ready,
    /// Memory in use, the most first.
    Memory,
    /// Bytes read from and written to disks, the most first.
    Disk,
    /// Bytes received and sent, the most first.
    Network,
    /// The name.
    Name,
}

impl Order {
    /// All of them, each with the key that chooses it and its word.
    pub(super) const ALL: [(Self, char, &'static str); 6] = [
        (Self::Processor, 'c', "cpu"),
        (Self::Ready, 'r', "ready"),
        (Self::Memory, 'm', "memory"),
        (Self::Disk, 'd', "disk"),
        (Self::Network, 'n', "network"),
        (Self::Name, 'a', "name"),
    ];
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// To end.
    End,
    /// To look at the VM that many rows below the present one, or above it.
    Move(isize),
    /// Another order; the same one again: the other way round.
    Sort(Order),
    /// To see all of one VM, or the table again; after typing, to keep what was typed.
    Enter,
    /// To see the table again; from there, all VMs again; from there, to end.
    Back,
    /// To type a part of a name.
    Filter,
    /// A letter of it.
    Type(char),
    /// To take the last letter away.
    Erase,
    /// To see the keys, or the table again.
    Help,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// All VMs.
    Table,
    /// One VM.
    Detail,
    /// The keys.
    Help,
}

/// The longest part of a name that is typed.
const FILTER: usize = 64;

/// What is on the screen.
#[derive(Debug)]
pub(super) struct Screen {
    snapshot: Arc<Snapshot>,
    readings: Readings,
    /// When the snapshot came.
    came: Instant,
    interval: Duration,
    colours: Colours,
    order: Order,
    reversed: bool,
    chosen: Option<VmKey>,
    sight: Sight,
    filter: String,
    typing: bool,
}

impl Screen {
    pub(super) fn new(interval: Duration, colours: Colours) -> Self {
        Self {
            snapshot: Arc::default(),
            readings: Readings::default(),
            came: Instant::now(),
            interval,
            colours,
            order: Order::Processor,
            reversed: false,
            chosen: None,
            sight: Sight::Table,
            filter: String::new(),
            typing: false,
        }
    }

    /// A newer snapshot.
    pub(super) fn take(&mut self, snapshot: Arc<Snapshot>) {
        self.readings.take(&snapshot);
        self.snapshot = snapshot;
        self.came = Instant::now();
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// How long ago the snapshot came.
    pub(super) fn age(&self) -> Duration {
        self.came.elapsed()
    }

    pub(super) const fn interval(&self) -> Duration {
        self.interval
    }

    pub(super) const fn colours(&self) -> Colours {
        self.colours
    }

    pub(super) const fn order(&self) -> (Order, bool) {
        (self.order, self.reversed)
    }

    pub(super) const fn sight(&self) -> Sight {
        self.sight
    }

    /// The part of a name that VMs must have.
    pub(super) fn filter(&self) -> &str {
        &self.filter
    }

    pub(super) const fn is_typing(&self) -> bool {
        self.typing
    }

    pub(super) fn rates(&self, vm: &Vm) -> Rates {
        self.readings.of(&vm.key)
    }

    /// The VMs in their order.
    pub(super) fn vms(&self) -> Vec<&Vm> {
        let all =
            self.snapshot.vms.iter().filter(|vm| self.filter.is_empty() || name(&vm.identity).contains(&self.filter));
        let mut vms: Vec<(&Vm, Rates)> = all.map(|vm| (&**vm, self.readings.of(&vm.key))).collect();
        vms.sort_by(|one, other| self.compare(one, other));
        vms.into_iter().map(|(vm, _)| vm).collect()
    }

    /// The row that is looked at. The VM stays the same one when rows change their places.
    pub(super) fn row(&self, vms: &[&Vm]) -> Option<usize> {
        let chosen = self.chosen.as_ref();
        let row = vms.iter().position(|vm| Some(&vm.key) == chosen).unwrap_or(0);
        (!vms.is_empty()).then_some(row)
    }

    /// The VM that is looked at.
    pub(super) fn vm(&self) -> Option<&Vm> {
        let vms = self.vms();
        self.row(&vms).and_then(|row| vms.get(row).copied())
    }

    /// Does what a key asks for; `false` to end.
    pub(super) fn obey(&mut self, wish: Wish) -> bool {
        match wish {
            Wish::End => return false,
            Wish::Back => return self.back(),
            Wish::Enter if self.typing => self.typing = false,
            Wish::Enter => self.see(Sight::Detail),
            Wish::Help => self.see(Sight::Help),
            Wish::Filter => (self.sight, self.typing) = (Sight::Table, true),
            Wish::Type(letter) if self.filter.chars().count() < FILTER => self.filter.push(letter),
            Wish::Type(_) => {}
            Wish::Erase => drop(self.filter.pop()),
            Wish::Sort(order) => {
                self.reversed = self.order == order && !self.reversed;
                self.order = order;
            }
            Wish::Move(by) => {
                let vms = self.vms();
                if let Some(row) = self.row(&vms) {
                    let row = row.saturating_add_signed(by).min(vms.len() - 1);
                    self.chosen = vms.get(row).map(|vm| vm.key.clone());
                }
            }
        }
        true
    }

    /// Shows it, or the table again.
    fn see(&mut self, sight: Sight) {
        if sight == Sight::Detail && self.sight == Sight::Table {
            // It stays this one, wherever its row goes.
            self.chosen = self.vm().map(|vm| vm.key.clone());
        }
        self.sight = if self.sight == sight { Sight::Table } else { sight };
    }

    fn back(&mut self) -> bool {
        if self.sight != Sight::Table {
            self.sight = Sight::Table;
        } else if self.typing || !self.filter.is_empty() {
            self.typing = false;
            self.filter.clear();
        } else {
            return false;
        }
        true
    }

    fn compare(&self, (one, of_one): &(&Vm, Rates), (other, of_other): &(&Vm, Rates)) -> Ordering {
        let amount = |vm: &Vm, rates: &Rates| match self.order {
            Order::Processor => rates.cpu,
            Order::Ready => rates.ready,
            Order::Memory => memory(vm),
            Order::Disk => both(rates.read, rates.written),
            Order::Network => both(rates.received, rates.sent),
            Order::Name => None,
        };
        // What is not known comes last. Names make the order the same from one time to the next.
        let amounts = [amount(one, of_one), amount(other, of_other)].map(|amount| amount.unwrap_or(-1.0));
        let order = amounts[1].total_cmp(&amounts[0]).then_with(|| name(&one.identity).cmp(&name(&other.identity)));
        if self.reversed { order.reverse() } else { order }
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is only compared")]
fn memory(vm: &Vm) -> Option<f64> {
    vm.memory.as_ref()?.value.resident.map(|bytes| bytes.0 as f64)
}

fn both(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (None, None) => None,
        (one, other) => Some(one.unwrap_or_default() + other.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sample;

    fn screen() -> Screen {
        let mut screen = Screen::new(Duration::from_secs(15), Colours::Off);
        screen.take(Arc::new(sample::snapshot()));
        screen
    }

    fn names(screen: &Screen) -> Vec<String> {
        screen.vms().iter().map(|vm| vm.identity.name.to_string()).collect()
    }

    fn named(screen: &Screen) -> Option<String> {
        screen.vm().map(|vm| vm.identity.name.to_string())
    }

    #[test]
    fn what_is_not_known_comes_last_and_names_decide_else() {
        let mut screen = screen();
        assert!(screen.obey(Wish::Sort(Order::Memory)));
        assert_eq!(names(&screen)[0], "web-1", "it alone has memory");
        assert!(screen.obey(Wish::Sort(Order::Name)));
        let mut sorted = names(&screen);
        sorted.sort();
        assert_eq!(names(&screen), sorted);
        screen.obey(Wish::Sort(Order::Name));
        sorted.reverse();
        assert_eq!(names(&screen), sorted, "the same key again");
    }

    #[test]
    fn the_vm_that_is_looked_at_stays_the_same_in_another_order() {
        let mut screen = screen();
        screen.obey(Wish::Sort(Order::Name));
        screen.obey(Wish::Move(2));
        screen.obey(Wish::Enter);
        let chosen = named(&screen);
        assert!(chosen.is_some() && screen.sight() == Sight::Detail);
        screen.obey(Wish::Sort(Order::Memory));
        assert_eq!(named(&screen), chosen);
    }

    #[test]
    fn there_is_nothing_above_the_first_and_below_the_last() {
        let mut screen = screen();
        for (by, expected) in [(-1, 0), (1_000, 4), (isize::MAX, 4), (isize::MIN, 0)] {
            screen.obey(Wish::Move(by));
            assert_eq!(screen.row(&screen.vms()), Some(expected), "{by}");
        }
        let mut nothing = Screen::new(Duration::from_secs(1), Colours::On);
        assert!(nothing.obey(Wish::Move(1)) && nothing.obey(Wish::Enter));
        assert!(nothing.row(&nothing.vms()).is_none() && nothing.vm().is_none());
    }

    #[test]
    fn a_part_of_a_name_leaves_those_that_have_it() {
        let mut screen = screen();
        for wish in [Wish::Filter, Wish::Type('d'), Wish::Type('b'), Wish::Type('-')] {
            assert!(screen.obey(wish));
        }
        assert!(screen.is_typing());
        assert_eq!(names(&screen), ["db-1"]);
        assert!(screen.obey(Wish::Enter) && !screen.is_typing());
        for _ in 0..500 {
            screen.obey(Wish::Type('x'));
        }
        assert_eq!(screen.filter().chars().count(), FILTER);
        assert!(names(&screen).is_empty() && screen.vm().is_none());
        assert!(screen.obey(Wish::Back), "all of them again");
        assert_eq!(names(&screen).len(), 5);
    }

    #[test]
    fn back_leads_to_the_table_and_from_there_to_the_end() {
        let mut screen = screen();
        for sight in [Wish::Enter, Wish::Help] {
            screen.obey(sight);
            assert_ne!(screen.sight(), Sight::Table);
            assert!(screen.obey(Wish::Back));
            assert_eq!(screen.sight(), Sight::Table);
        }
        assert!(!screen.obey(Wish::Back));
        assert!(!screen.obey(Wish::End));
    }
}
