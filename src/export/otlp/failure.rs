//! Why a request failed, in words and in the codes that decide whether it is tried again.

use std::error::Error;
use std::sync::Arc;

use tonic::{Code, Status};

/// Whether the connection was lost and another one did not come up, which tonic says with the request.
pub(super) fn is_of_connecting(status: &Status) -> bool {
    causes(status).any(|cause| cause.is::<tonic::ConnectError>())
}

/// Whether the connection failed, so that the Collector need not have seen the request. A status from the Collector has
/// no source.
pub(super) fn is_of_the_connection(status: &Status) -> bool {
    status.source().is_some() && !is_late(status)
}

/// Whether a deadline passed on our side.
fn is_late(status: &Status) -> bool {
    causes(status).any(|cause| cause.is::<tonic::TimeoutExpired>())
}

/// Corrects the code of a connection failure. tonic reports a connection that breaks during a request as UNKNOWN, one that
/// breaks before it as CANCELLED, and one that the Collector closes in order to restart (GOAWAY) as INTERNAL. The Collector
/// sent none of them, and all are what UNAVAILABLE is for, which is retried. CANCELLED is tonic's code for a deadline that
/// passed on our side, too.
pub(super) fn corrected(status: Status) -> Status {
    match status.code() {
        Code::Cancelled if is_late(&status) => Status::deadline_exceeded(describe(&status)),
        Code::Unknown | Code::Internal | Code::Cancelled if is_of_the_connection(&status) => {
            Status::unavailable(describe(&status))
        }
        _ => status,
    }
}

/// A failure in one line for people: the message, and the root cause if the connection failed.
pub(super) fn describe(status: &Status) -> String {
    let said = if status.message().is_empty() { status.code().description() } else { status.message() };
    with_root(said.to_owned(), status)
}

/// A failure before anything was sent.
pub(super) fn unavailable(error: tonic::transport::Error) -> Status {
    let mut status = Status::unavailable(with_root(error.to_string(), &error));
    status.set_source(Arc::new(error));
    status
}

/// A text with the root cause: the causes between wrap one another and say the same.
fn with_root(text: String, error: &(dyn Error + 'static)) -> String {
    match causes(error).last().map(ToString::to_string) {
        Some(root) if !text.ends_with(&root) => format!("{text}: {root}"),
        _ => text,
    }
}

/// What caused an error, the nearest cause first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (**cause).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_described_in_words_and_with_its_root() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let mut status = Status::unavailable("tcp connect error");
        status.set_source(Arc::new(std::io::Error::other(Wrapped(refused))));
        assert_eq!(describe(&status), "tcp connect error: connection refused");
        assert_eq!(describe(&Status::unavailable("we are closed")), "we are closed");
        assert_eq!(describe(&Status::unavailable("")), "The service is currently unavailable");
    }

    fn with_source(mut status: Status, source: impl Error + Send + Sync + 'static) -> Status {
        status.set_source(Arc::new(source));
        status
    }

    #[test]
    fn a_deadline_of_ours_is_told_from_a_connection_that_broke_and_from_what_the_collector_says() {
        let broken = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        for code in [Code::Unknown, Code::Internal, Code::Cancelled] {
            let status = with_source(Status::new(code, "the connection broke"), broken());
            assert!(is_of_the_connection(&status), "{code:?}");
            assert_eq!(corrected(status).code(), Code::Unavailable, "{code:?}");
            let said = Status::new(code, "said by the Collector");
            assert!(!is_of_the_connection(&said));
            assert_eq!(corrected(said).code(), code);
        }
        let late = with_source(Status::cancelled("Timeout expired"), tonic::TimeoutExpired(()));
        assert!(!is_of_the_connection(&late));
        assert_eq!(corrected(late).code(), Code::DeadlineExceeded);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("transport error")]
    struct Wrapped(#[source] std::io::Error);
}
