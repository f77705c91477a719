//! A fake API server with VirtualMachineInstances: lists in pages, watches with history, and every way to fail.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use kube::client::Body;
use serde_json::{Value, json};
use tower::{BoxError, Service};

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mode {
    /// As it should.
    #[default]
    Well,
    /// There is no connection.
    Refuses,
    /// Requests are never answered.
    Mute,
    /// Every request is answered with this status.
    Status(u16),
    /// Lists work, watches are answered with this status.
    WatchStatus(u16),
    /// Lists work, watches open and fail at once.
    FailingWatches,
    /// Answers begin and never end.
    Endless,
    /// Lists are malformed.
    Garbage,
    /// The second page of a list is answered with this status.
    SecondPage(u16),
    /// Watches open and send an oversized object.
    HugeObject,
    /// A watch with initial events is refused.
    NoStreaming,
}

#[derive(Default)]
struct State {
    mode: Mode,
    version: u64,
    objects: BTreeMap<String, Value>,
    /// What happened, with its version.
    history: Vec<(u64, Value)>,
    /// What happened before this version is forgotten.
    oldest: u64,
    watches: Vec<Sender<Bytes, BoxError>>,
    requests: Vec<String>,
}

/// The server; clones share it.
#[derive(Clone, Default)]
pub(super) struct Fake(Arc<Mutex<State>>);

impl Fake {
    /// A server with these VMIs, all running.
    pub(super) fn with<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let fake = Self::default();
        names.into_iter().for_each(|name| fake.apply(name, "Running"));
        fake
    }

    pub(super) fn mode(&self, mode: Mode) {
        self.state().mode = mode;
    }

    /// Creates or changes a VMI.
    pub(super) fn apply(&self, name: &str, phase: &str) {
        let object = json!({
            "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
            "metadata": { "namespace": "shop", "name": name, "uid": format!("uid-{name}"), "labels": { "app": "x" } },
            "status": { "phase": phase, "nodeName": super::NODE },
        });
        self.put(name, object);
    }

    /// Creates or changes an object, whatever it is.
    pub(super) fn put(&self, name: &str, mut object: Value) {
        let mut state = self.state();
        state.version += 1;
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.insert("resourceVersion".into(), state.version.to_string().into());
        }
        let kind = if state.objects.contains_key(name) { "MODIFIED" } else { "ADDED" };
        state.happens(json!({ "type": kind, "object": object }));
        state.objects.insert(name.into(), object);
    }

    /// Deletes a VMI.
    pub(super) fn delete(&self, name: &str) {
        let mut state = self.state();
        state.version += 1;
        let mut object = state.objects.remove(name).expect("a VMI that is there");
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        state.happens(json!({ "type": "DELETED", "object": object }));
    }

    /// Breaks all watches, as a disappearing load balancer does.
    pub(super) fn cut(&self) {
        self.state().watches.drain(..).for_each(|watch| watch.abort("connection reset by peer".into()));
    }

    /// Forgets what has happened, as etcd does after five minutes.
    pub(super) fn forget(&self) {
        let mut state = self.state();
        state.oldest = state.version;
        state.history.clear();
    }

    /// The requests since the last call.
    pub(super) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn happens(&mut self, event: Value) {
        // A server that is mute does not send either.
        if self.mode != Mode::Mute {
            let line = line(&event);
            self.watches.retain_mut(|watch| watch.try_send(http_body::Frame::data(line.clone())).is_ok());
        }
        self.history.push((self.version, event));
    }

    fn list(&self, query: &BTreeMap<String, String>) -> Response<BoxBody<Bytes, BoxError>> {
        let from: usize = query.get("continue").map_or(0, |token| token.parse().unwrap());
        let limit: usize = query.get("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
        let items: Vec<&Value> = self.objects.values().skip(from).take(limit).collect();
        let next = from + items.len();
        let more = if next < self.objects.len() { next.to_string() } else { String::new() };
        let metadata = json!({ "resourceVersion": self.version.to_string(), "continue": more });
        let kind = "VirtualMachineInstanceList";
        whole(200, &json!({ "apiVersion": "kubevirt.io/v1", "kind": kind, "metadata": metadata, "items": items }))
    }

    fn watch(
        &mut self,
        query: &BTreeMap<String, String>,
    ) -> (Response<BoxBody<Bytes, BoxError>>, Channel<Bytes, BoxError>) {
        let (mut sender, body) = Channel::new(1024);
        let from: u64 = query["resourceVersion"].parse().unwrap();
        let mut send = |event: &Value| sender.try_send(http_body::Frame::data(line(event))).expect("room for history");
        let mut stays = true;
        if query.contains_key("sendInitialEvents") {
            self.objects.values().for_each(|object| send(&json!({ "type": "ADDED", "object": object })));
            let annotations = json!({ "k8s.io/initial-events-end": "true" });
            send(&bookmark(self.version, &annotations));
        } else if self.mode == Mode::FailingWatches {
            send(&json!({ "type": "ERROR", "object": status(500, "etcd has no leader") }));
            stays = false;
        } else if from < self.oldest {
            send(&json!({ "type": "ERROR", "object": status(410, "too old resource version") }));
            stays = false;
        } else if self.mode == Mode::HugeObject {
            let _ = sender.try_send(http_body::Frame::data(Bytes::from(vec![b'x'; 5 * 1024 * 1024])));
        } else {
            self.history.iter().filter(|(version, _)| *version > from).for_each(|(_, event)| send(event));
            send(&bookmark(self.version, &json!({})));
        }
        if stays {
            self.watches.push(sender);
        }
        (Response::new(Full::default().map_err(|never: Infallible| match never {}).boxed()), body)
    }
}

