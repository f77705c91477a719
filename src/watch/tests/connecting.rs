//! Finding the API server, over a real socket.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::watch::{ConnectError, FaultKind, connect};

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
