//! Keeps equal strings once.
//!
//! The VMIs of a node have much in common: the node, their namespaces, guest systems, machine types, labels.

use std::collections::HashSet;
use std::sync::Arc;

use crate::model::Vmi;

/// How many strings are kept for later VMIs: the guest systems, namespaces and labels of a node, with headroom.
const MOST: usize = 1024;

/// The longest string that is kept. Longer ones are hardly ever equal to others.
const LONGEST: usize = 64;

/// The strings that VMIs have in common.
#[derive(Debug, Default)]
pub(super) struct Shared {
    known: HashSet<Arc<str>>,
}

impl Shared {
    /// Replaces this VMI's strings with equal ones of other VMIs.
    pub(super) fn share(&mut self, vmi: &mut Vmi) {
        self.one(&mut vmi.namespace);
        vmi.pods.iter_mut().for_each(|pod| self.one(&mut pod.node));
        for nic in &mut vmi.nics {
            self.one(&mut nic.name);
            self.all([&mut nic.model, &mut nic.binding_type, &mut nic.binding, &mut nic.network]);
        }
        for interface in &mut vmi.addresses {
            self.all([&mut interface.name, &mut interface.guest_name]);
        }
        vmi.volumes.iter_mut().for_each(|volume| self.one(&mut volume.name));
        vmi.labels.iter_mut().for_each(|label| self.one(&mut label.value));
        let (guest, origin) = (&mut vmi.guest, &mut vmi.origin);
        self.all([&mut guest.name, &mut guest.id, &mut guest.pretty_name, &mut guest.version_id]);
        self.all([&mut guest.kernel_release, &mut guest.machine]);
        self.all([&mut origin.os, &mut origin.workload, &mut origin.flavor]);
        self.all([&mut origin.instance_type, &mut origin.preference]);
        self.all([&mut vmi.node, &mut vmi.machine, &mut vmi.eviction_strategy]);
        if let Some(migration) = &mut vmi.migration {
            self.all([&mut migration.source_node, &mut migration.target_node]);
        }
    }

    fn all<const N: usize>(&mut self, texts: [&mut Option<Arc<str>>; N]) {
        texts.into_iter().flatten().for_each(|text| self.one(text));
    }

    fn one(&mut self, text: &mut Arc<str>) {
        if let Some(known) = self.known.get(&**text) {
            *text = Arc::clone(known);
            return;
        }
        if text.len() > LONGEST {
            return;
        }
        if self.known.len() >= MOST {
            // Strings that no VMI uses any more make room.
            self.known.retain(|known| Arc::strong_count(known) > 1);
        }
        if self.known.len() < MOST {
            self.known.insert(Arc::clone(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_vmis_say_is_kept_once() {
        let mut shared = Shared::default();
        let vmi = || Vmi { namespace: "shop".into(), node: Some("node01".into()), ..Vmi::default() };
        let (mut one, mut other) = (vmi(), vmi());
        shared.share(&mut one);
        shared.share(&mut other);
        assert!(Arc::ptr_eq(&one.namespace, &other.namespace));
        assert!(one.node.zip(other.node).is_some_and(|(one, other)| Arc::ptr_eq(&one, &other)));
    }

    #[test]
    fn what_nobody_says_any_more_makes_room_and_the_rest_has_a_bound() {
        let mut shared = Shared::default();
        for number in 0..MOST * 3 {
            shared.share(&mut Vmi { namespace: format!("ns{number}").into(), ..Vmi::default() });
        }
        assert!(shared.known.len() <= MOST);
        let kept: Vec<Vmi> = (0..MOST * 3)
            .map(|number| {
                let mut vmi = Vmi { namespace: format!("kept{number}").into(), ..Vmi::default() };
                shared.share(&mut vmi);
                vmi
            })
            .collect();
        assert!(shared.known.len() <= MOST);
        assert_eq!(kept.len(), MOST * 3);
    }
}
