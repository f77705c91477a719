//! `virDomainGetJobStats`

use crate::model::{Job, JobKind, JobOperation};

use super::value::{self, Fit};
use super::{Parameter, Value};

/// Decodes what `virDomainGetJobStats` returned: the kind of job, and its parameters.
///
/// The job is `None` unless one is running: what libvirt reports after a job's end (completed, failed, cancelled) is
/// not progress. The number counts unknown parameters.
#[must_use]
pub fn job<'a>(kind: i32, parameters: impl IntoIterator<Item = Parameter<'a>>) -> (Option<Job>, u32) {
    let kind = JobKind::from_libvirt(i64::from(kind));
    let mut draft = Draft { job: Job::new(kind, JobOperation::Unknown), dirty_pages: None, page_size: None };
    let mut unknown = 0_u32;
    for parameter in parameters {
        if draft.take(&parameter.field, &parameter.value) == Fit::Unknown {
            unknown = unknown.saturating_add(1);
        }
    }
    (kind.is_active().then(|| draft.finish()), unknown)
}

struct Draft {
    job: Job,
    /// `memory_dirty_rate`: pages per second.
    dirty_pages: Option<u64>,
    /// `memory_page_size`: bytes.
    page_size: Option<u64>,
}

impl Draft {
    fn take(&mut self, name: &str, value: &Value<'_>) -> Fit {
        let job = &mut self.job;
        match name {
            "operation" => {
                let mut operation = None;
                let fit = value::number(value, &mut operation);
                job.operation = operation.map_or(JobOperation::Unknown, JobOperation::from_libvirt);
                fit
            }
            "time_elapsed" => value::millis(value, &mut job.elapsed),
            "time_remaining" => value::millis(value, &mut job.remaining),
            "downtime" => value::millis(value, &mut job.downtime),
            "setup_time" => value::millis(value, &mut job.setup),
            "data_total" => value::bytes(value, &mut job.data_total),
            "data_processed" => value::bytes(value, &mut job.data_processed),
            "data_remaining" => value::bytes(value, &mut job.data_remaining),
            "memory_total" => value::bytes(value, &mut job.memory_total),
            "memory_processed" => value::bytes(value, &mut job.memory_processed),
            "memory_remaining" => value::bytes(value, &mut job.memory_remaining),
            "memory_bps" => value::bytes(value, &mut job.memory_rate),
            "memory_dirty_rate" => value::count(value, &mut self.dirty_pages),
            "memory_page_size" => value::count(value, &mut self.page_size),
            "memory_iteration" => value::count(value, &mut job.iteration),
            "memory_postcopy_requests" => value::count(value, &mut job.postcopy_requests),
            "disk_total" => value::bytes(value, &mut job.disk_total),
            "disk_processed" => value::bytes(value, &mut job.disk_processed),
            "disk_remaining" => value::bytes(value, &mut job.disk_remaining),
            "disk_bps" => value::bytes(value, &mut job.disk_rate),
            "auto_converge_throttle" => value::count(value, &mut job.auto_converge_throttle),
            "time_elapsed_net"
            | "downtime_net"
            | "memory_constant"
            | "memory_normal"
            | "memory_normal_bytes"
            | "compression_cache"
            | "compression_bytes"
            | "compression_pages"
            | "compression_cache_misses"
            | "compression_overflow"
            | "success"
            | "errmsg"
            | "disk_temp_used"
            | "disk_temp_total"
            | "vfio_data_transferred" => Fit::LeftOut,
            _ => Fit::Unknown,
        }
    }

    /// Without a page size, the dirty rate is not known in bytes.
    fn finish(mut self) -> Job {
        self.job.dirty_rate =
            self.dirty_pages.zip(self.page_size).and_then(|(pages, size)| value::product(pages, size));
        self.job
    }
}
