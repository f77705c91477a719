//! Where the socket behind a URI is.

use std::path::{Path, PathBuf};

/// Where a URI's UNIX socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::libvirt::endpoint) enum Location {
    /// At one of these paths: the first that exists is the one that libvirt takes.
    Local(Vec<PathBuf>),
    /// On another host, or not behind a socket, or not known.
    Elsewhere,
}

impl Location {
    /// Where the socket of a read-only connection to `uri` is. `runtime_dir` is `XDG_RUNTIME_DIR`, where a session
    /// daemon has its own.
    pub(super) fn of(uri: &str, runtime_dir: Option<&Path>) -> Self {
        let (address, query) = uri.split_once('?').unwrap_or((uri, ""));
        let query = query.split('#').next().unwrap_or_default();
        let socket = query.split('&').find_map(|pair| pair.strip_prefix("socket="));
        let Some((scheme, rest)) = address.split_once("://") else { return Self::Elsewhere };
        let (driver, transport) = scheme.split_once('+').unwrap_or((scheme, ""));
        let Some((host, path)) = rest.split_once('/') else { return Self::Elsewhere };
        if !host.is_empty() || !matches!(transport, "" | "unix") || driver == "test" {
            return Self::Elsewhere;
        }
        if let Some(socket) = socket {
            return Self::Local(vec![PathBuf::from(decode(socket))]);
        }
        let modular = format!("virt{driver}d-sock");
        match path {
            "system" => Self::Local(vec![
                PathBuf::from(format!("/run/libvirt/{modular}-ro")),
                PathBuf::from("/run/libvirt/libvirt-sock-ro"),
            ]),
            // A session daemon has one socket for both kinds of connections.
            "session" => runtime_dir.map_or(Self::Elsewhere, |directory| {
                let directory = directory.join("libvirt");
                Self::Local(vec![directory.join(modular), directory.join("libvirt-sock")])
            }),
            _ => Self::Elsewhere,
        }
    }

    /// The socket to look at, if there is one.
    pub(super) fn socket(&self) -> Option<&Path> {
        match self {
            Self::Local(paths) => paths.iter().find(|path| path.exists()).or(paths.last()).map(PathBuf::as_path),
            Self::Elsewhere => None,
        }
    }
}

/// Undoes percent-encoding. What is not one stays as it is.
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%')
            .then(|| tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
