//! The documents of exporter-toolkit's own Go module, as the module cache has them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use virt_otel::web;

/// The version whose examples the table below is about.
const MODULE: &str = "github.com/prometheus/exporter-toolkit@v0.20.0";

/// What becomes of each example. `None`: it is accepted. Otherwise what the refusal says.
///
/// Accepted though exporter-toolkit refuses it: a list of suites that HTTP/2 cannot use, where there is no HTTP/2. Refused
/// though it accepts them: CBC suites and the curve P-521, which rustls does not have; certificates to be verified by no
/// named authority; and a rate that lets nothing through.
const EXAMPLES: &[(&str, Option<&str>)] = &[
    ("tls_config_noAuth.requireandverifyclientcert.good.yml", None),
    ("tls_config_noAuth.requireanyclientcert.good.yml", None),
    ("tls_config_noAuth.requireanyclientcertkeyinline.good.yml", None),
    ("web_config_auth_clientCAs_invalid.bad.yml", Some("tls_server_config.client_ca_file cannot be read")),
    ("web_config_auth_clientCAs_missing.bad.yml", Some("no authority is named")),
    ("web_config_auth_client_san.bad.yaml", None),
    ("web_config_auth_client_san.good.yaml", None),
    ("web_config_auth_user_list_invalid.bad.yml", Some("basic_auth_users.john is not a hash")),
    ("web_config_empty.yml", None),
    ("web_config_headers.good.yml", None),
    ("web_config_headers_content_type_options.bad.yml", Some("X-Content-Type-Options has a value")),
    ("web_config_headers_extra_header.bad.yml", Some("Content-Type cannot be set")),
    ("web_config_headers_frame_options.bad.yml", Some("X-Frame-Options has a value")),
    ("web_config_junk.yml", Some("this is not the YAML of a web configuration")),
    ("web_config_junk_key.yml", Some("there is no field `cert_filse`")),
    ("web_config_noAuth.bad.yml", Some("tls_server_config.client_ca_file cannot be read")),
    ("web_config_noAuth.good.blocking.yml", Some("no authority is named")),
    ("web_config_noAuth.good.yml", None),
    ("web_config_noAuth_allCiphers.good.yml", Some("`TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA`")),
    ("web_config_noAuth_allCurves.good.yml", Some("`CurveP521`")),
    ("web_config_noAuth_certPath_empty.bad.yml", Some("neither cert nor cert_file")),
    ("web_config_noAuth_certPath_invalid.bad.yml", Some("tls_server_config.cert_file cannot be read")),
    ("web_config_noAuth_certPath_keyPath_empty.bad.yml", Some("neither cert nor cert_file")),
    ("web_config_noAuth_certPath_keyPath_invalid.bad.yml", Some("tls_server_config.cert_file cannot be read")),
    ("web_config_noAuth_cert_empty.bad.yml", Some("neither cert nor cert_file")),
    ("web_config_noAuth_inventedCiphers.bad.yml", Some("`TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048`")),
    ("web_config_noAuth_inventedCurves.bad.yml", Some("`CurveP257`")),
    ("web_config_noAuth_keyPath_empty.bad.yml", Some("neither key nor key_file")),
    ("web_config_noAuth_keyPath_invalid.bad.yml", Some("tls_server_config.cert_file cannot be read")),
    ("web_config_noAuth_key_empty.bad.yml", Some("neither key nor key_file")),
    ("web_config_noAuth_noHTTP2.good.yml", None),
    ("web_config_noAuth_noHTTP2Cipher.bad.yml", None),
    ("web_config_noAuth_someCiphers.good.yml", None),
    ("web_config_noAuth_someCiphers_noOrder.good.yml", None),
    ("web_config_noAuth_someCurves.good.yml", Some("`CurveP521`")),
    ("web_config_noAuth_tlsInline.good.yml", None),
    ("web_config_noAuth_wrongTLSVersion.bad.yml", Some("`TLS111`")),
    ("web_config_rate_limiter_nonblocking.yaml", None),
    ("web_config_rate_limiter_one_second.yaml", Some("rate_limit.burst is 0")),
    ("web_config_users.good.yml", None),
    ("web_config_users_noTLS.good.yml", None),
];

/// The folder of the module in Go's cache, where `tests/lab/prepare.sh prometheus` puts it.
fn module() -> PathBuf {
    let output = Command::new("go")
        .args(["mod", "download", "-json", MODULE])
        .current_dir(std::env::temp_dir())
        .output()
        .expect("go: see tests/lab/prepare.sh");
    let said = String::from_utf8_lossy(&output.stderr);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    PathBuf::from(answer["Dir"].as_str().unwrap_or_else(|| panic!("{MODULE} is not in Go's cache: {answer} {said}")))
}

#[test]
fn every_example_of_exporter_toolkit_is_accepted_or_refused_by_name() {
    let folder = module().join("web/testdata");
    let found: BTreeSet<String> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yml") || name.ends_with(".yaml"))
        .collect();
    let told: BTreeSet<String> = EXAMPLES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, told, "the table is about other examples");
    for (name, refusal) in EXAMPLES {
        match (web::load(&folder.join(name)), refusal) {
            (Ok(_), None) => {}
            (Ok(_), Some(refusal)) => panic!("{name} is accepted, and not refused with {refusal:?}"),
            (Err(error), None) => panic!("{name} is refused: {error}"),
            (Err(error), Some(refusal)) => assert!(error.to_string().contains(refusal), "{name}: {error}"),
        }
    }
}

/// The fields of the page that describes the format, by section: what has a type between angle brackets, or a list below.
fn fields(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let block = page.split("```").nth(1).expect("the scheme");
    let (mut sections, mut section) = (BTreeMap::<_, BTreeSet<String>>::new(), String::new());
    for line in block.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let Some((name, _)) = line.split_once(':') else { continue };
        let depth = name.len() - name.trim_start().len();
        let name = name.trim().trim_start_matches('[').trim();
        let is_name = !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || "_-".contains(char));
        match depth {
            0 if is_name => {
                section = name.to_owned();
                sections.entry(section.clone()).or_default();
            }
            2 if is_name => drop(sections.entry(section.clone()).or_default().insert(name.to_owned())),
            _ => {}
        }
    }
    sections
}

#[test]
fn every_field_of_exporter_toolkits_page_is_known() {
    let page = std::fs::read_to_string(module().join("docs/web-configuration.md")).unwrap();
    let sections = fields(&page);
    let names: Vec<&str> = sections.keys().map(String::as_str).collect();
    assert_eq!(names, ["basic_auth_users", "http_server_config", "rate_limit", "tls_server_config"]);
    assert_eq!(sections["tls_server_config"].len(), 13, "{sections:?}");
    assert_eq!(sections["http_server_config"].len() + sections["rate_limit"].len(), 4, "{sections:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    for (section, fields) in sections.iter().filter(|(section, _)| *section != "basic_auth_users") {
        for field in fields {
            std::fs::write(&file, format!("{section}:\n  {field}:\n")).unwrap();
            if let Err(error) = web::load(&file) {
                panic!("{section}.{field} with nothing said is refused: {error}");
            }
        }
        std::fs::write(&file, format!("{section}:\n  no_such_field:\n")).unwrap();
        let error = web::load(&file).map(drop).expect_err(section).to_string();
        assert!(error.contains("`no_such_field`"), "{error}");
    }
}
