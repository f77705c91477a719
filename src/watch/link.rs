//! Between kube's client and the API server: deadlines and size limits that the client lacks.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use kube::client::Body;
use tokio::sync::watch;
use tokio::time::Sleep;
use tower::{BoxError, Service};

/// How many objects a page of a list has. A VMI has 10 KiB on the wire, and up to 1.5 MiB if somebody means harm; a
/// whole page is briefly in memory three times. A node with 100 VMIs takes ten requests, once.
pub(super) const PAGE_SIZE: u32 = 10;

/// How long an answer may take to begin, connecting included. A busy API server queues requests for seconds; with a
/// longer limit, a dead one would not be noticed within a minute (a silent watch takes 35 s of it).
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a page of a list may take to arrive: some hundred kilobytes, a second on the slowest network.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// The most bytes of one object. etcd stores no more than 1.5 MiB by default; some raise that.
const LARGEST_OBJECT: usize = 4 * 1024 * 1024;

/// The most bytes of a page: every object as large as etcd's default limit. A real one has 10 × 10 KiB.
const LARGEST_PAGE: usize = PAGE_SIZE as usize * 3 * 1024 * 1024 / 2;

/// Errors that the client does not detect itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LinkError {
    /// Nothing came back.
    #[error("no answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Mute,
    /// The answer did not end.
    #[error("the answer did not arrive within {} s", PAGE_TIMEOUT.as_secs())]
    Slow,
    /// The answer is implausibly large.
    #[error("the answer has more than {most} bytes without an end")]
    TooLarge {
        /// The limit.
        most: usize,
    },
}

/// A service that enforces deadlines and size limits, and reports when a watch was opened.
#[derive(Debug)]
pub(super) struct ApiLink<S> {
    inner: S,
    opened: watch::Sender<u64>,
}

impl<S> ApiLink<S> {
    pub(super) fn new(inner: S, opened: watch::Sender<u64>) -> Self {
        Self { inner, opened }
    }
}

impl<S, B> Service<Request<Body>> for ApiLink<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Unpin,
{
    type Response = Response<Bounded<B>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let asks_to_watch =
            request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "watch=true"));
        let opened = self.opened.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await.map_err(|_| LinkError::Mute)?;
            let answer = answer.map_err(Into::into)?;
            // An error is one object, whatever was asked for.
            let watches = asks_to_watch && answer.status().is_success();
            if watches {
                opened.send_modify(|times| *times = times.wrapping_add(1));
            }
            Ok(answer.map(|body| Bounded::new(body, watches)))
        })
    }
}

/// A body with limits: size and time for a whole page, size for each line of a watch.
pub(super) struct Bounded<B> {
    inner: B,
    /// How many bytes since the last line began.
    read: usize,
    most: usize,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<B> Bounded<B> {
    fn new(inner: B, watches: bool) -> Self {
        let most = if watches { LARGEST_OBJECT } else { LARGEST_PAGE };
        // kube's watcher limits how long a watch may be silent.
        let deadline = (!watches).then(|| Box::pin(tokio::time::sleep(PAGE_TIMEOUT)));
        Self { inner, read: 0, most, deadline }
    }
}

impl<B> HttpBody for Bounded<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Some(Err(LinkError::Slow.into())));
        }
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        if let Some(data) = frame.data_ref() {
            // Kubernetes writes an object or a list on one line. The longest line in a frame is the first one, which
            // began earlier, or no longer than the frame.
            let first = data.iter().position(|byte| *byte == b'\n');
            let longest = self.read.saturating_add(first.unwrap_or(data.len()));
            self.read = match data.iter().rposition(|byte| *byte == b'\n') {
                Some(last) => data.len() - last - 1,
                None => longest,
            };
            if longest > self.most {
                return Poll::Ready(Some(Err(LinkError::TooLarge { most: self.most }.into())));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
