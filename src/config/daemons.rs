//! The libvirt daemons of mode libvirt: from URIs to addresses.

use std::fs;
use std::path::PathBuf;

use libvirt_remote::Address;
use libvirt_remote::address::{AddressError, Conf, Surroundings};

use super::error::{ConfigError, Given};
use super::flags::SourceFlags;
use super::layers::Layers;

/// How many daemons one agent reads in mode libvirt: far more than a host has, and few enough that each may be a series
/// of the agent's own metrics.
const MOST_DAEMONS: usize = 32;

/// What to give instead of an unusable URI.
const ACCEPTED: &str = "give one such as qemu:///system or qemu+ssh://host/system";

/// A libvirt daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// The URI as given, which is the daemon's name.
    pub uri: String,
    /// How it is reached.
    pub way: Way,
}

/// How a libvirt daemon is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// By libvirt's protocol.
    Protocol(Address),
    /// By libvirt's own library, which has the driver.
    #[cfg(feature = "virt")]
    Library,
}

pub(super) fn daemons(flags: &SourceFlags, layers: Layers<'_>) -> Result<Vec<Daemon>, ConfigError> {
    let surroundings = surroundings(layers);
    let conf = conf(&surroundings)?;
    let mut daemons: Vec<Daemon> = Vec::new();
    for given in &layers.many("libvirt-uri", &flags.libvirt.libvirt_uri) {
        if daemons.iter().any(|daemon| daemon.uri == given.value) {
            return Err(given.wrong("is there twice", "give each daemon once"));
        }
        if daemons.len() == MOST_DAEMONS {
            return Err(given.wrong("is one daemon too many", format!("give {MOST_DAEMONS} at most")));
        }
        daemons.push(Daemon { uri: given.value.clone(), way: way(given, &surroundings, &conf)? });
    }
    Ok(daemons)
}

fn way(given: &Given, surroundings: &Surroundings, conf: &Conf) -> Result<Way, ConfigError> {
    match Address::resolve(&given.value, surroundings, conf) {
        Ok(address) => Ok(Way::Protocol(address)),
        Err(AddressError::ClientSide { driver, .. }) => library(given, &driver),
        Err(error) => {
            // It names the URI, and mostly what to do.
            let text = error.to_string();
            let (problem, accepted) = text.split_once("; ").unwrap_or((&text, ACCEPTED));
            Err(given.problem(problem, accepted))
        }
    }
}

#[cfg(feature = "virt")]
fn library(_: &Given, _: &str) -> Result<Way, ConfigError> {
    Ok(Way::Library)
}

#[cfg(not(feature = "virt"))]
fn library(given: &Given, driver: &str) -> Result<Way, ConfigError> {
    Err(given.wrong(
        format!("needs libvirt's own library, which has the driver `{driver}`"),
        "build virt-otel with the Cargo feature `virt`, or name a daemon",
    ))
}

fn surroundings(layers: Layers<'_>) -> Surroundings {
    let path = |name: &str| layers.variable(name).map(|given| PathBuf::from(given.value));
    Surroundings {
        root: rustix::process::geteuid().is_root(),
        home: path("HOME"),
        config_home: path("XDG_CONFIG_HOME"),
        cache_home: path("XDG_CACHE_HOME"),
        runtime_dir: path("XDG_RUNTIME_DIR"),
    }
}

/// `libvirt.conf`; one that is missing or unreadable counts as empty.
fn conf(surroundings: &Surroundings) -> Result<Conf, ConfigError> {
    let Some(path) = surroundings.conf_path() else { return Ok(Conf::default()) };
    let Ok(text) = fs::read_to_string(&path) else { return Ok(Conf::default()) };
    Conf::parse(&text).map_err(|error| ConfigError {
        origin: path.display().to_string(),
        problem: error.to_string(),
        accepted: "mend the line, or take it out".to_owned(),
    })
}
