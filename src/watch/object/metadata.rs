//! Labels and annotations.

use std::sync::Arc;

use super::json::{Raw, decoded, members, pick, text};
use super::{Tally, limits};
use crate::model::Origin;

/// The label of a VMI whose launcher is older than the installed KubeVirt.
pub(super) const OUTDATED: &str = "kubevirt.io/outdatedLauncherImage";

/// The labels, each with its value if that is usable. Which of them are allowed is not known here.
pub(super) fn labels(raw: Raw<'_>, tally: &mut Tally) -> Vec<(Box<str>, Option<Arc<str>>)> {
    let mut labels = Vec::new();
    members(raw, tally, |key, value, tally| {
        if labels.len() >= limits::LABELS || key.len() > limits::LABEL_KEY {
            tally.labels = tally.labels.saturating_add(1);
            return;
        }
        let value = decoded(value.get(), limits::LABEL_VALUE).map(Into::into);
        labels.push((key.into(), value));
    });
    labels
}

/// Where the VMI comes from.
pub(super) fn origin(annotations: Raw<'_>, tally: &mut Tally) -> Origin {
    let [os, workload, flavor, own_type, cluster_type, own_preference, cluster_preference] = pick(
        annotations,
        [
            "vm.kubevirt.io/os",
            "vm.kubevirt.io/workload",
            "vm.kubevirt.io/flavor",
            "kubevirt.io/instancetype-name",
            "kubevirt.io/cluster-instancetype-name",
            "kubevirt.io/preference-name",
            "kubevirt.io/cluster-preference-name",
        ],
        tally,
    );
    let mut said = |raw| text(raw, limits::FREE_TEXT, tally);
    Origin {
        os: said(os),
        workload: said(workload),
        flavor: said(flavor),
        instance_type: said(own_type).or_else(|| said(cluster_type)),
        preference: said(own_preference).or_else(|| said(cluster_preference)),
    }
}
