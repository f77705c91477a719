//! A real Prometheus scrapes with TLS and a password, through a renewed certificate and a changed password.

use std::time::Duration;

use super::super::support::{Agent, Prometheus3, PrometheusOptions, http, wait_until};
use super::{Place, TLS, replace};

/// How long something may take to show, on a busy machine.
const SOON: Duration = Duration::from_secs(30);
/// Nothing listens there.
const ABSENT: &str = "qemu+unix:///system?socket=/nonexistent/libvirt-sock-ro";

fn users(hash: &str) -> String {
    format!("{TLS}basic_auth_users:\n  prometheus: {hash}\n")
}

fn hash(password: &str) -> String {
    bcrypt::hash(password, 10).unwrap()
}

#[test]
fn prometheus_scrapes_with_tls_and_a_password_through_a_new_certificate_and_a_new_password() {
    let place = Place::new(&users(&hash("first")));
    replace(&place.path("password"), "first");
    let file = place.text("web.yml");
    let health = super::super::support::free_port();
    let arguments = ["--libvirt-uri", ABSENT, "--exporters", "prometheus", "--web-config-file", &file];
    let listen = format!("127.0.0.1:{health}");
    let agent = Agent::launch(&[&arguments[..], &["--health-listen", &listen]].concat(), &[]);
    // The probes need nothing.
    wait_until(SOON, "the probe", || http::get(health, "/livez", &[]).ok().filter(|answer| answer.status == 200));
    // Without TLS nobody is served, and without a password neither.
    assert_eq!(agent.get("/metrics", &[]).unwrap().status, 400);
    assert_eq!(place.client(agent.port(), "x").status("GET", "/metrics"), 401);

    let settings = format!(
        "  - job_name: virt-otel\n    scheme: https\n    tls_config:\n      ca_file: {}\n    basic_auth:\n      \
         username: prometheus\n      password_file: {}\n",
        place.text("ca.crt"),
        place.text("password")
    );
    let prometheus = Prometheus3::start(PrometheusOptions {
        agent: Some(agent.port()),
        scrape_interval: Some("1s".to_owned()),
        replacements: vec![("  - job_name: virt-otel\n".to_owned(), settings)],
        ..PrometheusOptions::default()
    });
    let up = |wanted: f64| (prometheus.value("up{job=\"virt-otel\"}") == Some(wanted)).then_some(());
    wait_until(SOON, "a scrape", || up(1.0));

    let changes = || prometheus.value("virt_otel_web_config_changes_total").unwrap_or_default();
    place.renew();
    wait_until(SOON, "the new certificate", || (changes() == 1.0).then_some(()));
    wait_until(SOON, "a scrape with it", || up(1.0));

    replace(&place.path("web.yml"), &users(&hash("second")));
    wait_until(SOON, "the old password to be refused", || up(0.0));
    replace(&place.path("password"), "second");
    wait_until(SOON, "a scrape with the new one", || up(1.0));
    assert_eq!(changes(), 2.0);

    // One that is bad changes nothing, and says so once.
    replace(&place.path("web.yml"), &users("$2y$10$cut"));
    let current = || prometheus.value("virt_otel_web_config_current");
    wait_until(SOON, "the bad document to show", || (current() == Some(0.0)).then_some(()));
    wait_until(SOON, "scrapes to go on", || up(1.0));
    assert_eq!(agent.log().matches("cannot be taken over").count(), 1, "{}", agent.log());
    assert!(!agent.log().contains("$2y$"), "{}", agent.log());
}
