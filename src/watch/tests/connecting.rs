//! Finding the API server, over a real socket.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::watch::{ConnectError, FaultKind, REVIEWING, WATCHING, connect};

fn kubeconfig(text: &str) -> (tempfile::TempDir, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    std::fs::write(&file, text).unwrap();
    (folder, Settings { node: NODE.into(), kubeconfig: Some(file), ..Settings::default() })
}

fn pointing_to(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: dev\n\
         clusters:\n- name: dev\n  cluster: {{server: \"{server}\"}}\n\
         users:\n- name: dev\n  user: {{token: secret}}\n\
         contexts:\n- name: dev\n  context: {{cluster: dev, user: dev}}\n"
    )
}

#[tokio::test]
async fn a_node_name_that_is_none_is_an_error_that_says_what_to_set() {
    for node in ["", "node01,app!=x", "node 01", "a=b", &"n".repeat(64)] {
        let error = connect(&Settings { node: node.to_owned(), ..Settings::default() }).await.unwrap_err();
        assert!(matches!(error, ConnectError::Node { .. }), "{node}");
        assert!(error.to_string().contains("--node-name"), "{error}");
    }
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_is_an_error_that_names_it() {
    let missing =
        Settings { node: NODE.into(), kubeconfig: Some(PathBuf::from("/nowhere/config")), ..Settings::default() };
    let error = connect(&missing).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/config"), "{error}");
    for text in ["", "{", "apiVersion: v1\nkind: Config\ncurrent-context: other\n", &pointing_to("https://[")] {
        let (_folder, settings) = kubeconfig(text);
        let error = connect(&settings).await.unwrap_err();
        assert!(matches!(error, ConnectError::Kubeconfig { .. }), "{text}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_no_error_of_the_configuration() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let (_folder, settings) = kubeconfig(&pointing_to(&format!("http://{address}")));
    let server = connect(&settings).await.expect("a configuration that is right");
    assert!(!format!("{server:?}").contains("secret"));

    let (sender, mut events) = mpsc::channel(1);
    let (counters, stop) = (Arc::new(WatchCounters::new()), CancellationToken::new());
    let task = tokio::spawn(run(server, settings, sender, Arc::clone(&counters), Pulse::default(), stop.clone()));
    while counters.errors(FaultKind::Unreachable) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!counters.connected() && events.try_recv().is_err());
    stop.cancel();
    task.await.unwrap();
}

/// Answers one request: a list with one VMI, or a watch that stays open.
async fn serve(mut stream: TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    assert!(request.contains("authorization: Bearer secret\r\n"), "{request}");
    let object = crate::watch::object::tests::VMI;
    let body = if request.contains("watch=true") {
        String::new()
    } else {
        format!(r#"{{"kind":"L","apiVersion":"v1","metadata":{{"resourceVersion":"5"}},"items":[{object}]}}"#)
    };
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n{length}\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
    if body.is_empty() {
        // Until the client disconnects.
        _ = stream.read_u8().await;
    }
}

#[tokio::test]
async fn a_kubeconfig_leads_to_its_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_folder, settings) = kubeconfig(&pointing_to(&format!("http://{}", listener.local_addr().unwrap())));
    let serving = tokio::spawn(async move {
        loop {
            tokio::spawn(serve(listener.accept().await.unwrap().0));
        }
    });
    let server = connect(&settings).await.unwrap();
    let (sender, mut events) = mpsc::channel(4);
    let (counters, stop) = (Arc::new(WatchCounters::new()), CancellationToken::new());
    let task = tokio::spawn(run(server, settings, sender, Arc::clone(&counters), Pulse::default(), stop.clone()));
    for expected in ["restarted", "applied shop/shop-db running", "synced"] {
        let event = tokio::time::timeout(30 * SECOND, events.recv()).await.expect("an event").unwrap();
        assert_eq!(say(&event), expected);
    }
    stop.cancel();
    task.await.unwrap();
    serving.abort();
}

/// Answers reviews: `list` and `create` are allowed, anything else is not.
async fn judge(mut stream: TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(request).unwrap().to_lowercase();
    assert!(head.starts_with("post /apis/authorization.k8s.io/v1/selfsubjectaccessreviews http/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: bearer secret\r\n"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().trim().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let asked: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let of = &asked["spec"]["resourceAttributes"];
    let whats = [
        ("kubevirt.io", "virtualmachineinstances"),
        ("authentication.k8s.io", "tokenreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
    ];
    assert!(whats.iter().any(|(group, resource)| of["group"] == *group && of["resource"] == *resource), "{asked}");
    assert!(of.get("namespace").is_none(), "a node's VMIs are in all namespaces");
    let allowed = of["verb"] != "watch";
    let body = format!(r#"{{"status":{{"allowed":{allowed},"reason":"RBAC"}}}}"#);
    let answer = format!(
        "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ndate: Thu, 01 Jan 1970 00:01:40 GMT\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn what_the_agent_may_do_is_asked_and_the_time_there_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_folder, settings) = kubeconfig(&pointing_to(&format!("http://{}", listener.local_addr().unwrap())));
    let serving = tokio::spawn(async move {
        loop {
            judge(listener.accept().await.unwrap().0).await;
        }
    });
    let server = connect(&settings).await.unwrap();
    let rights = crate::watch::rights(&server, &[WATCHING, REVIEWING].concat()).await.unwrap();
    let answers: Vec<_> = rights.each.iter().map(|right| (right.need, right.allowed, right.reason.as_str())).collect();
    let ([list, watch], [tokens, access]) = (WATCHING, REVIEWING);
    assert_eq!(answers, [(list, true, "RBAC"), (watch, false, "RBAC"), (tokens, true, "RBAC"), (access, true, "RBAC")]);
    assert_eq!(rights.date, Some(crate::model::Timestamp::from_unix(100 * SECOND)));
    assert!(!serving.is_finished(), "an assertion there failed");
    serving.abort();
}

#[tokio::test]
async fn a_server_that_refuses_a_review_says_why() {
    for (mode, kind) in [
        (fake::Mode::Refuses, FaultKind::Unreachable),
        (fake::Mode::Status(401), FaultKind::Unauthorized),
        (fake::Mode::Status(429), FaultKind::Throttled),
    ] {
        let fake = Fake::default();
        fake.mode(mode);
        let (opens, opened) = watch::channel(0);
        let client = Client::new(ApiLink::new(fake, opens), "default");
        let server = ApiServer { client, url: "https://fake:6443/".into(), opened };
        let error = crate::watch::rights(&server, &WATCHING).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(!error.reason.is_empty());
    }
}
