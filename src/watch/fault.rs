//! What can go wrong between the agent and the API, and what to do about it.

use kube::runtime::watcher;

use crate::model::names;

/// The kinds of failures: a closed set, since they become labels and each is logged once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// No connection, no answer in time, or a broken connection.
    Unreachable,
    /// 401: the credentials are not accepted.
    Unauthorized,
    /// 403: access is denied.
    Forbidden,
    /// 404: the API does not serve VirtualMachineInstances.
    NotFound,
    /// 410: the resource version to resume from is too old. The watch lists again; nothing is wrong.
    Expired,
    /// 429: too many requests.
    Throttled,
    /// 400 or 422: the request is not understood.
    Refused,
    /// Another status.
    Failed,
    /// The answer is malformed.
    Garbled,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Unreachable,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Expired,
        Self::Throttled,
        Self::Refused,
        Self::Failed,
        Self::Garbled,
    ];

    /// The name of every value, for a closed set of labels.
    pub(super) const NAMES: [&'static str; Self::ALL.len()] = names!(Self::ALL);

    /// Its name in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Expired => "expired",
            Self::Throttled => "throttled",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Garbled => "garbled",
        }
    }

    /// What the operator can do.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "is the API server up, and does a NetworkPolicy or firewall let the agent's pod reach it?"
            }
            Self::Unauthorized => {
                "the token or certificate is not accepted: does the agent's service account still exist, or is the \
                 kubeconfig out of date?"
            }
            Self::Forbidden => {
                "bind the agent's service account to a ClusterRole with the rule apiGroups: [\"kubevirt.io\"], \
                 resources: [\"virtualmachineinstances\"], verbs: [\"get\", \"list\", \"watch\"]; in the whole \
                 cluster, since a node's VMIs are in all namespaces"
            }
            Self::NotFound => {
                "the API server does not know virtualmachineinstances.kubevirt.io in version v1: is KubeVirt installed \
                 in this cluster?"
            }
            Self::Expired => "the list is read afresh",
            Self::Throttled => {
                "the API server has too much to do, or prepares its storage for a resource that is new, which takes \
                 seconds; if it lasts, see its priority and fairness settings"
            }
            Self::Refused => "the API server does not understand the request; is it older than Kubernetes 1.27?",
            Self::Failed => "see the API server's log",
            Self::Garbled => "is it a Kubernetes API server that answers there, or a proxy before it?",
        }
    }
}

/// A failure: its kind, what was attempted, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    pub(super) attempted: &'static str,
    /// Whether the watch was already open.
    pub(super) while_watching: bool,
    pub(super) reason: String,
}

/// The kind of a failed request, and the reason in one sentence.
pub(super) fn reason_of(error: &kube::Error) -> (FaultKind, String) {
    (of(error), shortened(chain(error)))
}

/// The most bytes of a server's message to show: enough for a Kubernetes sentence, not for a page of HTML.
const LONGEST_REASON: usize = 400;

impl Fault {
    pub(super) fn of(error: &watcher::Error) -> Self {
        let (attempted, kind, reason) = match error {
            watcher::Error::InitialListFailed(cause) => ("list the VirtualMachineInstances", of(cause), chain(cause)),
            watcher::Error::WatchStartFailed(cause) => ("watch the VirtualMachineInstances", of(cause), chain(cause)),
            watcher::Error::WatchFailed(cause) => {
                ("go on watching the VirtualMachineInstances", of(cause), chain(cause))
            }
            watcher::Error::WatchError(status) => {
                ("go on watching the VirtualMachineInstances", of_code(status.code), status.message.clone())
            }
            watcher::Error::NoResourceVersion => {
                ("list the VirtualMachineInstances", FaultKind::Garbled, error.to_string())
            }
        };
        let while_watching = matches!(error, watcher::Error::WatchFailed(_) | watcher::Error::WatchError(_));
        Self { kind, attempted, while_watching, reason: shortened(reason) }
    }
}

fn of(error: &kube::Error) -> FaultKind {
    match error {
        kube::Error::Api(status) => of_code(status.code),
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) | kube::Error::LinesCodecMaxLineLengthExceeded => {
            FaultKind::Garbled
        }
        // A token file that cannot be read, or a kubeconfig plugin that fails.
        kube::Error::Auth(_) => FaultKind::Unauthorized,
        _ => FaultKind::Unreachable,
    }
}

pub(super) fn of_code(code: u16) -> FaultKind {
    match code {
        401 => FaultKind::Unauthorized,
        403 => FaultKind::Forbidden,
        404 => FaultKind::NotFound,
        410 => FaultKind::Expired,
        429 => FaultKind::Throttled,
        400 | 422 => FaultKind::Refused,
        _ => FaultKind::Failed,
    }
}

/// An error with its causes, as one sentence. Many errors repeat their cause; each appears once.
fn chain(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return match status.message.trim() {
            "" => format!("status {}", status.code),
            message => message.to_owned(),
        };
    }
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !said.contains(&more) {
            said.push_str(": ");
            said.push_str(&more);
        }
        cause = error.source();
    }
    said
}

/// A text of the server's, cut to what is shown of one.
pub(super) fn shortened(mut reason: String) -> String {
    if reason.len() > LONGEST_REASON {
        let end = (0..=LONGEST_REASON).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or_default();
        reason.truncate(end);
        reason.push('…');
    }
    reason
}
