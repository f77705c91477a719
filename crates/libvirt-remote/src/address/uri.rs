//! A libvirt URI: `driver[+transport]://[user@][host][:port]/[path][?parameter=value&…]`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::error::AddressError;

/// Longest URI that is parsed. The longest real ones name a few files.
const LENGTH_MAX: usize = 4_096;

/// How a daemon is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A UNIX socket of this host.
    Unix,
    /// TCP without encryption.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// The ssh program.
    Ssh,
}

/// A parsed libvirt URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    pub(super) text: String,
    /// The driver: `qemu`.
    pub driver: String,
    /// The named transport; with `None`, the host or its absence decides.
    pub named_transport: Option<Transport>,
    /// The user, before the `@`.
    pub user: Option<String>,
    /// The host, an IPv6 address without its brackets.
    pub host: Option<String>,
    /// The port, after the host's colon.
    pub port: Option<u16>,
    /// The path with its slash: `/system`.
    pub path: String,
    /// The decoded parameters, in their order.
    pub parameters: Vec<(String, String)>,
}

/// Drivers in libvirt's own library that no daemon serves by their plain name.
const CLIENT_SIDE: [&str; 8] = ["test", "esx", "gsx", "vpx", "hyperv", "vmwareplayer", "vmwarews", "vmwarefusion"];

impl Uri {
    /// Parses a URI.
    ///
    /// # Errors
    ///
    /// If it is not a URI, or its transport is not supported.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let wrong = |what| AddressError::NotUri { uri: cut(text), what };
        if text.len() > LENGTH_MAX {
            return Err(wrong("it is longer than 4,096 bytes"));
        }
        if text.chars().any(|char| char.is_control() || char.is_whitespace()) {
            return Err(wrong("it contains a space or a control character"));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("it has no `://`"))?;
        let (driver, transport) = scheme.split_once('+').map_or((scheme, None), |(driver, name)| (driver, Some(name)));
        let is_name = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_alphabetic())
                && name.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.'))
        };
        if !is_name(driver) {
            return Err(wrong("it does not begin with a driver's name"));
        }
        let named_transport = transport.map(|name| Self::transport_of(text, driver, name)).transpose()?;
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let (host, port) = split_port(host).ok_or_else(|| wrong("its host or port is none"))?;
        let parameters = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        let uri = Self {
            text: text.to_owned(),
            driver: driver.to_owned(),
            named_transport,
            user: user.map(decode).filter(|user| !user.is_empty()),
            host: Some(decode(host)).filter(|host| !host.is_empty()),
            port,
            path: path.to_owned(),
            parameters: parameters.collect(),
        };
        // What becomes an argument of a program must not look like an option.
        if [&uri.host, &uri.user].into_iter().flatten().any(|name| name.starts_with('-')) {
            return Err(wrong("its host or user begins with a dash"));
        }
        Ok(uri)
    }

    fn transport_of(text: &str, driver: &str, name: &str) -> Result<Transport, AddressError> {
        match name.to_ascii_lowercase().as_str() {
            "unix" => Ok(Transport::Unix),
            "tcp" => Ok(Transport::Tcp),
            "tls" => Ok(Transport::Tls),
            "ssh" => Ok(Transport::Ssh),
            known @ ("libssh" | "libssh2" | "ext") => Err(AddressError::Transport {
                uri: text.to_owned(),
                driver: driver.to_owned(),
                transport: known.to_owned(),
            }),
            _ => Err(AddressError::NoTransport { uri: text.to_owned(), transport: name.to_owned() }),
        }
    }

    /// The transport: the named one; else TLS to a host, or a local socket.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        match (self.named_transport, &self.host) {
            (Some(transport), _) => transport,
            (None, Some(_)) => Transport::Tls,
            (None, None) => Transport::Unix,
        }
    }

    /// Whether its driver is a part of libvirt's own library, with no daemon to ask. (A daemon serves `test+unix`.)
    #[must_use]
    pub fn is_client_side(&self) -> bool {
        self.named_transport.is_none() && CLIENT_SIDE.contains(&self.driver.as_str())
    }

    /// The last given value of a parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let given = self.parameters.iter().rev();
        given.into_iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A text, shortened for a message.
fn cut(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

/// `host`, `host:port`, `[::1]` or `[::1]:port`; `None` for what is none of these.
fn split_port(host: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            // A zone is a part of a literal address: fe80::1%eth0.
            address.split('%').next()?.parse::<std::net::Ipv6Addr>().ok()?;
            (address, port)
        }
        None => match host.find(':') {
            Some(colon) => host.split_at(colon),
            None => (host, ""),
        },
    };
    match port {
        "" => Some((host, None)),
        _ => Some((host, Some(port.strip_prefix(':')?.parse().ok()?))),
    }
}

/// Undoes percent-encoding. An invalid escape stays as it is.
pub(super) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// What means nothing else in a query.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b':');

/// Percent-encodes what would mean something else in a query.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}
