//! Who may use the admin server.

use super::*;
use crate::web::testing::{Place, TLS, USERS};

/// The path of this document, beside a certificate.
fn document(place: &Place, text: &str) -> String {
    place.write("web.yml", text);
    place.path("web.yml").display().to_string()
}

const KUBEVIRT: [&str; 4] = ["--mode", "kubevirt", "--node-name", "worker-1"];

#[test]
fn without_a_file_everybody_may() {
    assert!(run(&[], []).web.is_none());
}

#[test]
fn a_file_is_read_at_the_start() {
    let place = Place::new();
    let file = document(&place, TLS);
    for run in [run(&["--web-config-file", &file], []), run(&[], [("VIRT_OTEL_WEB_CONFIG_FILE", file.as_str())])] {
        let web = run.web.expect("a guard");
        assert!(web.document.settings().has_tls());
        assert_eq!((web.document.path(), web.auth), (place.path("web.yml").as_path(), None));
    }
}

#[test]
fn a_file_that_cannot_be_used_is_a_sentence_that_names_it_and_the_field() {
    let place = Place::new();
    for (text, field) in [
        ("tls_server_config: {cert_filse: x}\n", "`cert_filse`"),
        ("basic_auth_users: {john: doe}\n", "basic_auth_users.john"),
        ("nonsense", "web.yml"),
        ("tls_server_config: {cert_file: gone.crt, key_file: server.key}\n", "tls_server_config.cert_file"),
    ] {
        let sentence = wrong(&["--web-config-file", &document(&place, text)], []);
        assert!(sentence.starts_with("--web-config-file: ") && sentence.contains("; "), "{sentence}");
        assert!(sentence.contains(field) && sentence.lines().count() == 1, "{sentence}");
    }
    assert_sentence(&wrong(&["--web-config-file", "/nowhere/web.yml"], []), "--web-config-file: /nowhere/web.yml: ");
    assert!(wrong(&[], [("VIRT_OTEL_WEB_CONFIG_FILE", "/nowhere")]).starts_with("VIRT_OTEL_WEB_CONFIG_FILE: "));
}

#[test]
fn tokens_need_the_cluster_and_tls() {
    let place = Place::new();
    let (secured, open) = (document(&place, TLS), place.path("open.yml").display().to_string());
    place.write("open.yml", USERS);
    let with =
        |more: &[&str]| KUBEVIRT.iter().copied().chain(more.iter().copied()).map(str::to_owned).collect::<Vec<_>>();
    let given = |more: &[&str]| {
        let arguments = with(more);
        parsed(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), [])
    };
    let Ok(Invocation::Run(run)) = given(&["--web-auth", "kubernetes", "--web-config-file", &secured]) else {
        panic!("it is right")
    };
    assert_eq!(run.web.expect("a guard").auth, Some(WebAuth::Kubernetes));
    for more in [&["--web-auth", "kubernetes"][..], &["--web-auth", "kubernetes", "--web-config-file", &open]] {
        let Err(Refusal::Wrong(sentence)) = given(more) else { panic!("{more:?} is accepted") };
        assert_sentence(&sentence, "--web-auth: ");
        assert!(sentence.contains("tls_server_config"), "{sentence}");
    }
    let sentence = wrong(&["--web-auth", "kubernetes", "--web-config-file", &secured], []);
    assert!(sentence.starts_with("--web-auth: ") && sentence.contains("kubevirt"), "{sentence}");
    let variables = [("VIRT_OTEL_WEB_AUTH", "kubernetes"), ("VIRT_OTEL_WEB_CONFIG_FILE", secured.as_str())];
    assert_sentence(&wrong(&[], variables), "VIRT_OTEL_WEB_AUTH: ");
    assert_sentence(&wrong(&["--web-auth", "ldap"], []), "--web-auth: ");
    assert_sentence(&wrong(&[], [("VIRT_OTEL_WEB_AUTH", "ldap")]), "VIRT_OTEL_WEB_AUTH: ");
}

#[test]
fn passwords_that_anybody_can_read_are_warned_of() {
    let place = Place::new();
    let (open, secured) = (document(&place, USERS), place.path("tls.yml").display().to_string());
    place.write("tls.yml", &format!("{TLS}{USERS}"));
    for (file, listen, warned) in [
        (&open, ":9464", true),
        (&open, "192.0.2.1:9464", true),
        (&open, "localhost:9464", false),
        (&open, "127.0.0.2:9464", false),
        (&open, "[::1]:9464", false),
        (&secured, ":9464", false),
    ] {
        let warnings =
            run(&["--web-config-file", file, "--listen", listen, "--health-listen", "localhost:9465"], []).warnings;
        assert_eq!(warnings.iter().any(|warning| warning.contains("passwords")), warned, "{listen}: {warnings:?}");
        assert_eq!(warnings.len(), usize::from(warned), "{listen}: {warnings:?}");
    }
}

#[test]
fn probes_behind_the_guard_are_warned_of() {
    let place = Place::new();
    for (text, demand) in [
        (TLS.to_owned(), Some("need TLS")),
        (USERS.to_owned(), Some("a client's secret")),
        (format!("{TLS}  client_auth_type: RequireAnyClientCert\n"), Some("a client's secret")),
        ("http_server_config: {headers: {X-Frame-Options: deny}}\n".to_owned(), None),
    ] {
        let file = document(&place, &text);
        let warnings = run(&["--web-config-file", &file], []).warnings;
        assert_eq!(warnings.len(), usize::from(demand.is_some()), "{text}: {warnings:?}");
        for warning in &warnings {
            assert!(warning.contains(demand.unwrap_or_default()) && warning.contains("--health-listen"), "{warning}");
        }
        let apart = run(&["--web-config-file", &file, "--health-listen", ":9465"], []);
        assert_eq!(apart.warnings, Vec::<String>::new());
    }
}
