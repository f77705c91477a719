//! Resolves a URI to its daemon, as libvirt's own client does.

use std::path::PathBuf;

use super::conf::{Conf, is_alias};
use super::error::AddressError;
use super::uri::{Transport, Uri, encode};
use super::{Address, Pki, Surroundings, Way};

/// Where a system daemon has its sockets.
const SYSTEM_DIR: &str = "/run/libvirt";

/// The same on another host, which may be older than /run.
const SYSTEM_DIR_ELSEWHERE: &str = "/var/run/libvirt";

/// The system-wide certificates.
const PKI: &str = "/etc/pki";

/// libvirt's port for TCP.
const TCP_PORT: u16 = 16_509;

/// libvirt's port for TLS.
const TLS_PORT: u16 = 16_514;

/// The host of a URI without one, where one is needed.
const LOCALHOST: &str = "localhost";

/// Parameters that belong to no driver, each with its transports. All others are the driver's.
const PARAMETERS: [(&str, &[Transport]); 12] = [
    ("name", &[Transport::Unix, Transport::Tcp, Transport::Tls, Transport::Ssh]),
    ("mode", &[Transport::Unix, Transport::Ssh]),
    ("socket", &[Transport::Unix, Transport::Ssh]),
    ("proxy", &[Transport::Ssh]),
    ("command", &[Transport::Ssh]),
    ("netcat", &[Transport::Ssh]),
    ("keyfile", &[Transport::Ssh]),
    ("no_tty", &[Transport::Ssh]),
    ("no_verify", &[Transport::Ssh, Transport::Tls]),
    ("no_sanity", &[Transport::Tls]),
    ("pkipath", &[Transport::Tls]),
    ("tls_priority", &[Transport::Tls]),
];

/// Parameters of transports and authentications that are not supported.
const REFUSED: [(&str, &str); 5] = [
    ("known_hosts", "is for the transports libssh and libssh2; with ssh, name the file in ssh's own configuration"),
    (
        "known_hosts_verify",
        "is for the transports libssh and libssh2; with ssh, set StrictHostKeyChecking in its configuration",
    ),
    (
        "sshauth",
        "is for the transports libssh and libssh2; with ssh, set PreferredAuthentications in its configuration",
    ),
    ("auth", "chooses a kind of SASL, which is not supported; leave it out"),
    ("authfile", "names credentials for SASL, which is not supported; leave it out"),
];

/// Which of a host's daemons to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Auto,
    /// libvirtd
    Legacy,
    /// The driver's own: virtqemud.
    Direct,
}

/// How a daemon is reached at the other end of ssh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proxy {
    /// By virt-ssh-helper, or by netcat where there is none.
    Auto,
    Netcat,
    Native,
}

impl Address {
    /// Where the daemon of a URI or an alias is.
    ///
    /// # Errors
    ///
    /// If it is not a URI, or asks for something that this client does not support.
    pub fn resolve(text: &str, surroundings: &Surroundings, conf: &Conf) -> Result<Self, AddressError> {
        if is_alias(text) {
            let Some(uri) = conf.alias(text)? else { return Err(AddressError::NoAlias { alias: text.to_owned() }) };
            return Self::of_uri(&Uri::parse(uri)?, surroundings, conf);
        }
        Self::of_uri(&Uri::parse(text)?, surroundings, conf)
    }

    /// Where the daemon of a URI is.
    ///
    /// # Errors
    ///
    /// If the URI asks for something that this client does not support.
    pub fn of_uri(uri: &Uri, surroundings: &Surroundings, conf: &Conf) -> Result<Self, AddressError> {
        if uri.is_client_side() {
            return Err(AddressError::ClientSide { uri: uri.text.clone(), driver: uri.driver.clone() });
        }
        let asked = Asked { uri, surroundings, conf, transport: uri.transport() };
        asked.check_parameters()?;
        let way = match asked.transport {
            Transport::Unix => asked.unix()?,
            Transport::Tcp => Way::Tcp { host: asked.host(), port: uri.port.unwrap_or(TCP_PORT) },
            Transport::Tls => asked.tls()?,
            Transport::Ssh => asked.ssh()?,
        };
        Ok(Self { uri: uri.text.clone(), driver_uri: asked.driver_uri(), way })
    }
}

