//! The Kubernetes API: whether it answers, what the agent may do there, and whether the watch gets its list.

use crate::model::Timestamp;
use crate::watch::{
    self, ConnectError, FaultKind, Need, REVIEWING, Right, Rights, RightsError, WATCHING, WatchCounters,
};

use super::finding::{Check, Finding};

/// What asking the API server for the agent's rights gave.
#[derive(Debug)]
pub(super) enum Asked {
    /// The credentials cannot be used.
    Unusable(String),
    /// It did not answer that.
    Refused(String, RightsError),
    /// It answered.
    Answered(String, Rights),
}

/// Connects and asks for the rights to watch VMIs, and, where bearer tokens are reviewed, for those that it takes.
pub(super) async fn ask(settings: watch::Settings, reviews_tokens: bool) -> Asked {
    let server = match watch::connect(&settings).await {
        Ok(server) => server,
        Err(error) => return Asked::Unusable(with_causes(&error)),
    };
    let reviewing: &[Need] = if reviews_tokens { &REVIEWING } else { &[] };
    match watch::rights(&server, &[&WATCHING, reviewing].concat()).await {
        Ok(rights) => Asked::Answered(server.url().to_owned(), rights),
        Err(error) => Asked::Refused(server.url().to_owned(), error),
    }
}

