//! The figures of the fleet, as expressions with tokens: one series for each VM.

use virt_otel::catalog::Vocabulary;

use super::super::{is_libvirt, with_host};

/// How long the lists look back, and the lines between two points of theirs.
pub(super) const LISTS: &str = "$window";
pub(super) const LINES: &str = "$__rate_interval";

/// The part of the time in which a vCPU could have run and the host ran something else.
pub(super) fn ready(window: &str) -> String {
    format!("avg by (@id@) (max by (@id@, id) (rate(@prefix@_vcpu_delay_seconds_total{{@of@}}[{window}])))@here@")
}

/// The part of its vCPUs that a VM uses.
pub(super) fn used(window: &str) -> String {
    format!(
        "max by (@id@) (rate(@prefix@_cpu_usage_seconds_total{{@of@}}[{window}])) \
         / max by (@id@) (@prefix@_vcpu_current{{@of@}})@here@"
    )
}

/// The part of its memory that a guest cannot reclaim.
pub(super) fn memory() -> String {
    "1 - max by (@id@) (@prefix@_memory_usable_bytes{@of@}) / max by (@id@) (@prefix@_memory_available_bytes{@of@})@here@"
        .to_owned()
}

/// How fast a counter grows, whose name is between the prefix and `_total`.
pub(super) fn rate(counter: &str, labels: &str, window: &str) -> String {
    format!("max by (@id@{labels}) (rate(@prefix@_{counter}_total{{@of@}}[{window}]))")
}

/// How long a request takes, while there are any.
pub(super) fn latency(times: &str, requests: &str, window: &str) -> String {
    format!("{} / ({} > 0)@here@", rate(times, ", drive", window), rate(requests, ", drive", window))
}

/// Of each VM, both ways and all devices together.
pub(super) fn both(one: &str, other: &str, device: &str, window: &str) -> String {
    format!("sum by (@id@) ({}) + sum by (@id@) ({})@here@", rate(one, device, window), rate(other, device, window))
}

pub(super) fn top(expression: &str) -> String {
    format!("topk($top, {expression})")
}

/// A further figure of those that are first in another.
pub(super) fn of_the_top(figure: &str, by: &str, labels: &str) -> String {
    format!("({figure}) and on (@id@{labels}) {}", top(by))
}

/// The types of VMs, with their hosts; one series for each VM.
pub(super) struct Types {
    pub(super) vocabulary: Vocabulary,
}

impl Types {
    /// Of the VMs that were chosen.
    pub(super) fn of(&self, more: &str) -> String {
        self.with(&format!("@of@{more}"), "@here@")
    }

    fn with(&self, selector: &str, here: &str) -> String {
        let series = with_host(self.vocabulary, "@prefix@_hypervisor_info", selector);
        let once = format!("max by (@placed@, hypervisor_type) ({series})");
        // Right after a migration it may be on both hosts.
        let once = if is_libvirt(self.vocabulary) { format!("topk by (@id@) (1, {once})") } else { once };
        format!("({once}{here})")
    }

    /// Those that are emulated though KVM is on their host, or though their label says KVM.
    pub(super) fn unexpected(&self) -> String {
        let kvm = self.with(r#"hypervisor_type="kvm""#, "");
        let beside = format!("({} and on (@host@) {kvm})", self.of(r#",hypervisor_type="qemu-tcg""#));
        if is_libvirt(self.vocabulary) {
            return beside;
        }
        let labelled = self.of(r#",hypervisor_type="qemu-tcg",kubernetes_vmi_label_hypervisor="kvm""#);
        format!("({beside} or {labelled})")
    }
}

/// A number of VMs: 0 only where others are known.
pub(super) fn how_many(of: &str, all: &str) -> String {
    format!("count({of}) or 0 * count({all})")
}

/// A figure that is 1 for some VMs and 0 for the others, added up.
pub(super) fn sum(figure: &str) -> String {
    format!("sum(max by (@id@) ({figure})@here@)")
}
