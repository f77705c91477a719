//! Reviews of tokens by a fake API server.

use std::sync::Mutex;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;
use crate::testing::logged::Logged;
use crate::watch::{NoVerdict, Reviewer, TokenOwner};

const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// What the server answers: the status and the body for each path.
type Answers = fn(&str, &Value) -> Option<(u16, Value)>;

/// The path and the body of each request.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// A reviewer of a server, and what it was asked. A server without an answer is silent.
fn reviewer(answers: Answers) -> (Reviewer, Asked) {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let server = service_fn(move |request: Request<Body>| {
        let noted = Arc::clone(&noted);
        async move {
            assert_eq!(request.method(), "POST");
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            noted.lock().unwrap().push((path.clone(), body.clone()));
            let Some((status, answer)) = answers(&path, &body) else { return std::future::pending().await };
            let response = Response::builder().status(status).body(Full::new(Bytes::from(answer.to_string())));
            Ok::<_, std::convert::Infallible>(response.unwrap())
        }
    });
    let (opens, opened) = watch::channel(0);
    let client = Client::new(ApiLink::new(server, opens), "default");
    (Reviewer::new(&ApiServer { client, url: "https://fake:6443/".into(), opened }), asked)
}

fn reviewed(status: &Value) -> Option<(u16, Value)> {
    let kind = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {} });
    Some((201, merged(kind, json!({ "spec": { "token": "x" }, "status": status }))))
}

fn access(allowed: bool) -> Option<(u16, Value)> {
    let kind = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {} });
    Some((201, merged(kind, json!({ "spec": {}, "status": { "allowed": allowed } }))))
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Some(one), Value::Object(other)) = (one.as_object_mut(), other) {
        one.extend(other);
    }
    one
}

fn failure(code: u16, message: &str) -> Option<(u16, Value)> {
    Some((code, json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code })))
}

#[tokio::test]
async fn whoever_the_token_is_of_is_asked_about_with_all_that_is_known_of_them() {
    let (reviewer, asked) = reviewer(|path, _| match path {
        TOKEN_REVIEWS => reviewed(&json!({ "authenticated": true, "user": {
            "username": "system:serviceaccount:monitoring:prometheus", "uid": "u-1",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "extra": { "authentication.kubernetes.io/pod-name": ["prometheus-0"] } } })),
        _ => access(true),
    });
    assert_eq!(reviewer.review("the-token".to_owned()).await, Ok(TokenOwner::Allowed));
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), [TOKEN_REVIEWS, ACCESS_REVIEWS]);
    assert_eq!(asked[0].1["spec"], json!({ "token": "the-token" }));
    assert_eq!(
        asked[1].1["spec"],
        json!({
            "user": "system:serviceaccount:monitoring:prometheus", "uid": "u-1",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "extra": { "authentication.kubernetes.io/pod-name": ["prometheus-0"] },
            "nonResourceAttributes": { "path": "/metrics", "verb": "get" },
        })
    );
}

#[tokio::test]
async fn nobody_and_whoever_may_not_are_no_failures() {
    let (denied, _) = reviewer(|path, _| match path {
        TOKEN_REVIEWS => reviewed(&json!({ "authenticated": true, "user": { "username": "bob" } })),
        _ => access(false),
    });
    assert_eq!(denied.review("a".to_owned()).await, Ok(TokenOwner::Denied));
    for status in [
        json!({ "authenticated": false, "error": "invalid bearer token" }),
        json!({ "user": { "username": "bob" } }),
        json!({ "authenticated": true }),
        json!({}),
    ] {
        static STATUS: Mutex<Value> = Mutex::new(Value::Null);
        *STATUS.lock().unwrap() = status.clone();
        let (nobody, asked) = reviewer(|_, _| reviewed(&STATUS.lock().unwrap()));
        assert_eq!(nobody.review("a".to_owned()).await, Ok(TokenOwner::Nobody), "{status}");
        assert_eq!(asked.lock().unwrap().len(), 1, "whose right would be asked for?");
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_there_is_no_verdict_and_the_log_says_why_once() {
    let (logged, _guard) = Logged::here();
    let (silent, _) = reviewer(|_, _| None);
    let began = tokio::time::Instant::now();
    for _ in 0..3 {
        assert_eq!(silent.review("a".to_owned()).await, Err(NoVerdict));
    }
    assert!(began.elapsed() <= 3 * 5 * SECOND, "{:?}", began.elapsed());
    assert_eq!(logged.with("cannot be reviewed").len(), 1);

    let (half, _) = reviewer(|path, _| match path {
        TOKEN_REVIEWS => reviewed(&json!({ "authenticated": true, "user": { "username": "bob" } })),
        _ => None,
    });
    assert_eq!(half.review("a".to_owned()).await, Err(NoVerdict));
    let (garbled, _) = reviewer(|_, _| Some((201, json!({ "status": "of another shape" }))));
    assert_eq!(garbled.review("a".to_owned()).await, Err(NoVerdict));
}

#[tokio::test]
async fn a_missing_right_is_told_with_what_to_do_and_its_coming_too() {
    static MAY: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    let (logged, _guard) = Logged::here();
    let (reviewer, _) = reviewer(|path, _| match path {
        _ if !MAY.load(std::sync::atomic::Ordering::SeqCst) => failure(403, "tokenreviews is forbidden"),
        TOKEN_REVIEWS => reviewed(&json!({ "authenticated": false })),
        _ => access(true),
    });
    for _ in 0..2 {
        assert_eq!(reviewer.review("secret-token".to_owned()).await, Err(NoVerdict));
    }
    MAY.store(true, std::sync::atomic::Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(reviewer.review("secret-token".to_owned()).await, Ok(TokenOwner::Nobody));
    }
    let lines = logged.with("reviewed");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("subjectaccessreviews") && lines[0].contains("tokenreviews is forbidden"), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("secret-token")), "{lines:?}");
}
