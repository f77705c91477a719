//! Who may read at the address of /metrics. A document that cannot be used has been refused with the configuration.

use super::finding::{Check, Finding};
use crate::config::{Run, Vms, Web, WebAuth};

/// What there is between an address and a stranger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Guards {
    /// Encrypts, and keeps nobody out.
    tls: bool,
    certificates: bool,
    passwords: bool,
    tokens: bool,
}

impl Guards {
    fn of(web: Option<&Web>) -> Self {
        let Some(Web { document, auth }) = web else { return Self::default() };
        let settings = document.settings();
        Self {
            tls: settings.has_tls(),
            certificates: settings.demands_certificates(),
            passwords: settings.has_users(),
            tokens: *auth == Some(WebAuth::Kubernetes),
        }
    }

    /// What clients need.
    fn demands(self) -> Vec<&'static str> {
        let all = [
            (self.certificates, "a client's certificate"),
            (self.passwords && !self.tokens, "a password"),
            (self.passwords && self.tokens, "a password or a token of the cluster"),
            (self.tokens && !self.passwords, "a token of the cluster"),
        ];
        all.into_iter().filter(|(there, _)| *there).map(|(_, demand)| demand).collect()
    }
}

pub(super) fn judge(config: &Run) -> Finding {
    let place = format!("--listen {}", config.listen);
    if !config.prometheus {
        return Finding::not_tried(Check::Guard, format!("{place}: no metrics of VMs are served there"));
    }
    let reach = match config.source.vms {
        _ if config.listen.is_local() => Reach::Machine,
        Vms::Libvirt { .. } => Reach::Everybody,
        Vms::Kubevirt(_) | Vms::Sidecar(_) => Reach::Cluster,
    };
    of(Guards::of(config.web.as_ref()), &place, reach)
}

/// Who reaches an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Those on this machine.
    Machine,
    /// Those whom NetworkPolicies let: a pod does not know them.
    Cluster,
    Everybody,
}

fn of(guards: Guards, place: &str, reach: Reach) -> Finding {
    let over = if guards.tls { "TLS" } else { "plain HTTP" };
    let demands = guards.demands();
    if !demands.is_empty() {
        return Finding::well(Check::Guard, format!("{place}: {over}, and clients need {}", demands.join(" and ")));
    }
    match reach {
        Reach::Machine => Finding::well(Check::Guard, format!("{place}: {over}, to everybody on this machine")),
        Reach::Cluster => Finding::not_tried(
            Check::Guard,
            format!(
                "{place}: {over}, to everybody who reaches it: who that is, a NetworkPolicy says, which no pod sees"
            ),
        ),
        Reach::Everybody => Finding::warning(
            Check::Guard,
            format!("{place}: {over}, to everybody who reaches it"),
            "demand certificates or passwords by --web-config-file, or let a firewall admit Prometheus alone",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Outcome;
    use crate::check::tests::run;
    use crate::web::testing::{Place, TLS, USERS};

    fn judged(document: Option<&str>, listen: &str) -> Finding {
        let place = Place::new();
        let path = place.path("web.yml").display().to_string();
        let mut options = vec!["--listen", listen, "--exporters", "prometheus"];
        if let Some(document) = document {
            place.write("web.yml", document);
            options.extend(["--web-config-file", &path]);
        }
        judge(&run(&options))
    }

    #[test]
    fn an_address_that_others_reach_is_guarded_or_warned_of() {
        let certificates = format!("{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n");
        for (document, listen, outcome, said) in [
            (None, "localhost:9464", Outcome::Well, "everybody on this machine"),
            (None, "[::1]:9464", Outcome::Well, "everybody on this machine"),
            (None, ":9464", Outcome::Warning, "plain HTTP, to everybody"),
            (Some(""), "192.0.2.1:9464", Outcome::Warning, "plain HTTP, to everybody"),
            (Some(TLS), ":9464", Outcome::Warning, "TLS, to everybody"),
            (Some(certificates.as_str()), ":9464", Outcome::Well, "TLS, and clients need a client's certificate"),
            (Some(USERS), ":9464", Outcome::Well, "plain HTTP, and clients need a password"),
        ] {
            let finding = judged(document, listen);
            assert_eq!(finding.outcome, outcome, "{finding:?}");
            assert!(finding.detail.contains(said) && finding.detail.contains(listen), "{finding:?}");
        }
    }

    #[test]
    fn what_clients_need_is_said_in_full() {
        let tokens = Guards { tls: true, tokens: true, ..Guards::default() };
        assert!(of(tokens, "", Reach::Cluster).detail.contains("TLS, and clients need a token of the cluster"));
        let all = Guards { certificates: true, passwords: true, ..tokens };
        let detail = of(all, "", Reach::Everybody).detail;
        assert!(detail.contains("a client's certificate and a password or a token of the cluster"), "{detail}");
    }

    #[test]
    fn in_a_pod_it_is_not_known_who_reaches_it() {
        let pod = ["--mode", "kubevirt", "--node-name", "worker-1", "--exporters", "prometheus"];
        let finding = judge(&run(&[&pod[..], &["--listen", ":9464"]].concat()));
        assert_eq!(finding.outcome, Outcome::NotTried, "{finding:?}");
        assert!(finding.detail.contains("NetworkPolicy"), "{finding:?}");
        assert_eq!(judge(&run(&pod)).outcome, Outcome::Well);
    }

    #[test]
    fn where_no_metrics_are_served_nothing_is_to_be_guarded() {
        let finding = judge(&run(&["--listen", ":9464", "--exporters", "otlp"]));
        assert_eq!(finding.outcome, Outcome::NotTried, "{finding:?}");
    }
}
