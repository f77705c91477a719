use super::super::clients::Policy;
use super::super::follow::Loaded;
use super::super::limits::HIGHEST_COST;
use super::super::testing::{Place, TLS};

/// The hash of some password at a cost, which nobody compares with anything.
fn hash(cost: u32) -> String {
    format!("$2y${cost:02}$qRTBuFoULoYNA7AQ/F3ck.trZBPyjV64.oA4ZsSBCIWvXuvQlQTuu")
}

/// The document with TLS and more in its section.
fn tls(more: &str) -> String {
    format!("{TLS}{more}")
}

#[track_caller]
fn good(place: &Place, document: &str) -> Loaded {
    place.load(document).unwrap_or_else(|error| panic!("{document}\n{error}"))
}

#[test]
fn what_is_served_is_taken() {
    let place = Place::new();
    let inline = |name: &str| {
        let text = std::fs::read_to_string(place.path(name)).unwrap();
        text.lines().map(|line| format!("    {line}\n")).collect::<String>()
    };
    let documents = [
        String::new(),
        tls(""),
        format!("tls_server_config:\n  cert: |\n{}  key: |\n{}", inline("server.crt"), inline("server.key")),
        tls("  client_auth_type: RequestClientCert\n"),
        tls("  client_auth_type: RequireClientCert\n"),
        tls("  client_auth_type: VerifyClientCertIfGiven\n"),
        tls("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n"),
        tls(&format!("  client_auth_type: RequireAndVerifyClientCert\n  client_ca: |\n{}", inline("ca.crt"))),
        tls("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  client_allowed_sans: [a]\n"),
        tls("  min_version: TLS13\n"),
        tls("  min_version: TLS12\n  max_version: TLS12\n  prefer_server_cipher_suites: false\n"),
        tls("  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256]\n"),
        tls("  cipher_suites: []\n  curve_preferences: []\n"),
        tls("  curve_preferences: [X25519, CurveP256, CurveP384]\n"),
        "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n".to_owned(),
        format!("basic_auth_users:\n  alice: {}\n  bob: {}\n", hash(10), hash(HIGHEST_COST)),
        "rate_limit:\n  interval: 0\n  burst: 0\n".to_owned(),
        "rate_limit:\n  interval: 1m30s\n  burst: 7\n".to_owned(),
    ];
    for document in documents {
        good(&place, &document);
    }
    let settings = good(&place, &tls("  client_auth_type: RequireAnyClientCert\n"));
    assert!(settings.settings().has_tls() && settings.settings().demands_certificates());
    assert!(!settings.settings().has_users() && settings.settings().rate.is_none());
}

