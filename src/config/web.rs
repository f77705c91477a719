//! Who may use the admin server: `--web-config-file` and `--web-auth`.

use std::path::Path;

use super::error::ConfigError;
use super::flags::ExportFlags;
use super::layers::Layers;
use super::source::Vms;
use super::values::{Listen, word};
use crate::web::{self, Loaded};

/// Who may use the admin server.
#[derive(Debug, Clone)]
pub struct Web {
    /// The document, which can be used.
    pub document: Loaded,
    /// Who else says whether a client may; `None` if nobody does. Connections are TLS then.
    pub auth: Option<WebAuth>,
}

/// Who says whether a client may, besides the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebAuth {
    /// The Kubernetes API, of a bearer token.
    Kubernetes,
}

pub(super) fn web(
    flags: &ExportFlags,
    layers: Layers<'_>,
    vms: &Vms,
    (listen, probes_elsewhere): (&Listen, bool),
    warnings: &mut Vec<String>,
) -> Result<Option<Web>, ConfigError> {
    let document = match layers.one("web-config-file", flags.web_config_file.as_ref(), &[]) {
        Some(given) => {
            let loaded = web::load(Path::new(&given.value));
            Some(loaded.map_err(|error| given.problem(format!("{}: {}", error.file, error.problem), error.accepted))?)
        }
        None => None,
    };
    let auth = match layers.one("web-auth", flags.web_auth.as_ref(), &[]) {
        Some(given) => {
            let auth = word(&given, &[("kubernetes", WebAuth::Kubernetes)])?;
            // A mode without the API could only let nobody in, or everybody.
            if !matches!(vms, Vms::Kubevirt(_)) {
                return Err(given.problem("belongs to mode kubevirt", "give --mode kubevirt, or leave it out"));
            }
            if !document.as_ref().is_some_and(|document| document.settings().has_tls()) {
                return Err(given.problem(
                    "tokens would cross the network for everybody to read",
                    "give --web-config-file with a tls_server_config",
                ));
            }
            Some(auth)
        }
        None => None,
    };
    let Some(document) = document else { return Ok(None) };
    let settings = document.settings();
    let secret = settings.has_users() || settings.demands_certificates() || auth.is_some();
    if !probes_elsewhere && (settings.has_tls() || secret) {
        let demand = if secret { "a client's secret" } else { "TLS" };
        warnings.push(format!(
            "--web-config-file: /livez and /readyz need {demand}, too; give --health-listen, where probes need none"
        ));
    }
    if settings.has_users() && !settings.has_tls() && !listen.is_local() {
        warnings.push(
            "--web-config-file: passwords cross the network for everybody to read; give it a tls_server_config"
                .to_owned(),
        );
    }
    Ok(Some(Web { document, auth }))
}
