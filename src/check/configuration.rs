//! Options and variables that look like a mistake and stop nothing.

use super::finding::{Check, Finding};

/// Each of these sentences names the option or variable, what is wrong, and after its last semicolon what to do.
pub(super) fn judge(warnings: &[String]) -> Vec<Finding> {
    if warnings.is_empty() {
        return vec![Finding::well(Check::Configuration, "no option or variable looks like a mistake")];
    }
    let finding = |warning: &String| match warning.rsplit_once("; ") {
        Some((detail, next_step)) => Finding::warning(Check::Configuration, detail, next_step),
        None => Finding::warning(Check::Configuration, warning, "correct it, or leave it out"),
    };
    warnings.iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Outcome;

    #[test]
    fn every_warning_is_a_finding_with_what_to_do() {
        assert_eq!(judge(&[])[0].outcome, Outcome::Well);
        let findings = judge(&["VIRT_OTEL_X: there is no such variable; see docs".to_owned(), "odd".to_owned()]);
        assert_eq!(findings[0].detail, "VIRT_OTEL_X: there is no such variable");
        assert_eq!(findings[0].next_step.as_deref(), Some("see docs"));
        assert!(findings.iter().all(|finding| finding.outcome == Outcome::Warning && finding.next_step.is_some()));
    }
}
