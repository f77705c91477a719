//! What is refused before anything is sent, and what is never printed.

use std::fs;

use lab_support::pki::{Authority, Subject};
use tempfile::TempDir;

use super::*;

fn https() -> Collector {
    Collector { endpoint: Uri::from_static("https://localhost:4317"), ..Collector::default() }
}

/// Why this Collector is refused.
fn refused(collector: &Collector) -> String {
    collector.open().map(|_| ()).unwrap_err().to_string()
}

#[test]
fn values_of_headers_are_not_printed() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("headers");
    fs::write(&file, "x-token: secret").unwrap();
    let headers = Headers::new(vec![("Authorization".to_owned(), "Bearer secret".to_owned())]).unwrap();
    let collector = Collector { headers, headers_file: Some(file), ..Collector::default() };
    let opened = collector.open().unwrap();
    let printed = format!("{collector:?} {opened:?}");
    assert!(printed.contains("authorization") && printed.contains("x-token"), "{printed}");
    assert!(!printed.contains("secret"), "{printed}");
}

#[test]
fn user_and_password_of_an_endpoint_are_not_repeated() {
    for (endpoint, name) in [
        ("http://me:secret@collector:4317/path", "http://collector:4317"),
        ("https://[::1]:4317", "https://[::1]:4317"),
    ] {
        assert_eq!(Collector { endpoint: Uri::from_static(endpoint), ..Collector::default() }.name(), name);
    }
}

#[test]
fn files_that_hold_something_else_are_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (authority, other) = (Authority::new("one"), Authority::new("another"));
    authority.write(&at("ca"));
    authority.issue(Subject::Names(&["agent"]), &at("certificate"), &at("key"));
    other.issue(Subject::Names(&["agent"]), &at("other-certificate"), &at("other-key"));
    fs::write(at("text"), "this is secret").unwrap();
    let pem = fs::read_to_string(at("ca")).unwrap();
    fs::write(at("cut"), &pem[..pem.len() / 2]).unwrap();
    fs::write(at("garbage"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();

    let good = Collector { ca_file: Some(at("ca")), client_files: Some((at("certificate"), at("key"))), ..https() };
    good.open().map(|_| ()).unwrap();
    for (file, problem) in [
        ("none", "cannot be read"),
        ("text", "no certificate"),
        ("key", "no certificate"),
        ("cut", "not PEM"),
        ("garbage", "none of its certificates can be understood"),
        ("", "not a file"),
    ] {
        let said = refused(&Collector { ca_file: Some(at(file)), ..good.clone() });
        assert!(said.contains(problem) && said.contains(at(file).to_str().unwrap()), "{file}: {said}");
        assert!(said.contains("OTEL_EXPORTER_OTLP_CERTIFICATE") && !said.contains("secret"), "{said}");
    }
    for (certificate, key, names, problem) in [
        ("none", "key", "none", "cannot be read"),
        ("text", "key", "text", "no certificate"),
        ("garbage", "key", "garbage", "cannot be understood"),
        ("certificate", "text", "text", "no private key"),
        ("certificate", "certificate", "certificate", "no private key"),
        ("certificate", "other-key", "other-key", "is not that of the certificate"),
    ] {
        let said = refused(&Collector { client_files: Some((at(certificate), at(key))), ..good.clone() });
        assert!(said.contains(problem) && said.contains(at(names).to_str().unwrap()), "{said}");
        assert!(said.contains("OTEL_EXPORTER_OTLP_CLIENT_") && !said.contains("secret"), "{said}");
    }
}

#[test]
fn a_bundle_may_have_a_certificate_that_nobody_understands() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("bundle");
    Authority::new("one").write(&path);
    let pem = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{pem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")).unwrap();
    Collector { ca_file: Some(path), ..https() }.open().map(|_| ()).unwrap();
}

#[test]
fn certificates_are_not_read_where_there_is_no_tls() {
    let collector = Collector { ca_file: Some("/nonexistent/ca.pem".into()), ..Collector::default() };
    let (_, rotation) = collector.open().unwrap();
    assert!(!rotation.has_files());
}

#[test]
fn a_file_of_headers_is_read_with_and_without_tls() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("headers");
    fs::write(&path, "secret").unwrap();
    let said = refused(&Collector { headers_file: Some(path.clone()), ..Collector::default() });
    assert!(said.contains("--otlp-headers-file") && said.contains("line 1 has no colon"), "{said}");
    assert!(!said.contains("secret"), "{said}");
    fs::write(&path, "x-a: file").unwrap();
    let headers = Headers::new(vec![("x-a".into(), "given".into()), ("x-b".into(), "given".into())]).unwrap();
    let (credentials, rotation) =
        Collector { headers, headers_file: Some(path), ..Collector::default() }.open().unwrap();
    assert!(rotation.has_files());
    let expected = Headers::new(vec![("x-b".into(), "given".into()), ("x-a".into(), "file".into())]).unwrap();
    assert_eq!(*credentials.now().headers(), expected);
}
