//! A real VictoriaMetrics.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::{free_port, http, prepared};

/// A running VictoriaMetrics; killed when dropped.
pub struct Victoria {
    _process: Process,
    port: u16,
    _folder: TempDir,
}

impl Victoria {
    /// Starts it on a free port, with these flags beside, and waits until it is ready.
    #[track_caller]
    pub fn start(flags: &[&str]) -> Victoria {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let mut command = Command::new(prepared("victoriametrics", "bin/victoria-metrics"));
        command.arg(format!("-storageDataPath={}", folder.path().join("data").display()));
        command.arg(format!("-httpListenAddr=127.0.0.1:{port}"));
        // What was written a moment ago is what tests ask for.
        command.arg("-search.latencyOffset=0s").args(flags);
        let log: PathBuf = folder.path().join("victoria.log");
        let mut process = Process::spawn("VictoriaMetrics", command, &log);
        process.wait_ready(Duration::from_secs(30), || {
            http::get(port, "/health", &[]).is_ok_and(|response| response.status == 200).then_some(())
        });
        Victoria { _process: process, port, _folder: folder }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The values of a label among the series that an expression gives now, in order.
    #[track_caller]
    pub fn values_of(&self, label: &str, expression: &str) -> Vec<String> {
        // Written points are found after they were flushed.
        http::get(self.port, "/internal/force_flush", &[]).expect("a flush");
        let path = format!("/api/v1/query?nocache=1&query={}", http::escape(expression));
        let response = http::get(self.port, &path, &[]).expect("an answer");
        assert_eq!(response.status, 200, "{}", response.text());
        let answer: Value = serde_json::from_slice(&response.body).expect("JSON");
        let series = answer["data"]["result"].as_array().into_iter().flatten();
        let mut values: Vec<String> =
            series.map(|series| series["metric"][label].as_str().unwrap_or_default().to_owned()).collect();
        values.sort();
        values
    }
}