fn bookmark(version: u64, annotations: &Value) -> Value {
    let metadata = json!({ "resourceVersion": version.to_string(), "annotations": annotations });
    let object = json!({ "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": metadata });
    json!({ "type": "BOOKMARK", "object": object })
}

/// A line of a watch, with the type first as Kubernetes writes it.
fn line(event: &Value) -> Bytes {
    format!("{{\"type\":{},\"object\":{}}}\n", event["type"], event["object"]).into()
}

fn status(code: u16, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code })
}

fn whole(code: u16, answer: &Value) -> Response<BoxBody<Bytes, BoxError>> {
    let body = Full::new(Bytes::from(answer.to_string())).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

impl Service<Request<Body>> for Fake {
    type Response = Response<BoxBody<Bytes, BoxError>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let fake = self.clone();
        Box::pin(async move { fake.answer(request.uri().clone()).await })
    }
}

impl Fake {
    async fn answer(&self, uri: http::Uri) -> Result<Response<BoxBody<Bytes, BoxError>>, BoxError> {
        if uri.path() == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" {
            return match self.state().mode {
                Mode::Refuses => Err("connection refused".into()),
                Mode::Status(code) => Ok(whole(code, &status(code, &format!("fake status {code}")))),
                mode => panic!("reviews in mode {mode:?}"),
            };
        }
        assert_eq!(uri.path(), "/apis/kubevirt.io/v1/virtualmachineinstances", "in all namespaces");
        let query = uri.query().unwrap_or_default();
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query: BTreeMap<String, String> = pairs.map(|(key, value)| (key.into(), value.into())).collect();
        let selector = &query["labelSelector"];
        let (of_the_node, more) = selector.split_once("%2C").unwrap_or((selector, ""));
        assert_eq!(of_the_node, "kubevirt.io%2FnodeName%3Dnode01");
        assert!(["", "app%3Dshop"].contains(&more), "{more}");
        let watches = query.contains_key("watch");
        let mode = self.state().mode;
        self.state().requests.push(uri.to_string());
        match mode {
            Mode::Refuses => return Err("connection refused".into()),
            Mode::Mute => return std::future::pending().await,
            Mode::Status(code) => return Ok(whole(code, &status(code, &format!("fake status {code}")))),
            Mode::WatchStatus(code) if watches => return Ok(whole(code, &status(code, "no watching"))),
            Mode::SecondPage(code) if query.contains_key("continue") => {
                return Ok(whole(code, &status(code, "no second page")));
            }
            Mode::NoStreaming if query.contains_key("sendInitialEvents") => {
                return Ok(whole(422, &status(422, "sendInitialEvents is forbidden for watch")));
            }
            Mode::Garbage => return Ok(whole(200, &json!({ "items": "none" }))),
            Mode::Endless => {
                let (sender, body) = Channel::<Bytes, BoxError>::new(1);
                // Held forever.
                tokio::spawn(async move { (sender, std::future::pending::<()>().await) });
                return Ok(Response::new(body.boxed()));
            }
            _ => {}
        }
        if !watches {
            return Ok(self.state().list(&query));
        }
        let (response, body) = self.state().watch(&query);
        Ok(response.map(|_| Ends::after(&query["timeoutSeconds"], body, self.clone()).boxed()))
    }
}

/// A watch that ends after its timeout, unless the server is mute.
struct Ends {
    body: Channel<Bytes, BoxError>,
    end: std::pin::Pin<Box<tokio::time::Sleep>>,
    fake: Fake,
}

impl Ends {
    fn after(seconds: &str, body: Channel<Bytes, BoxError>, fake: Fake) -> Self {
        let end = Box::pin(tokio::time::sleep(Duration::from_secs(seconds.parse().unwrap())));
        Self { body, end, fake }
    }
}

impl http_body::Body for Ends {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = std::pin::Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        let ends = self.end.as_mut().poll(context).is_ready() && self.fake.state().mode != Mode::Mute;
        if ends { Poll::Ready(None) } else { Poll::Pending }
    }
}
