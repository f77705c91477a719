//! The libvirt daemons that are configured: whether each answers, and whether its socket allows no more than reading.

use std::path::{Path, PathBuf};

use futures_util::future::join_all;

use super::finding::{Check, Finding};
use crate::agent::address_of;
use crate::config::{self, Sidecar, Vms, Way};
use crate::libvirt::endpoint::{self, Address, NotMet};
use crate::model::DaemonFacts;

/// How a daemon is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Access {
    /// Through a socket of this host that belongs to the system's daemon.
    System(PathBuf),
    /// Through the socket of a daemon that has no other: a user's own, or a launcher's.
    Own(PathBuf),
    /// By another host, or by libvirt's library.
    Elsewhere,
}

/// A daemon and how to reach it.
struct Daemon {
    name: String,
    address: Address,
    access: Access,
}

/// Meets every configured daemon, all at once.
pub(super) async fn probe(vms: Vms) -> Vec<Finding> {
    let daemons: Vec<Daemon> = match vms {
        Vms::Libvirt { daemons } => daemons.iter().map(of_host).collect(),
        Vms::Sidecar(Sidecar { socket, .. }) => vec![Daemon {
            name: socket.display().to_string(),
            address: Address::Socket(socket.clone()),
            access: Access::Own(socket),
        }],
        // The API says which there are.
        Vms::Kubevirt(_) => Vec::new(),
    };
    let met = daemons.into_iter().map(|daemon| async move {
        let met = endpoint::meet(&daemon.address).await;
        let read_only = match &met {
            Ok(_) => read_only(&daemon.name, &daemon.access),
            Err(_) => Finding::not_tried(Check::LibvirtReadOnly, format!("{}: it was not reached", daemon.name)),
        };
        [socket(&daemon.name, &met), read_only]
    });
    join_all(met).await.into_iter().flatten().collect()
}

fn of_host(daemon: &config::Daemon) -> Daemon {
    let access = match &daemon.way {
        Way::Protocol(address) => match address.socket() {
            Some(socket) if address.driver_uri().ends_with("/session") => Access::Own(socket),
            Some(socket) => Access::System(socket),
            None => Access::Elsewhere,
        },
        #[cfg(feature = "virt")]
        Way::Library => Access::Elsewhere,
    };
    Daemon { name: daemon.uri.clone(), address: address_of(daemon), access }
}

/// Whether the daemon of this name was met.
pub(super) fn socket(name: &str, met: &Result<DaemonFacts, NotMet>) -> Finding {
    match met {
        Ok(facts) => {
            let version =
                facts.libvirt.map(|version| format!("libvirt {version}")).unwrap_or_else(|| "libvirt".to_owned());
            let DaemonFacts { driver, host_name, .. } = facts;
            Finding::well(Check::LibvirtSocket, format!("{name}: {version} answers ({driver} on {host_name})"))
        }
        Err(error) => Finding::failure(
            Check::LibvirtSocket,
            format!("{name}: {error}"),
            if error.absent {
                "start the daemon (`systemctl status libvirtd virtqemud`), or correct where it is looked for"
            } else {
                "`virsh --readonly list` as the agent's user shows the same; docs/runbook.md has each reason and its remedy"
            },
        ),
    }
}

/// libvirt's word for sockets that only allow reading.
fn allows_only_reading(socket: &Path) -> bool {
    socket.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with("-ro"))
}

fn read_only(name: &str, access: &Access) -> Finding {
    const CHECK: Check = Check::LibvirtReadOnly;
    match access {
        Access::System(socket) if allows_only_reading(socket) => {
            Finding::well(CHECK, format!("{name}: {} allows nothing but reading", socket.display()))
        }
        Access::System(socket) => Finding::warning(
            CHECK,
            format!("{name}: {} allows more than reading, for which alone the agent opens it", socket.display()),
            "leave the parameter `socket` out of the URI, or name the socket that ends in -ro",
        ),
        Access::Own(socket) => Finding::well(CHECK, format!("{name}: {} is opened for reading only", socket.display())),
        Access::Elsewhere => Finding::well(CHECK, format!("{name}: it is opened for reading only")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Outcome;
    use crate::model::Version;

    #[test]
    fn a_daemon_is_named_with_its_version_or_with_why_it_was_not_met() {
        let facts = DaemonFacts {
            host_name: "host-a".into(),
            driver: "QEMU".into(),
            libvirt: Some(Version(9_000_000)),
            hypervisor: None,
        };
        let well = socket("qemu:///system", &Ok(facts));
        assert_eq!(
            (well.outcome, well.detail.as_str()),
            (Outcome::Well, "qemu:///system: libvirt 9.0.0 answers (QEMU on host-a)")
        );
        for absent in [true, false] {
            let failed = socket("qemu:///system", &Err(NotMet { reason: "nobody listens".to_owned(), absent }));
            assert_eq!((failed.outcome, failed.detail.as_str()), (Outcome::Failure, "qemu:///system: nobody listens"));
            assert!(failed.next_step.is_some());
        }
    }

    #[test]
    fn a_socket_that_allows_more_than_reading_is_pointed_out_where_there_is_another() {
        for (access, outcome) in [
            (Access::System("/run/libvirt/libvirt-sock-ro".into()), Outcome::Well),
            (Access::System("/run/libvirt/libvirt-sock".into()), Outcome::Warning),
            (Access::Own("/run/user/1000/libvirt/virtqemud-sock".into()), Outcome::Well),
            (Access::Elsewhere, Outcome::Well),
        ] {
            assert_eq!(read_only("a", &access).outcome, outcome, "{access:?}");
        }
    }

    #[tokio::test]
    async fn of_a_daemon_that_is_away_nothing_more_is_claimed() {
        let vms = |socket: &str| {
            Vms::Sidecar(Sidecar {
                socket: socket.into(),
                node: "node-a".to_owned(),
                namespace: "shop".to_owned(),
                pod_uid: "1".to_owned(),
                vmi_name: None,
            })
        };
        let findings = probe(vms("/nonexistent/virtqemud-sock")).await;
        assert_eq!(findings.len(), 2);
        assert_eq!((findings[0].check, findings[0].outcome), (Check::LibvirtSocket, Outcome::Failure));
        assert_eq!((findings[1].check, findings[1].outcome), (Check::LibvirtReadOnly, Outcome::NotTried));
    }
}