#[test]
fn what_cannot_be_served_is_refused_by_field_with_what_to_do() {
    let place = Place::new();
    place.write("nonsense", "no PEM");
    place.write("other.key", &place.issue(&["localhost"]).1);
    let cases = [
        ("tls_server_config: {min_version: TLS13}\n".to_owned(), "has neither cert nor cert_file"),
        ("tls_server_config: {cert_file: server.crt, key_file: ''}\n".to_owned(), "has neither key nor key_file"),
        (tls("  cert: x\n"), "has both cert and cert_file"),
        (tls("  key: x\n"), "has both key and key_file"),
        ("tls_server_config: {cert_file: gone, key_file: server.key}\n".to_owned(), "tls_server_config.cert_file"),
        ("tls_server_config: {cert_file: nonsense, key_file: server.key}\n".to_owned(), "cert_file is no certificate"),
        ("tls_server_config: {cert_file: server.crt, key_file: nonsense}\n".to_owned(), "key_file is no private key"),
        ("tls_server_config: {cert_file: server.crt, key_file: other.key}\n".to_owned(), "cannot be used together"),
        (tls("  client_auth_type: Some\n"), "client_auth_type is `Some`"),
        (tls("  client_ca_file: ca.crt\n"), "verifies no certificate"),
        (tls("  client_auth_type: RequireAnyClientCert\n  client_ca_file: ca.crt\n"), "verifies no certificate"),
        (tls("  client_auth_type: RequireAndVerifyClientCert\n"), "no authority is named"),
        (tls("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: nonsense\n"), "client_ca_file is no"),
        (tls("  client_allowed_sans: [a]\n"), "client_allowed_sans names clients"),
        (
            tls(
                "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  client_allowed_sans: []\n",
            ),
            "client_allowed_sans is empty",
        ),
        (tls("  min_version: TLS11\n"), "min_version is `TLS11`, which rustls does not speak"),
        (tls("  max_version: TLS10\n"), "max_version is `TLS10`, which rustls does not speak"),
        (tls("  min_version: TLS111\n"), "min_version is `TLS111`, which is no version"),
        (tls("  min_version: TLS13\n  max_version: TLS12\n"), "min_version is above max_version"),
        (tls("  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]\n"), "`TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA`"),
        (tls("  cipher_suites: [TLS_AES_256_GCM_SHA384]\n  max_version: TLS12\n"), "tls_server_config cannot be used"),
        (tls("  curve_preferences: [CurveP521]\n"), "`CurveP521`, which rustls does not have"),
        (tls("  curve_preferences: [CurveP257]\n"), "`CurveP257`, which is no curve"),
        ("http_server_config: {http2: true}\n".to_owned(), "http2 is true"),
        ("http_server_config: {headers: {Content-Type: x}}\n".to_owned(), "headers.Content-Type cannot be set"),
        ("http_server_config: {headers: {X-Frame-Options: x}}\n".to_owned(), "headers.X-Frame-Options has a value"),
        ("http_server_config: {headers: {X-XSS-Protection: \"a\\nb\"}}\n".to_owned(), "has a character"),
        ("basic_auth_users: {john: doe}\n".to_owned(), "basic_auth_users.john is not a hash"),
        (format!("basic_auth_users: {{'a:b': {}}}\n", hash(10)), "basic_auth_users.a:b has a colon"),
        (format!("basic_auth_users: {{a: {}}}\n", hash(HIGHEST_COST + 1)), "basic_auth_users.a has the cost"),
        (format!("basic_auth_users: {{a: {}}}\n", hash(3)), "basic_auth_users.a has the cost"),
        ("rate_limit: {interval: 1s, burst: 0}\n".to_owned(), "burst is 0"),
        ("rate_limit: {interval: soon, burst: 1}\n".to_owned(), "interval is not a duration"),
    ];
    for (document, problem) in cases {
        let error = place.load(&document).map(drop).expect_err(&document).to_string();
        assert!(error.contains(problem), "{document}\n{error}");
        assert!(error.starts_with(&format!("{}/", place.path("").display()).replace("//", "/")), "{error}");
        assert!(error.contains("; ") && !error.contains('\n'), "{error}");
    }
}

#[test]
fn policies_say_who_must_have_a_certificate() {
    for (word, mandatory, verifies) in [
        ("NoClientCert", false, false),
        ("RequestClientCert", false, false),
        ("RequireAnyClientCert", true, false),
        ("RequireClientCert", true, false),
        ("VerifyClientCertIfGiven", false, true),
        ("RequireAndVerifyClientCert", true, true),
    ] {
        let (_, policy) = Policy::WORDS.into_iter().find(|(known, _)| *known == word).expect(word);
        assert_eq!((policy.is_mandatory(), policy.verifies()), (mandatory, verifies), "{word}");
    }
}

#[test]
fn what_is_printed_shows_no_secret() {
    let place = Place::new();
    let document = tls(&format!("basic_auth_users:\n  alice: {}\n", hash(10)));
    let printed = format!("{:?}", good(&place, &document));
    assert!(!printed.contains("PRIVATE") && !printed.contains("$2y$") && printed.contains("web.yml"), "{printed}");
}
