//! `virDomainGetJobStats`

use std::time::Duration;

use crate::model::{Bytes, Job, JobKind, JobOperation};

use super::*;

#[test]
fn a_domain_being_saved() {
    let (kind, parameters) = answer(include_str!("../fixtures/job-save.txt"));
    let (progress, unknown) = job(i32::try_from(kind.unwrap()).unwrap(), parameters);
    assert_eq!(unknown, 0);
    assert_eq!(
        progress,
        Some(Job {
            elapsed: Some(Duration::from_millis(34)),
            downtime: Some(Duration::from_millis(300)),
            setup: Some(Duration::from_millis(2)),
            data_total: Some(Bytes(34_209_792)),
            data_processed: Some(Bytes(881_950)),
            data_remaining: Some(Bytes(0)),
            memory_total: Some(Bytes(34_209_792)),
            memory_processed: Some(Bytes(881_950)),
            memory_remaining: Some(Bytes(0)),
            dirty_rate: Some(Bytes(0)),
            iteration: Some(2),
            postcopy_requests: Some(0),
            ..Job::new(JobKind::Unbounded, JobOperation::Save)
        })
    );
}

#[test]
fn rates_and_the_rest() {
    let parameters = lines(
        "operation int 5
         data_total ullong 101
         data_processed ullong 102
         data_remaining ullong 103
         memory_total ullong 104
         memory_processed ullong 105
         memory_remaining ullong 106
         memory_iteration ullong 107
         memory_postcopy_requests ullong 108
         time_elapsed ullong 109
         downtime ullong 110
         setup_time ullong 111
         time_remaining ullong 1500
         memory_bps ullong 7
         memory_dirty_rate ullong 10
         memory_page_size ullong 4096
         disk_total ullong 1
         disk_processed ullong 2
         disk_remaining ullong 3
         disk_bps ullong 4
         auto_converge_throttle int 20
         compression_cache ullong 1
         time_elapsed_net ullong 1
         errmsg string no
         of_later ullong 1",
    );
    let (progress, unknown) = job(1, parameters.iter().cloned());
    assert_eq!(unknown, 1);
    assert_eq!(
        progress,
        Some(Job {
            remaining: Some(Duration::from_millis(1500)),
            data_total: Some(Bytes(101)),
            data_processed: Some(Bytes(102)),
            data_remaining: Some(Bytes(103)),
            memory_total: Some(Bytes(104)),
            memory_processed: Some(Bytes(105)),
            memory_remaining: Some(Bytes(106)),
            iteration: Some(107),
            postcopy_requests: Some(108),
            elapsed: Some(Duration::from_millis(109)),
            downtime: Some(Duration::from_millis(110)),
            setup: Some(Duration::from_millis(111)),
            memory_rate: Some(Bytes(7)),
            dirty_rate: Some(Bytes(40_960)),
            disk_total: Some(Bytes(1)),
            disk_processed: Some(Bytes(2)),
            disk_remaining: Some(Bytes(3)),
            disk_rate: Some(Bytes(4)),
            auto_converge_throttle: Some(20),
            ..Job::new(JobKind::Bounded, JobOperation::MigrationOut)
        })
    );
}

#[test]
fn only_a_job_that_goes_on_is_one() {
    let parameters = lines("operation int 5\ntime_elapsed ullong 1");
    for (kind, expected) in
        [(0, false), (1, true), (2, true), (3, false), (4, false), (5, false), (6, false), (-1, false)]
    {
        assert_eq!(job(kind, parameters.iter().cloned()).0.is_some(), expected, "kind {kind}");
    }
}

#[test]
fn a_dirty_rate_without_a_page_size_or_out_of_range_is_not_known() {
    for text in [
        "memory_dirty_rate ullong 10",
        "memory_page_size ullong 4096",
        "memory_dirty_rate ullong 9223372036854775807\nmemory_page_size ullong 4096",
        "memory_dirty_rate ullong 18446744073709551615\nmemory_page_size ullong 4096",
    ] {
        assert_eq!(job(1, lines(text)).0.unwrap().dirty_rate, None, "{text}");
    }
    let none = job(1, []).0.unwrap();
    assert_eq!((none.operation, none.elapsed), (JobOperation::Unknown, None));
}
