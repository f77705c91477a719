//! Inputs that fuzzing found worth keeping: each file takes another path through the client, and none may make it panic
//! or hang. The fuzzers are in the repository's `fuzz/`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking, and say before at which file they are"
)]

#[allow(dead_code, reason = "a toolbox: not every test uses every tool")]
mod support;

use std::path::Path;

/// Runs each file of one corpus.
fn replay(corpus: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(corpus);
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        run(&std::fs::read(&path).unwrap());
        files += 1;
    }
    assert!(files > 10, "{} has {files} files", folder.display());
}

#[test]
fn the_streams_of_daemons_that_were_kept() {
    replay("stream", support::fuzzed::stream);
}

#[test]
fn the_answers_that_were_kept() {
    replay("procedure", support::fuzzed::procedure);
}
