//! The report: for people, and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::finding::{Check, Finding, Outcome, counted};
use super::series::SeriesCount;

/// Everything that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The mode, as `--mode` has it.
    pub mode: &'static str,
    /// What is read.
    pub reads: String,
    /// The findings, in the order of [`Check::ALL`].
    pub findings: Vec<Finding>,
    /// How many series there are; `None` if nothing was read.
    pub series: Option<SeriesCount>,
}

impl Report {
    /// The worst of all outcomes.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let worst = self.findings.iter().map(|finding| finding.outcome).max();
        // What was not tried is no reason to complain.
        worst.unwrap_or(Outcome::Well).max(Outcome::Well)
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.findings.iter().filter(|finding| finding.outcome == outcome).count()
    }

    /// A line for each finding, and below it what to do, if anything.
    #[must_use]
    pub fn text(&self) -> String {
        let width = |words: &dyn Fn(&Finding) -> usize| self.findings.iter().map(words).max().unwrap_or_default();
        let outcomes = width(&|finding| finding.outcome.words().len());
        let checks = width(&|finding| finding.check.as_str().len());
        let mut text = format!("virt-otel {}, mode {}: {}\n\n", env!("CARGO_PKG_VERSION"), self.mode, self.reads);
        for Finding { check, outcome, detail, next_step } in &self.findings {
            let (outcome, check) = (outcome.words(), check.as_str());
            let _ = writeln!(text, "{outcome:outcomes$}  {check:checks$}  {detail}");
            if let Some(next_step) = next_step {
                let _ = writeln!(text, "{:outcomes$}  {:checks$}  next: {next_step}", "", "");
            }
        }
        let counts = Outcome::ALL.map(|outcome| match outcome {
            Outcome::Well | Outcome::NotTried => format!("{} {}", self.count(outcome), outcome.words()),
            Outcome::Warning | Outcome::Failure => counted(self.count(outcome), outcome.words()),
        });
        let _ = writeln!(text, "\n{}", counts.join(", "));
        text
    }

    /// One object.
    #[must_use]
    pub fn json(&self) -> Value {
        let findings = self.findings.iter().map(|Finding { check, outcome, detail, next_step }| {
            json!({
                "check": check.as_str(),
                "outcome": outcome.as_str(),
                "detail": detail,
                "next_step": next_step,
            })
        });
        let counts = Outcome::ALL.map(|outcome| (outcome.as_str().to_owned(), self.count(outcome).into()));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "mode": self.mode,
            "reads": self.reads,
            "outcome": self.outcome().as_str(),
            "counts": Value::Object(counts.into_iter().collect()),
            "findings": findings.collect::<Vec<_>>(),
            "series": self.series.as_ref().map(SeriesCount::json),
        })
    }
}

/// The findings, in order; those of one check stay in theirs.
pub(super) fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding: &Finding| -> Check { finding.check });
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: Vec<Finding>) -> Report {
        Report { mode: "libvirt", reads: "qemu:///system".to_owned(), findings: in_order(findings), series: None }
    }

    #[test]
    fn columns_are_aligned_and_what_to_do_stands_below() {
        let report = report(vec![
            Finding::failure(Check::LibvirtSocket, "qemu:///system: nobody listens", "start it"),
            Finding::well(Check::Kvm, "/dev/kvm is there"),
            Finding::not_tried(Check::Series, "nothing was read"),
        ]);
        let expected = format!(
            "virt-otel {}, mode libvirt: qemu:///system\n\n\
             well       kvm             /dev/kvm is there\n\
             failure    libvirt-socket  qemu:///system: nobody listens\n\
             {}next: start it\n\
             not tried  series          nothing was read\n\n\
             1 well, 1 not tried, 0 warnings, 1 failure\n",
            env!("CARGO_PKG_VERSION"),
            " ".repeat(27)
        );
        assert_eq!(report.text(), expected);
    }

    #[test]
    fn the_worst_outcome_is_that_of_all_and_what_was_not_tried_does_not_count() {
        let not_tried = || Finding::not_tried(Check::Kvm, "no");
        let warning = || Finding::warning(Check::Clock, "late", "wait");
        let failure = || Finding::failure(Check::Listen, "taken", "free it");
        for (findings, outcome) in [
            (vec![], Outcome::Well),
            (vec![not_tried()], Outcome::Well),
            (vec![not_tried(), warning()], Outcome::Warning),
            (vec![failure(), warning()], Outcome::Failure),
        ] {
            assert_eq!(report(findings).outcome(), outcome);
        }
    }

    /// docs/check.md promises these keys.
    #[test]
    fn programs_find_the_promised_keys() {
        let json = report(vec![
            Finding::well(Check::Kvm, "/dev/kvm is there"),
            Finding::warning(Check::BalloonPeriod, "web", "set it"),
        ])
        .json();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["counts", "findings", "mode", "outcome", "reads", "series", "version"]);
        assert_eq!(json["outcome"], "warning");
        assert_eq!(json["counts"], json!({ "well": 1, "not_tried": 0, "warning": 1, "failure": 0 }));
        assert_eq!(
            json["findings"][1],
            json!({ "check": "balloon-period", "outcome": "warning", "detail": "web", "next_step": "set it" })
        );
        assert_eq!(json["findings"][0]["next_step"], Value::Null);
    }
}
