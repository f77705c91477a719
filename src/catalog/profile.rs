//! Which rows are published where KubeVirt's own metrics are collected as well.

use super::Metric;

/// Which rows are published in kubevirt and sidecar mode, before globs choose among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Every row.
    Full,
    /// Those that KubeVirt has not. Where Prometheus collects KubeVirt's own metrics too, each row that both have would
    /// count twice, in KubeVirt's recording rules and alerts as well.
    BesideKubevirt,
}

impl Profile {
    /// Their names on the command line.
    pub const WORDS: [(&'static str, Self); 2] =
        [(Self::Full.as_str(), Self::Full), (Self::BesideKubevirt.as_str(), Self::BesideKubevirt)];

    /// The name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::BesideKubevirt => "beside-kubevirt",
        }
    }

    /// Whether this row is one of them.
    #[must_use]
    pub fn has(self, metric: &Metric) -> bool {
        self == Self::Full || metric.kubevirts().is_none()
    }
}
