//! What is measured: one file an entity, one row a metric.
//!
//! The tables are the truth. Both exporters loop over them, and `tests/contract.rs` renders `docs/metrics.md`, the
//! registry under `otel/` and the golden exposition from them: a metric cannot be exported undocumented, nor
//! documented and not exported.

pub mod attribute;
mod cpu;
mod metric;
mod points;
mod selection;

pub use attribute::Attribute;
pub use metric::{Emit, Entity, Kind, Label, Labels, Metric, Point, Read, Stability, Unit, Value};
pub use points::Decimal;
pub use selection::{Selected, Selection, Vocabulary};

/// Every row, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    [cpu::METRICS].into_iter().flatten()
}