fn with_causes(error: &ConnectError) -> String {
    let mut said = error.to_string();
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    for cause in causes.map(ToString::to_string) {
        // Some repeat theirs.
        if !said.contains(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

impl Asked {
    /// What time it was there.
    pub(super) fn date(&self) -> Option<Timestamp> {
        match self {
            Self::Answered(_, rights) => rights.date,
            Self::Unusable(_) | Self::Refused(..) => None,
        }
    }

    /// Whether the watch may get its list: nothing that was said is against it.
    pub(super) fn lets_watch(&self) -> bool {
        match self {
            Self::Unusable(_) => false,
            // Somebody has forbidden reviews, which is no word about VMIs.
            Self::Refused(_, error) => matches!(error.kind, FaultKind::Forbidden | FaultKind::NotFound),
            Self::Answered(_, rights) => {
                rights.each.iter().filter(|right| WATCHING.contains(&right.need)).all(|right| right.allowed)
            }
        }
    }

    pub(super) fn judge(&self) -> Vec<Finding> {
        const UNKNOWN: &str = "the API server did not say what the agent may do";
        match self {
            Self::Unusable(reason) => vec![
                Finding::failure(Check::KubernetesApi, reason, "correct --kubeconfig, or the pod's service account"),
                Finding::not_tried(Check::KubernetesRights, UNKNOWN),
            ],
            Self::Refused(server, RightsError { kind, reason }) => vec![
                Finding::failure(Check::KubernetesApi, format!("{server} does not answer: {reason}"), advice(*kind)),
                Finding::not_tried(Check::KubernetesRights, UNKNOWN),
            ],
            Self::Answered(server, rights) => {
                let mut findings = vec![Finding::well(Check::KubernetesApi, format!("{server} answers"))];
                findings.extend(rights.each.iter().map(right));
                findings
            }
        }
    }
}

fn right(Right { need, allowed, reason }: &Right) -> Finding {
    let Need { verb, group, resource, advice } = need;
    let what = format!("{verb} {resource}.{group} in all namespaces");
    let because = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    if *allowed {
        Finding::well(Check::KubernetesRights, format!("the agent may {what}{because}"))
    } else {
        Finding::failure(Check::KubernetesRights, format!("the agent may not {what}{because}"), advice)
    }
}

/// What to do about a review that was refused. It is no request about VMIs, and needs no role.
const fn advice(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::NotFound | FaultKind::Forbidden => {
            "is it a Kubernetes API server that answers there, and may its accounts make SelfSubjectAccessReviews, as \
             they may by default?"
        }
        kind => kind.advice(),
    }
}

/// What the watch of the node's VMIs got. `known` is how many it told.
pub(super) fn vmis(node: &str, counters: &WatchCounters, known: usize) -> Vec<Finding> {
    if !counters.synced() {
        let kinds = FaultKind::ALL.into_iter().filter(|kind| counters.errors(*kind) > 0);
        let advice: Vec<&str> = kinds.clone().map(FaultKind::advice).collect();
        let kinds: Vec<&str> = kinds.map(FaultKind::as_str).collect();
        let (why, advice) = if kinds.is_empty() {
            ("in time".to_owned(), FaultKind::Unreachable.advice().to_owned())
        } else {
            (format!("({})", kinds.join(", ")), advice.join("; "))
        };
        let detail = format!("the VMIs of node {node} were not listed {why}");
        return vec![Finding::failure(Check::Vmis, detail, advice)];
    }
    let mut findings = vec![if known == 0 {
        Finding::well(Check::Vmis, format!("the API lists no VMI on node {node}"))
            .next(format!("nothing, if none runs there; else the node's name is not {node}: set VIRT_OTEL_NODE_NAME"))
    } else {
        Finding::well(Check::Vmis, format!("the API lists {known} VMIs on node {node}"))
    }];
    let dropped = [("objects", counters.objects_dropped()), ("fields", counters.fields_dropped())];
    for (what, count) in dropped.into_iter().filter(|(_, count)| *count > 0) {
        findings.push(Finding::warning(
            Check::Vmis,
            format!("{count} {what} of them could not be used, and are left out"),
            "look for a VMI whose values are not KubeVirt's; please report one of a version that is released",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Outcome;

    fn outcomes(asked: &Asked) -> Vec<(Check, Outcome)> {
        asked.judge().iter().map(|finding| (finding.check, finding.outcome)).collect()
    }

    fn answered(rights: &[(Need, bool)]) -> Asked {
        let right =
            |(need, allowed): &(Need, bool)| Right { need: *need, allowed: *allowed, reason: "RBAC: bound".to_owned() };
        let rights = Rights { each: rights.iter().map(right).collect(), date: None };
        Asked::Answered("https://10.0.0.1/".to_owned(), rights)
    }

    #[test]
    fn reviews_of_tokens_that_are_denied_fail_and_leave_the_watch_alone() {
        let [tokens, access] = REVIEWING;
        let asked = answered(&[(WATCHING[0], true), (WATCHING[1], true), (tokens, true), (access, false)]);
        assert!(asked.lets_watch());
        let denied = asked.judge().pop().unwrap();
        assert_eq!(denied.outcome, Outcome::Failure);
        assert!(denied.detail.contains("create subjectaccessreviews.authorization.k8s.io"), "{denied:?}");
        assert!(denied.next_step.unwrap().contains("tokenreviews"));
    }

    #[test]
    fn each_right_that_is_missing_is_a_failure_with_the_role_that_gives_it() {
        let [list, watch] = WATCHING;
        let asked = answered(&[(list, true), (watch, false)]);
        assert_eq!(
            outcomes(&asked),
            [
                (Check::KubernetesApi, Outcome::Well),
                (Check::KubernetesRights, Outcome::Well),
                (Check::KubernetesRights, Outcome::Failure)
            ]
        );
        assert!(!asked.lets_watch());
        let denied = asked.judge().pop().unwrap();
        assert!(denied.next_step.unwrap().contains("ClusterRole"));
    }

    #[test]
    fn an_api_that_does_not_answer_leaves_the_rights_untried() {
        for asked in [
            Asked::Unusable("no service account".to_owned()),
            Asked::Refused(
                "https://x".to_owned(),
                RightsError { kind: FaultKind::Unreachable, reason: "refused".into() },
            ),
        ] {
            assert_eq!(
                outcomes(&asked),
                [(Check::KubernetesApi, Outcome::Failure), (Check::KubernetesRights, Outcome::NotTried)]
            );
            assert!(asked.judge()[0].next_step.is_some() && !asked.lets_watch());
        }
    }

    #[test]
    fn reviews_that_somebody_has_forbidden_are_no_reason_not_to_try_the_watch() {
        let error = RightsError { kind: FaultKind::Forbidden, reason: "no reviews".to_owned() };
        let asked = Asked::Refused("https://x".to_owned(), error);
        assert!(asked.lets_watch());
        assert!(asked.judge()[0].next_step.as_ref().unwrap().contains("SelfSubjectAccessReviews"));
    }

    #[test]
    fn a_list_that_did_not_come_fails() {
        let counters = WatchCounters::new();
        let finding = vmis("node-a", &counters, 0).remove(0);
        assert_eq!(finding.outcome, Outcome::Failure);
        assert!(finding.detail.contains("in time") && finding.next_step.is_some(), "{finding:?}");
    }
}
