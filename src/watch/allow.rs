//! Which labels of VMIs are used.

use std::sync::Arc;

use crate::model::VmiLabel;

/// KubeVirt's prefix for the labels of a VMI.
const PREFIX: &str = "kubernetes_vmi_label_";

/// The labels of VMIs that the configuration allows.
#[derive(Debug, Clone, Default)]
pub struct AllowedLabels {
    /// Key and Prometheus label, in the order of the configuration.
    allowed: Vec<(Arc<str>, Arc<str>)>,
}

impl AllowedLabels {
    /// Allows labels with these keys, the most important first.
    #[must_use]
    pub fn new(keys: &[String]) -> Self {
        let mut allowed: Vec<(Arc<str>, Arc<str>)> = Vec::with_capacity(keys.len());
        for key in keys {
            if !allowed.iter().any(|(known, _)| **known == **key) {
                allowed.push((key.as_str().into(), prometheus_label(key)));
            }
        }
        Self { allowed }
    }

    /// A VMI's allowed labels, ordered by Prometheus label, and how many were dropped. A label without a value had an
    /// unusable one.
    pub(super) fn choose(&self, labels: &[(Box<str>, Option<Arc<str>>)]) -> (Vec<VmiLabel>, u64) {
        let mut chosen: Vec<VmiLabel> = Vec::new();
        let mut dropped = 0;
        for (key, label) in &self.allowed {
            let Some((_, value)) = labels.iter().find(|(known, _)| **known == **key) else { continue };
            match value {
                // Two keys may become one Prometheus label (`a.b`, `a-b`): the first stays.
                Some(value) if chosen.len() < VmiLabel::MOST && chosen.iter().all(|other| other.label != *label) => {
                    chosen.push(VmiLabel { key: Arc::clone(key), label: Arc::clone(label), value: Arc::clone(value) });
                }
                _ => dropped += 1,
            }
        }
        chosen.sort_by(|one, other| one.label.cmp(&other.label));
        chosen.shrink_to_fit();
        (chosen, dropped)
    }
}

/// The Prometheus label of a label's key, as KubeVirt writes it.
fn prometheus_label(key: &str) -> Arc<str> {
    let safe = key.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '_' });
    PREFIX.chars().chain(safe).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(keys: &[&str]) -> AllowedLabels {
        AllowedLabels::new(&keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>())
    }

    fn labels(pairs: &[(&str, &str)]) -> Vec<(Box<str>, Option<Arc<str>>)> {
        pairs.iter().map(|(key, value)| ((*key).into(), Some((*value).into()))).collect()
    }

    #[test]
    fn a_key_becomes_the_label_that_kubevirt_writes() {
        assert_eq!(&*prometheus_label("app.kubernetes.io/part-of"), "kubernetes_vmi_label_app_kubernetes_io_part_of");
        assert_eq!(&*prometheus_label("under_score9"), "kubernetes_vmi_label_under_score9");
    }

    #[test]
    fn only_allowed_labels_are_used_ordered_by_label() {
        let found = labels(&[("team", "a"), ("secret", "s"), ("app", "shop")]);
        let (chosen, dropped) = allowed(&["team", "app", "tier"]).choose(&found);
        let pairs: Vec<(&str, &str)> = chosen.iter().map(|label| (&*label.key, &*label.value)).collect();
        assert_eq!(pairs, [("app", "shop"), ("team", "a")]);
        assert_eq!(dropped, 0);
    }

    #[test]
    fn of_two_keys_with_one_prometheus_label_the_first_of_the_configuration_stays() {
        let found = labels(&[("a-b", "dash"), ("a.b", "dot")]);
        let (chosen, dropped) = allowed(&["a.b", "a-b"]).choose(&found);
        assert_eq!(chosen.len(), 1);
        assert_eq!(&*chosen[0].value, "dot");
        assert_eq!(dropped, 1);
        // If only the second one is present, it is used.
        let (chosen, dropped) = allowed(&["a.b", "a-b"]).choose(&labels(&[("a-b", "dash")]));
        assert_eq!((&*chosen[0].value, dropped), ("dash", 0));
    }

    #[test]
    fn beyond_sixteen_labels_and_without_a_usable_value_they_are_dropped_and_counted() {
        let keys: Vec<String> = (0..20).map(|number| format!("key{number:02}")).collect();
        let mut found: Vec<_> = keys.iter().map(|key| (key.as_str().into(), Some("v".into()))).collect();
        found[3].1 = None;
        let (chosen, dropped) = AllowedLabels::new(&keys).choose(&found);
        assert_eq!(chosen.len(), VmiLabel::MOST);
        assert_eq!(&*chosen[VmiLabel::MOST - 1].key, "key16");
        assert_eq!(dropped, 4);
    }
}
