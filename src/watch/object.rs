//! Reads a VirtualMachineInstance from the API into the model.
//!
//! Only used fields are taken, straight from the text: all others, such as `managedFields` (five sixths of an object),
//! are skipped without being built. Reading cannot fail: what cannot be understood is absent and counted, and an object
//! without identity gives no VMI.

mod json;
mod limits;
mod metadata;
mod network;
mod quantity;
mod status;
mod storage;
#[cfg(test)]
pub(super) mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::allow::AllowedLabels;
use crate::model::Vmi;
use json::{pick, text};

/// How many values of an object could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Values with the wrong type, too long, out of range, or too many. A `null` is not one: Go writes absent values
    /// so.
    pub fields: u64,
    /// Allowed labels that were too long, too many, or had the same Prometheus label as another.
    pub labels: u64,
}

/// What was read from an object.
#[derive(Debug, Clone, Default)]
pub struct ParsedVmi {
    /// The VMI; `None` for an object without a namespace, a name or a UID.
    pub vmi: Option<Vmi>,
    /// What could not be used.
    pub tally: Tally,
}

impl ParsedVmi {
    /// Reads the text of an object. Any text gives a reading.
    #[must_use]
    pub fn of(text: &str, allowed: &AllowedLabels, node: &str) -> Self {
        let object = match serde_json::from_str::<&RawValue>(text) {
            Ok(raw) => Object::read(raw),
            Err(_) => Object::nothing(),
        };
        let (vmi, tally) = object.finish(allowed, node);
        Self { vmi, tally }
    }
}

/// An object of a list or of an event, on its way from kube's watcher to the pump.
#[derive(Debug, Clone)]
pub(super) struct Object {
    /// What kube's watcher needs: only the resource version.
    meta: ObjectMeta,
    vmi: Option<Box<Vmi>>,
    labels: Vec<(Box<str>, Option<Arc<str>>)>,
    tally: Tally,
}

impl Object {
    fn nothing() -> Self {
        Self {
            meta: ObjectMeta::default(),
            vmi: None,
            labels: Vec::new(),
            tally: Tally { fields: 1, ..Tally::default() },
        }
    }

    fn read(raw: &RawValue) -> Self {
        let mut tally = Tally::default();
        let [metadata, spec, status] = pick(Some(raw), ["metadata", "spec", "status"], &mut tally);
        let [namespace, name, uid, version, labels, annotations] =
            pick(metadata, ["namespace", "name", "uid", "resourceVersion", "labels", "annotations"], &mut tally);
        let namespace = text(namespace, limits::NAMESPACE, &mut tally);
        let name = text(name, limits::NAME, &mut tally);
        let uid = text(uid, limits::UID, &mut tally);
        let version = text(version, limits::RESOURCE_VERSION, &mut tally);
        let meta = ObjectMeta { resource_version: version.as_deref().map(str::to_owned), ..ObjectMeta::default() };
        let (Some(namespace), Some(name), Some(uid)) = (namespace, name, uid) else {
            return Self { meta, vmi: None, labels: Vec::new(), tally };
        };
        let labels = metadata::labels(labels, &mut tally);
        let mut vmi = Vmi { namespace, name, uid, ..Vmi::default() };
        vmi.outdated = labels.iter().any(|(key, _)| **key == *metadata::OUTDATED);
        vmi.origin = metadata::origin(annotations, &mut tally);
        network::read(spec, &mut vmi, &mut tally);
        storage::read(spec, &mut vmi, &mut tally);
        status::read(spec, status, &mut vmi, &mut tally);
        Self { meta, vmi: Some(Box::new(vmi)), labels, tally }
    }

    /// Applies the configuration: which labels are used, and which pods matter most.
    pub(super) fn finish(self, allowed: &AllowedLabels, node: &str) -> (Option<Vmi>, Tally) {
        let mut tally = self.tally;
        let vmi = self.vmi.map(|vmi| {
            let mut vmi = *vmi;
            let (labels, dropped) = allowed.choose(&self.labels);
            vmi.labels = labels;
            tally.labels = tally.labels.saturating_add(dropped);
            // This node's pods first, so that the limit drops others.
            vmi.pods
                .sort_unstable_by(|one, other| (*one.node != *node, &one.uid).cmp(&(*other.node != *node, &other.uid)));
            let beyond = vmi.pods.len().saturating_sub(limits::PODS_KEPT);
            tally.fields = tally.fields.saturating_add(beyond as u64);
            vmi.pods.truncate(limits::PODS_KEPT);
            vmi.pods.shrink_to_fit();
            vmi
        });
        (vmi, tally)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Any JSON value is accepted, so that an invalid one does not spoil a page of others.
        <&RawValue>::deserialize(deserializer).map(Self::read)
    }
}

impl kube::Resource for Object {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "VirtualMachineInstance".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "kubevirt.io".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "virtualmachineinstances".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}
