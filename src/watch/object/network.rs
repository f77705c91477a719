//! Reads interfaces and networks from the specification.

use std::sync::Arc;

use super::json::{Raw, elements, members, pick, text};
use super::{Tally, limits};
use crate::model::{SpecInterface, Vmi};

/// KubeVirt's own bindings, each a key of the interface. The last two became plugins.
const CORE: [&str; 7] = ["masquerade", "bridge", "slirp", "sriov", "passtBinding", "macvtap", "passt"];

/// Reads `spec.domain.devices.interfaces`, each joined with its network.
pub(super) fn read(spec: Raw<'_>, vmi: &mut Vmi, tally: &mut Tally) {
    let [domain, networks] = pick(spec, ["domain", "networks"], tally);
    let [devices] = pick(domain, ["devices"], tally);
    let [interfaces] = pick(devices, ["interfaces"], tally);
    let networks = self::networks(networks, tally);
    let mut nics = Vec::new();
    elements(interfaces, limits::INTERFACES, tally, |raw, tally| {
        let [name, model, plugin] = pick(Some(raw), ["name", "model", "binding"], tally);
        let Some(name) = text(name, limits::NAME, tally) else { return };
        let (binding_type, binding) = binding(raw, plugin, tally);
        let network = networks.iter().find(|(known, _)| *known == name).map(|(_, network)| Arc::clone(network));
        let model = text(model, limits::WORD, tally);
        nics.push(SpecInterface { name, model, binding_type, binding, network });
    });
    nics.sort_by(|one: &SpecInterface, other| one.name.cmp(&other.name));
    vmi.nics = nics.into();
}

/// An interface's binding type and binding.
fn binding(
    interface: &serde_json::value::RawValue,
    plugin: Raw<'_>,
    tally: &mut Tally,
) -> (Option<Arc<str>>, Option<Arc<str>>) {
    if plugin.is_some() {
        let [name] = pick(plugin, ["name"], tally);
        if let Some(name) = text(name, limits::NAME, tally) {
            return (Some("plugin".into()), Some(name));
        }
    }
    let mut found: Option<usize> = None;
    members(Some(interface), tally, |key, value, _| {
        let place = CORE.iter().position(|known| *known == key).filter(|_| value.get().starts_with('{'));
        // Only one is allowed; of several, the first in `CORE` counts, whatever their order.
        found = [found, place].into_iter().flatten().min();
    });
    match found.map(|place| CORE[place]) {
        Some("passtBinding") => (Some("core".into()), Some("passt".into())),
        Some(known) => (Some("core".into()), Some(known.into())),
        None => (None, None),
    }
}

/// The networks by name, as KubeVirt's metrics call them.
fn networks(raw: Raw<'_>, tally: &mut Tally) -> Vec<(Arc<str>, Arc<str>)> {
    let mut networks = Vec::new();
    elements(raw, limits::INTERFACES, tally, |raw, tally| {
        let [name, pod, multus] = pick(Some(raw), ["name", "pod", "multus"], tally);
        let Some(name) = text(name, limits::NAME, tally) else { return };
        if pod.is_some_and(|pod| pod.get().starts_with('{')) {
            networks.push((name, "pod networking".into()));
            return;
        }
        let [network] = pick(multus, ["networkName"], tally);
        // A namespace, a slash and a name.
        if let Some(network) = text(network, limits::NAMESPACE + 1 + limits::NAME, tally) {
            networks.push((name, network));
        }
    });
    networks
}
