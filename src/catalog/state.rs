//! The state of the domain.

use super::attribute::{STATE, STATE_REASON};
use super::{Kind, Label, Metric, Read, Section, Stability, Unit, Value};
use crate::model::{State, Status};

/// The rows and what to know about them.
pub(super) const SECTION: Section = Section {
    title: "State",
    brief: "Every domain has these, running or not. Of a domain that does not run nothing is measured.",
    metrics: METRICS,
};

const METRICS: &[Metric] = &[
    Metric {
        name: "state",
        unit: Unit::Count("domain"),
        kind: Kind::UpDownCounter,
        brief: "Whether the domain is in this state, 1 or 0, with one series for each state.",
        stability: Stability::Development,
        source: "virDomainGetState",
        kubevirt: "",
        read: Read::VmEach(&[&STATE], |vm, emit| {
            if let Some(status) = vm.status {
                for state in State::ALL {
                    emit(&[Label::new(&STATE, state.as_str())], (state == status.state).into());
                }
            }
        }),
    },
    Metric {
        name: "state_reason",
        unit: Unit::Count("domain"),
        kind: Kind::UpDownCounter,
        brief: "The present state of the domain with the reason for it, always 1; only the present pair has a series.",
        stability: Stability::Development,
        source: "virDomainGetState",
        kubevirt: "",
        read: Read::VmEach(&[&STATE, &STATE_REASON], |vm, emit| {
            if let Some(Status { state, reason }) = vm.status {
                let labels = [Label::new(&STATE, state.as_str()), Label::new(&STATE_REASON, reason.as_str())];
                emit(&labels, Value::Integer(1));
            }
        }),
    },
];
