//! How long scrapes of an agent take.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Spread;
use crate::Agent;

/// The endpoint's formats, with the headers that request them. Prometheus 3 sends the last.
pub const FORMATS: [(&str, &[(&str, &str)]); 3] = [
    ("text", &[("Accept", "text/plain;version=0.0.4")]),
    ("OpenMetrics", &[("Accept", OPENMETRICS)]),
    ("OpenMetrics, gzip", &[("Accept", OPENMETRICS), ("Accept-Encoding", "gzip")]),
];

/// What Prometheus 3 asks for first.
pub const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0";

/// Between two scrapes: they come one at a time, and the agent has other work in between.
const PAUSE: Duration = Duration::from_millis(5);

/// The times of `count` scrapes and the size of the body, in the order of [`FORMATS`].
pub fn of(agent: &Agent, count: usize) -> Vec<(Spread, usize)> {
    FORMATS.map(|(_, headers)| in_one_format(agent, headers, count)).to_vec()
}

fn in_one_format(agent: &Agent, headers: &[(&str, &str)], count: usize) -> (Spread, usize) {
    let mut size = 0;
    let times = (0..count).map(|_| {
        let started = Instant::now();
        let page = agent.get("/metrics", headers).expect("a page of the agent");
        let took = started.elapsed();
        assert_eq!(page.status, 200, "GET /metrics");
        size = page.body.len();
        sleep(PAUSE);
        took
    });
    (Spread::of(times.collect()), size)
}
