//! Why a URI leads nowhere.

/// Why a URI leads nowhere. Each is a sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is none.
    #[error("`{uri}` is not a libvirt URI ({what}); give one such as qemu:///system")]
    NotUri {
        /// What was given.
        uri: String,
        /// What is wrong.
        what: &'static str,
    },
    /// It is a word that could be an alias and is none.
    #[error(
        "`{alias}` is neither a libvirt URI nor an alias of libvirt.conf (uri_aliases); give one such as qemu:///system"
    )]
    NoAlias {
        /// The word.
        alias: String,
    },
    /// Its transport is not spoken.
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
    /// A part of it cannot be used.
    #[error("`{uri}`: the parameter `{name}` {problem}")]
    Parameter {
        /// The URI.
        uri: String,
        /// The parameter's name.
        name: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// Something else about it cannot be.
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
