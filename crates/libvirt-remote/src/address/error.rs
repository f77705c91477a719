//! Why a URI cannot be used.

/// Why a URI cannot be used. Each message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a URI.
    #[error("`{uri}` is not a libvirt URI ({what}); give one such as qemu:///system")]
    NotUri {
        /// What was given.
        uri: String,
        /// What is wrong.
        what: &'static str,
    },
    /// It could be an alias, but is not defined as one.
    #[error(
        "`{alias}` is neither a libvirt URI nor an alias of libvirt.conf (uri_aliases); give one such as qemu:///system"
    )]
    NoAlias {
        /// The word.
        alias: String,
    },
    /// Its transport is not supported.
    #[error("`{uri}`: the transport `{transport}` is not supported; use {driver}+ssh, which runs the ssh program")]
    Transport {
        /// The URI.
        uri: String,
        /// Its driver.
        driver: String,
        /// Its transport.
        transport: String,
    },
    /// Its transport does not exist.
    #[error("`{uri}`: there is no transport `{transport}`; use one of unix, ssh, tls, tcp")]
    NoTransport {
        /// The URI.
        uri: String,
        /// Its transport.
        transport: String,
    },
    /// One of its parameters cannot be used.
    #[error("`{uri}`: the parameter `{name}` {problem}")]
    Parameter {
        /// The URI.
        uri: String,
        /// The parameter's name.
        name: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// Something else is wrong with it.
    #[error("`{uri}`: {problem}")]
    Wrong {
        /// The URI.
        uri: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// Its driver is a part of libvirt's own library.
    #[error("`{uri}`: the driver `{driver}` is a part of libvirt's library, and no daemon serves it")]
    ClientSide {
        /// The URI.
        uri: String,
        /// The driver.
        driver: String,
    },
    /// `libvirt.conf` cannot be used.
    #[error("{setting} in libvirt.conf: {problem}")]
    Conf {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it, and what to do.
        problem: String,
    },
}
