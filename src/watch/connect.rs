//! Finds the API server and the credentials for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, client::ClientBuilder};
use tokio::sync::watch;
use tower::layer::layer_fn;

use super::Settings;
use super::link::ApiLink;

/// How long connecting may take. Within a cluster it takes a millisecond. Together with the other deadlines of this
/// module, this limit ensures that a dead API server is noticed within a minute.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of a Kubernetes label value.
const LONGEST_LABEL_VALUE: usize = 63;

/// Why the API server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The node's name is invalid.
    #[error(
        "the node name {node:?} is not one of Kubernetes; set --node-name to what `kubectl get nodes` shows, in a pod \
         from the downward API's spec.nodeName"
    )]
    Node {
        /// The name.
        node: String,
    },
    /// There is no service account.
    #[error(
        "the API server cannot be found from inside a pod; outside of a cluster name a kubeconfig file with \
         --kubeconfig, inside one give the pod a service account and its token (automountServiceAccountToken)"
    )]
    InCluster(#[source] InClusterError),
    /// The kubeconfig file cannot be used.
    #[error("the kubeconfig file {path} cannot be used; try it with `kubectl --kubeconfig {path} get vmi -A`")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: KubeconfigError,
    },
    /// The configured certificates, tokens or proxies cannot be used.
    #[error("the credentials for the API server {server} cannot be used")]
    Client {
        /// Its URL.
        server: String,
        /// Why.
        #[source]
        cause: kube::Error,
    },
}

/// An API server and the agent's credentials. No request has been sent yet.
#[derive(Clone)]
pub struct ApiServer {
    pub(super) client: Client,
    /// Its URL, for messages.
    pub(super) url: Arc<str>,
    /// How many watches have been opened.
    pub(super) opened: watch::Receiver<u64>,
}

impl ApiServer {
    /// Its URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ApiServer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Finds the API server and the credentials for it: those of the pod, or those of a kubeconfig file if one is named.
/// Neither is a fallback for the other.
///
/// A silent API server is no error here: [`run`](super::run) sends the requests, and retries.
///
/// # Errors
///
/// See [`ConnectError`]: each is a configuration mistake that does not go away by itself.
pub async fn connect(settings: &Settings) -> Result<ApiServer, ConnectError> {
    if !can_be_a_node(&settings.node) {
        return Err(ConnectError::Node { node: settings.node.clone() });
    }
    let mut config = match &settings.kubeconfig {
        None => kube::Config::incluster().map_err(ConnectError::InCluster)?,
        Some(path) => from_file(path).await.map_err(|cause| ConnectError::Kubeconfig { path: path.clone(), cause })?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // The watch retries by itself, and logs what happened.
    config.default_retry = false;
    let url = config.cluster_url.to_string();
    let (opens, opened) = watch::channel(0);
    let builder = ClientBuilder::try_from(config)
        .map_err(|cause| ConnectError::Client { server: url.clone(), cause })?
        .with_layer(&layer_fn(move |service| ApiLink::new(service, opens.clone())));
    Ok(ApiServer { client: builder.build(), url: url.into(), opened })
}

async fn from_file(path: &Path) -> Result<kube::Config, KubeconfigError> {
    let file = Kubeconfig::read_from(path)?;
    kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await
}

/// Whether a name can be the value of the label that VMIs are selected by; anything else would change the selector.
fn can_be_a_node(name: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=LONGEST_LABEL_VALUE).contains(&name.len()) && name.bytes().all(inside)
}
