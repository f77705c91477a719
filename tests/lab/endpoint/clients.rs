//! A real Prometheus that shows a certificate, and clients that have none or another.

use std::time::Duration;

use super::super::support::https::Https;
use super::super::support::pki::{Authority, Subject};
use super::super::support::{Agent, Prometheus3, PrometheusOptions, free_port, http, wait_until};
use super::{Place, TLS};

const SOON: Duration = Duration::from_secs(30);
/// Nothing listens there.
const ABSENT: &str = "qemu+unix:///system?socket=/nonexistent/libvirt-sock-ro";

#[test]
fn a_prometheus_with_the_right_certificate_reads_it_and_nobody_else_does() {
    let clients = Authority::new("the clients'");
    let place = Place::new(&format!(
        "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: clients.crt\n  \
         client_allowed_sans: [prometheus.test]\n"
    ));
    clients.write(&place.path("clients.crt"));
    let health = free_port();
    let (file, listen) = (place.text("web.yml"), format!("127.0.0.1:{health}"));
    let arguments = ["--libvirt-uri", ABSENT, "--exporters", "prometheus", "--web-config-file", &file];
    let agent = Agent::launch(&[&arguments[..], &["--health-listen", &listen]].concat(), &[]);
    wait_until(SOON, "the probe", || http::get(health, "/livez", &[]).ok().filter(|answer| answer.status == 200));

    let of = |authority: &Authority, name: &'static str| {
        let names: &'static [&'static str] = Box::leak(Box::new([name]));
        let (certificate, key) = (place.path("client.crt"), place.path("client.key"));
        authority.issue(Subject::Names(names), &certificate, &key);
        Https::presenting(&place.path("ca.crt"), &certificate, &key)
    };
    let status = |client: &Https| client.get(agent.port(), "/metrics", &[]).ok().map(|answer| answer.status);
    assert_eq!(status(&Https::trusting(&place.path("ca.crt"))), None, "without a certificate");
    assert_eq!(status(&of(&Authority::new("another"), "prometheus.test")), None, "of another authority");
    assert_ne!(status(&of(&clients, "stranger.test")), Some(200), "of another name");
    assert_eq!(status(&of(&clients, "prometheus.test")), Some(200));

    let [authority, certificate, key] = ["ca.crt", "client.crt", "client.key"].map(|name| place.text(name));
    let scraping = |tls: String| {
        Prometheus3::start(PrometheusOptions {
            agent: Some(agent.port()),
            scrape_interval: Some("1s".to_owned()),
            replacements: vec![(
                "  - job_name: virt-otel\n".to_owned(),
                format!(
                    "  - job_name: virt-otel\n    scheme: https\n    tls_config: {{ ca_file: \"{authority}\"{tls} }}\n"
                ),
            )],
            ..PrometheusOptions::default()
        })
    };
    let with = scraping(format!(", cert_file: \"{certificate}\", key_file: \"{key}\""));
    let without = scraping(String::new());
    let up = |prometheus: &Prometheus3| prometheus.value("up{job=\"virt-otel\"}");
    wait_until(SOON, "a scrape with the certificate", || (up(&with) == Some(1.0)).then_some(()));
    wait_until(SOON, "a scrape without", || (up(&without) == Some(0.0)).then_some(()));
}