struct Asked<'a> {
    uri: &'a Uri,
    surroundings: &'a Surroundings,
    conf: &'a Conf,
    transport: Transport,
}

impl Asked<'_> {
    fn wrong(&self, problem: impl Into<String>) -> AddressError {
        AddressError::Wrong { uri: self.uri.text.clone(), problem: problem.into() }
    }

    fn parameter_is(&self, name: &str, problem: impl Into<String>) -> AddressError {
        AddressError::Parameter { uri: self.uri.text.clone(), name: name.to_owned(), problem: problem.into() }
    }

    fn host(&self) -> String {
        self.uri.host.clone().unwrap_or_else(|| LOCALHOST.to_owned())
    }

    fn check_parameters(&self) -> Result<(), AddressError> {
        for (name, _) in &self.uri.parameters {
            let same = |other: &str| name.eq_ignore_ascii_case(other);
            if let Some((_, problem)) = REFUSED.iter().find(|(refused, _)| same(refused)) {
                return Err(self.parameter_is(name, *problem));
            }
            let known = PARAMETERS.iter().find(|(known, _)| same(known));
            if known.is_some_and(|(_, transports)| !transports.contains(&self.transport)) {
                return Err(self.parameter_is(name, "is for another transport; leave it out"));
            }
        }
        Ok(())
    }

    /// The URI for the daemon: without what leads to it.
    fn driver_uri(&self) -> String {
        if let Some(name) = self.uri.parameter("name") {
            return name.to_owned();
        }
        if self.uri.driver == "remote" {
            // The daemon chooses.
            return String::new();
        }
        let others = |name: &str| !PARAMETERS.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        let others = self.uri.parameters.iter().filter(|(name, _)| others(name));
        let others: Vec<String> = others.map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let query = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
        format!("{}://{}{query}", self.uri.driver, self.uri.path)
    }

    /// The URI's `mode`, or else libvirt.conf's `remote_mode`: as in libvirt, for local sockets and ssh alike.
    fn mode(&self) -> Result<Mode, AddressError> {
        let parse = |word: &str| match word {
            "auto" => Some(Mode::Auto),
            "legacy" => Some(Mode::Legacy),
            "direct" => Some(Mode::Direct),
            _ => None,
        };
        const ACCEPTED: &str = "is none of auto, legacy, direct";
        match (self.uri.parameter("mode"), &self.conf.mode) {
            (Some(mode), _) => parse(mode).ok_or_else(|| self.parameter_is("mode", ACCEPTED)),
            (None, Some(mode)) => parse(mode).ok_or_else(|| conf_is("remote_mode", format!("`{mode}` {ACCEPTED}"))),
            (None, None) => Ok(Mode::Auto),
        }
    }

    /// Why the mode `direct` is impossible, naming the setting that chose it.
    fn not_direct(&self, why: &str) -> AddressError {
        match self.uri.parameter("mode") {
            Some(_) => self.parameter_is("mode", format!("direct {why}; leave it out")),
            None => {
                let uri = &self.uri.text;
                conf_is("remote_mode", format!("`direct` {why}; give `{uri}` a mode of its own (mode=auto)"))
            }
        }
    }

    /// Whether it is this user's session daemon.
    fn is_session(&self) -> bool {
        !self.surroundings.root && (self.uri.path == "/session" || self.uri.driver == "test")
    }

    fn unix(&self) -> Result<Way, AddressError> {
        if let Some(host) = &self.uri.host {
            return Err(
                self.wrong(format!("a UNIX socket is on this host, not on `{host}`; use {}+ssh", self.uri.driver))
            );
        }
        if let Some(socket) = self.uri.parameter("socket") {
            return Ok(Way::Unix(vec![PathBuf::from(socket)]));
        }
        let mode = self.mode()?;
        let (directory, socket, read_only) = if self.is_session() {
            let directory = self.surroundings.session_dir().ok_or_else(|| {
                self.wrong("where this user's daemons have their sockets is not known; set XDG_RUNTIME_DIR")
            })?;
            // A session daemon has one socket for both kinds of connections.
            (directory, "sock", None)
        } else {
            (PathBuf::from(SYSTEM_DIR), "sock", Some("sock-ro"))
        };
        let mut daemons = Vec::new();
        if mode != Mode::Legacy && self.uri.driver != "remote" {
            daemons.push(format!("virt{}d", self.uri.driver));
        }
        if mode != Mode::Direct {
            daemons.push("libvirt".to_owned());
        }
        if daemons.is_empty() {
            return Err(self.not_direct("needs a driver: its daemon is named after it"));
        }
        let suffix = read_only.unwrap_or(socket);
        Ok(Way::Unix(daemons.iter().map(|daemon| directory.join(format!("{daemon}-{suffix}"))).collect()))
    }

    fn tls(&self) -> Result<Way, AddressError> {
        const GNUTLS: &str = "is in GnuTLS's own language, which is not spoken here: TLS 1.2 and 1.3 with their safe ciphers are used; leave it out";
        if self.is_set("no_verify") {
            return Err(self.parameter_is(
                "no_verify",
                "would let anybody stand in for the daemon, and is not supported; give its CA (cacert.pem) instead",
            ));
        }
        if self.uri.parameter("tls_priority").is_some() {
            return Err(self.parameter_is("tls_priority", GNUTLS));
        }
        if self.conf.tls_priority.is_some() {
            return Err(AddressError::Conf { setting: "tls_priority", problem: GNUTLS.to_owned() });
        }
        Ok(Way::Tls { host: self.host(), port: self.uri.port.unwrap_or(TLS_PORT), pki: self.pki() })
    }

    fn pki(&self) -> Pki {
        let files = |directory: &PathBuf| Pki {
            ca: vec![directory.join("cacert.pem")],
            revoked: vec![directory.join("cacrl.pem")],
            client: vec![(directory.join("clientcert.pem"), directory.join("clientkey.pem"))],
            given: true,
        };
        if let Some(path) = self.uri.parameter("pkipath") {
            return files(&PathBuf::from(path));
        }
        let everybody = Pki {
            ca: vec![PathBuf::from(PKI).join("CA/cacert.pem")],
            revoked: vec![PathBuf::from(PKI).join("CA/cacrl.pem")],
            client: vec![(
                PathBuf::from(PKI).join("libvirt/clientcert.pem"),
                PathBuf::from(PKI).join("libvirt/private/clientkey.pem"),
            )],
            given: false,
        };
        let Some(home) = self.surroundings.home.as_ref().filter(|_| !self.surroundings.root) else { return everybody };
        let own = files(&home.join(".pki/libvirt"));
        Pki {
            ca: [own.ca, everybody.ca].concat(),
            revoked: [own.revoked, everybody.revoked].concat(),
            client: [own.client, everybody.client].concat(),
            given: false,
        }
    }

    /// Whether a boolean parameter is set: to anything but 0.
    fn is_set(&self, name: &str) -> bool {
        self.uri.parameter(name).is_some_and(|value| value.parse() != Ok(0))
    }

    /// The URI's `proxy`, or else libvirt.conf's `remote_proxy`, or else what reaches most daemons. The parameters
    /// `socket` and `netcat` are for netcat alone: virt-ssh-helper finds the daemon's socket by itself, and older ones
    /// accept no other.
    fn proxy(&self) -> Result<Proxy, AddressError> {
        let parse = |word: &str| match word {
            "auto" => Some(Proxy::Auto),
            "netcat" => Some(Proxy::Netcat),
            "native" => Some(Proxy::Native),
            _ => None,
        };
        const ACCEPTED: &str = "is none of auto, netcat, native";
        let has = |name: &str| self.uri.parameter(name).is_some();
        let proxy = match (self.uri.parameter("proxy"), &self.conf.proxy) {
            (Some(proxy), _) => parse(proxy).ok_or_else(|| self.parameter_is("proxy", ACCEPTED))?,
            (None, Some(proxy)) => {
                parse(proxy).ok_or_else(|| conf_is("remote_proxy", format!("`{proxy}` {ACCEPTED}")))?
            }
            (None, None) if self.is_session() && !has("socket") => Proxy::Native,
            (None, None) => Proxy::Auto,
        };
        let Some(for_netcat) = ["socket", "netcat"].into_iter().find(|name| has(name)) else { return Ok(proxy) };
        match proxy {
            Proxy::Auto | Proxy::Netcat => Ok(Proxy::Netcat),
            Proxy::Native if has("proxy") => {
                Err(self.parameter_is(for_netcat, "is of no use with proxy=native; leave out one of the two"))
            }
            Proxy::Native if self.conf.proxy.is_some() => Err(self.parameter_is(
                for_netcat,
                "is of no use with native, the remote_proxy of libvirt.conf; leave it out, or give proxy=netcat",
            )),
            Proxy::Native => Err(self.parameter_is(
                for_netcat,
                "is of no use here: where a session has its socket, only virt-ssh-helper finds out; leave it out, or \
                 give socket=",
            )),
        }
    }

    fn ssh(&self) -> Result<Way, AddressError> {
        // With `socket` given, the mode has no effect.
        if self.mode()? == Mode::Direct && self.uri.parameter("socket").is_none() {
            return Err(self.not_direct("is for sockets of this host: which sockets another has is not known"));
        }
        let socket = match self.uri.parameter("socket") {
            Some(socket) => socket.to_owned(),
            // The remote user decides whose session it is; only virt-ssh-helper can know.
            None => format!("{SYSTEM_DIR_ELSEWHERE}/libvirt-sock-ro"),
        };
        let command =
            remote_command(self.proxy()?, self.uri.parameter("netcat").unwrap_or("nc"), &socket, &self.driver_uri());
        let mut arguments: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
        if let Some(port) = self.uri.port {
            add(&["-p", &port.to_string()]);
        }
        if let Some(user) = &self.uri.user {
            add(&["-l", user]);
        }
        if let Some(keyfile) = self.uri.parameter("keyfile") {
            add(&["-i", keyfile]);
        }
        add(&["-T", "-e", "none"]);
        // Nobody can answer questions, and a shared master connection would outlive this one.
        add(&["-o", "BatchMode=yes", "-o", "ControlMaster=no"]);
        if self.is_set("no_verify") {
            add(&["-o", "StrictHostKeyChecking=no"]);
        }
        add(&["--", &self.host(), &command]);
        let program = self.uri.parameter("command").unwrap_or("ssh").to_owned();
        Ok(Way::Ssh { program, arguments })
    }
}

