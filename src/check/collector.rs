//! The Collector: reachable, and speaking OTLP. It is sent an empty request.

use super::attempt::blocking;
use super::finding::{Check, Finding};
use crate::collector::{Collector, CollectorError};
use crate::export::otlp::{Accepted, ProbeError, Signal, probe};

/// What to do about credentials that cannot be used, if they do not say it.
const NEXT: &str = "correct the files of the OTEL_EXPORTER_OTLP_ variables";

/// Sends an empty request for metrics, and one for logs where they are pushed. `None`: they are not.
pub(super) async fn try_both(metrics: Option<Collector>, logs: Option<Collector>) -> Vec<Finding> {
    let asked = [
        (Check::Collector, Signal::Metrics, metrics, "metrics are not pushed: `otlp` is not among --exporters"),
        (Check::CollectorLogs, Signal::Logs, logs, "logs are not pushed: --logs-exporter is not otlp"),
    ];
    let mut findings = Vec::new();
    for (check, signal, collector, why_not) in asked {
        findings.push(match collector {
            None => Finding::not_tried(check, why_not),
            Some(collector) => one(check, signal, collector).await,
        });
    }
    findings
}

async fn one(check: Check, signal: Signal, collector: Collector) -> Finding {
    // Its files are read once, as they are now.
    let files = collector.clone();
    let credentials = match blocking(move || files.open()).await {
        Ok(Ok((credentials, _))) => credentials,
        Ok(Err(error)) => return unusable(check, &error),
        Err(broken) => return broken.finding(check),
    };
    judge(check, &collector.name(), probe(&collector, credentials, signal).await)
}

/// The sentence names the setting and, after its last semicolon, what to do.
fn unusable(check: Check, error: &CollectorError) -> Finding {
    let said = error.to_string();
    let (detail, next_step) = said.rsplit_once("; ").unwrap_or((&said, NEXT));
    let why = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    Finding::failure(check, format!("{detail}{why}"), next_step)
}

fn judge(check: Check, name: &str, answer: Result<Accepted, ProbeError>) -> Finding {
    match answer {
        Ok(Accepted { message, .. }) if !message.is_empty() => Finding::warning(
            check,
            format!("{name} accepts OTLP and says: {message}"),
            "its own log says what it means",
        ),
        Ok(Accepted { gzip: false, .. }) => Finding::warning(
            check,
            format!("{name} accepts OTLP, but nothing that is compressed with gzip"),
            "set OTEL_EXPORTER_OTLP_COMPRESSION=none, or let it take gzip, as the specification demands",
        ),
        Ok(Accepted { .. }) => Finding::well(check, format!("{name} accepts OTLP")),
        Err(ProbeError { reason, next_step }) => {
            Finding::failure(check, format!("{name} does not accept OTLP: {reason}"), next_step)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Outcome;

    #[test]
    fn an_answer_is_judged_by_what_it_says() {
        let accepted = |gzip, message: &str| Ok(Accepted { gzip, message: message.to_owned() });
        let refused = Err(ProbeError { reason: "refused".to_owned(), next_step: "start it" });
        for (answer, outcome) in [
            (accepted(true, ""), Outcome::Well),
            (accepted(false, ""), Outcome::Warning),
            (accepted(true, "deprecated"), Outcome::Warning),
            (refused, Outcome::Failure),
        ] {
            let finding = judge(Check::Collector, "http://collector:4317", answer);
            assert_eq!(finding.outcome, outcome, "{finding:?}");
            assert!(finding.detail.contains("http://collector:4317"), "{finding:?}");
            assert_eq!(finding.next_step.is_some(), outcome > Outcome::Well);
        }
    }

    #[tokio::test]
    async fn credentials_that_cannot_be_used_are_a_failure_that_names_the_file_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("headers");
        let endpoint = "https://127.0.0.1:1".parse().unwrap();
        let collector = Collector { endpoint, headers_file: Some(path.clone()), ..Collector::default() };
        let findings = try_both(Some(collector), None).await;
        assert_eq!(findings[0].outcome, Outcome::Failure, "{findings:?}");
        assert!(findings[0].detail.contains(&path.display().to_string()), "{findings:?}");
        let next_step = findings[0].next_step.as_deref().unwrap();
        assert!(next_step != NEXT && !findings[0].detail.contains(next_step), "{findings:?}");
    }

    #[tokio::test]
    async fn what_is_not_pushed_is_not_tried() {
        let findings = try_both(None, None).await;
        assert!(findings.iter().all(|finding| finding.outcome == Outcome::NotTried), "{findings:?}");
    }
}
