//! What is refused before anything is sent, and what is never printed.

use super::*;

fn headers(name: &str, value: &str) -> Result<Headers, BadHeader> {
    Headers::new(vec![(name.to_owned(), value.to_owned())])
}

#[test]
fn values_of_headers_are_not_printed() {
    let headers = headers("Authorization", "Bearer secret").unwrap();
    let printed = format!("{:?}", Collector { headers, ..Collector::default() });
    assert!(printed.contains("authorization"), "{printed}");
    assert!(!printed.contains("secret"), "{printed}");
}

#[test]
fn headers_that_cannot_be_sent_are_refused_without_their_value() {
    for (name, value) in [("a b", "secret"), ("a", "secret\nbreak"), ("grpc-timeout", "secret"), ("key-bin", "secret")]
    {
        let error = headers(name, value).unwrap_err();
        assert_eq!(error.name, name);
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
}

#[test]
fn headers_are_sent_with_names_in_lower_case() {
    let mut metadata = MetadataMap::new();
    headers("X-Token", "1").unwrap().add_to(&mut metadata);
    assert_eq!(metadata.get("x-token").unwrap(), "1");
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
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "no certificate").unwrap();
    let https = Collector { endpoint: Uri::from_static("https://collector:4317"), ..Collector::default() };
    for (path, problem) in [(file.path(), "nothing of the kind"), (Path::new("/nonexistent/ca.pem"), "cannot be read")]
    {
        let collector = Collector { ca_file: Some(path.to_owned()), ..https.clone() };
        let error = collector.connector().unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains(path.to_str().unwrap()), "{error}");
        assert!(error.contains("OTEL_EXPORTER_OTLP_CERTIFICATE"), "{error}");
    }
}

#[test]
fn certificates_are_not_read_where_there_is_no_tls() {
    let collector = Collector { ca_file: Some("/nonexistent/ca.pem".into()), ..Collector::default() };
    assert!(collector.connector().is_ok());
}
