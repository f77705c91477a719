//! A minimal client of a Kubernetes API for the tests: one request, one connection.

use std::io;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use super::http::{self, Response};

/// The VirtualMachineInstances of all namespaces.
pub const VMIS: &str = "/apis/kubevirt.io/v1/virtualmachineinstances";

/// Where the VirtualMachineInstances of a namespace are.
pub fn vmis_of(namespace: &str) -> String {
    format!("/apis/kubevirt.io/v1/namespaces/{namespace}/virtualmachineinstances")
}

/// One user's access to an API server.
#[derive(Clone)]
pub struct Client {
    port: u16,
    token: String,
    tls: Arc<ClientConfig>,
}

impl Client {
    /// A client that trusts this authority, in DER.
    pub fn new(port: u16, authority: &[u8], token: &str) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(authority.to_vec())).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS that ring knows")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Client { port, token: token.to_owned(), tls: Arc::new(tls) }
    }

    pub fn on_port(&self, port: u16) -> Client {
        Client { port, ..self.clone() }
    }

    pub fn with_token(&self, token: &str) -> Client {
        Client { token: token.to_owned(), ..self.clone() }
    }

    /// A request with a body and its type.
    pub fn request(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> io::Result<Response> {
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        let connection = ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, http::connect(self.port)?);
        let authorization = format!("Bearer {}", self.token);
        let (kind, bytes) = body.unwrap_or(("application/json", b""));
        let headers = [("Authorization", authorization.as_str()), ("Content-Type", kind)];
        http::exchange(&mut stream, method, self.port, path, &headers, bytes)
    }

    /// A request that must be granted, with its answer.
    #[track_caller]
    fn granted(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Value {
        let answer = self.request(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
        serde_json::from_slice(&answer.body).expect("an answer in JSON")
    }

    /// The status that a request is answered with, such as 403.
    #[track_caller]
    pub fn status(&self, method: &str, path: &str) -> u16 {
        self.request(method, path, None).unwrap_or_else(|error| panic!("{method} {path}: {error}")).status
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.granted("GET", path, None)
    }

    /// Creates an object in a collection, and returns it as the server has it.
    #[track_caller]
    pub fn create(&self, collection: &str, object: &Value) -> Value {
        self.granted("POST", collection, Some(("application/json", object.to_string().as_bytes())))
    }

    /// [`create`](Self::create) of an object written in YAML or JSON.
    #[track_caller]
    pub fn create_text(&self, collection: &str, text: &str) -> Value {
        self.granted("POST", collection, Some(("application/yaml", text.as_bytes())))
    }

    /// Merges this into an object (null removes a field), and returns it as the server then has it.
    #[track_caller]
    pub fn patch(&self, path: &str, change: &Value) -> Value {
        self.granted("PATCH", path, Some(("application/merge-patch+json", change.to_string().as_bytes())))
    }

    /// Replaces an object.
    #[track_caller]
    pub fn replace(&self, path: &str, object: &Value) -> Value {
        self.granted("PUT", path, Some(("application/json", object.to_string().as_bytes())))
    }

    #[track_caller]
    pub fn delete(&self, path: &str) {
        self.granted("DELETE", path, None);
    }

    /// Creates a namespace unless it exists.
    #[track_caller]
    pub fn ensure_namespace(&self, name: &str) {
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        self.ensure("/api/v1/namespaces", &object);
    }

    /// Creates an object unless one of its name is there.
    #[track_caller]
    pub fn ensure(&self, collection: &str, object: &Value) {
        let body = object.to_string();
        let answer = self
            .request("POST", collection, Some(("application/json", body.as_bytes())))
            .unwrap_or_else(|error| panic!("POST {collection}: {error}"));
        assert!(matches!(answer.status, 201 | 409), "POST {collection}: {} {}", answer.status, answer.text());
    }
}