/// An error in a libvirt.conf setting that applies where the URI lacks the parameter.
fn conf_is(setting: &'static str, problem: impl Into<String>) -> AddressError {
    AddressError::Conf { setting, problem: problem.into() }
}

/// What runs at the other end of ssh: a script for `sh`, started by the user's own shell.
fn remote_command(proxy: Proxy, netcat: &str, socket: &str, driver_uri: &str) -> String {
    let (netcat, socket, uri) = (twice_quoted(netcat), twice_quoted(socket), twice_quoted(driver_uri));
    let helper = format!("virt-ssh-helper -r {uri}");
    // Some netcats wait forever when their input ends, unless told not to.
    let netcat = format!(
        "if {netcat} -q 2>&1 | grep \"requires an argument\" >/dev/null 2>&1; then ARG=-q0; else ARG=; fi; {netcat} $ARG -U {socket}"
    );
    let script = match proxy {
        Proxy::Auto => format!("if command -v virt-ssh-helper >/dev/null 2>&1; then {helper}; else {netcat}; fi"),
        Proxy::Netcat => netcat,
        Proxy::Native => helper,
    };
    format!("sh -c '{script}'")
}

/// Quotes a word for a shell, within text that is itself in single quotes.
fn twice_quoted(word: &str) -> String {
    let quote = |word: &str| format!("'{}'", word.replace('\'', "'\\''"));
    quote(word).replace('\'', "'\\''")
}
