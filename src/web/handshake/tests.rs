//! Handshakes between rustls' client and the settings of documents.

use std::sync::Arc;

use rustls::{ClientConfig, NamedGroup, ProtocolVersion};
use tokio_rustls::TlsConnector;

use super::super::counters::WebCounters;
use super::super::testing::{Place, TLS};
use super::*;

/// What both agreed on.
#[derive(Debug, PartialEq)]
struct Agreed {
    version: ProtocolVersion,
    suite: &'static str,
    curve: NamedGroup,
    protocol: Option<Vec<u8>>,
}

async fn shake(place: &Place, document: &str, mut client: ClientConfig) -> Result<Agreed, String> {
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let guard = Guard::new(place.current(document), None, Arc::new(WebCounters::new()));
    let security = guard.security().expect("TLS");
    let (near, far) = tokio::io::duplex(64 * 1_024);
    let connector = TlsConnector::from(Arc::new(client));
    let (served, connected) =
        tokio::join!(secure(&guard, &security, far), connector.connect("localhost".try_into().unwrap(), near));
    let served = served.map_err(|error| error.to_string())?;
    connected.map_err(|error| error.to_string())?;
    let (_, session) = served.get_ref();
    Ok(Agreed {
        version: session.protocol_version().unwrap(),
        suite: session.negotiated_cipher_suite().unwrap().suite().as_str().unwrap(),
        curve: session.negotiated_key_exchange_group().unwrap().name(),
        protocol: session.alpn_protocol().map(<[u8]>::to_vec),
    })
}

fn tls(more: &str) -> String {
    format!("{TLS}{more}")
}

fn verified(more: &str) -> String {
    tls(&format!("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n{more}"))
}

#[tokio::test]
async fn the_newest_version_is_spoken_and_http_one() {
    let place = Place::new();
    let agreed = shake(&place, TLS, place.client(None)).await.unwrap();
    assert_eq!(agreed.version, ProtocolVersion::TLSv1_3);
    assert_eq!(agreed.protocol.as_deref(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn versions_suites_and_curves_are_those_of_the_document() {
    let place = Place::new();
    let (all, client) = (rustls::ALL_VERSIONS, |versions: &[&'static rustls::SupportedProtocolVersion]| {
        place.client_of(rustls::crypto::ring::default_provider(), versions, None)
    });
    let old = shake(&place, &tls("  max_version: TLS12\n"), client(all)).await.unwrap();
    assert_eq!(old.version, ProtocolVersion::TLSv1_2);
    let refused = shake(&place, &tls("  min_version: TLS13\n"), client(&[&rustls::version::TLS12])).await;
    assert!(refused.is_err(), "{refused:?}");

    // In the order of the document, whatever the client prefers.
    for (list, suite) in [
        ("[TLS_CHACHA20_POLY1305_SHA256, TLS_AES_128_GCM_SHA256]", "TLS13_CHACHA20_POLY1305_SHA256"),
        ("[TLS_AES_128_GCM_SHA256]", "TLS13_AES_128_GCM_SHA256"),
        // Those of TLS 1.3 stay if none is named.
        ("[TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]", "TLS13_AES_256_GCM_SHA384"),
    ] {
        let agreed = shake(&place, &tls(&format!("  cipher_suites: {list}\n")), client(all)).await.unwrap();
        assert_eq!(agreed.suite, suite, "{list}");
    }
    let list = "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, \
                TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n  max_version: TLS12\n";
    let agreed = shake(&place, &tls(list), client(all)).await.unwrap();
    assert_eq!(agreed.suite, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256");
    let only_rsa = "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n  max_version: TLS12\n";
    let refused = shake(&place, &tls(only_rsa), client(all)).await;
    assert!(refused.is_err(), "the certificate is not of RSA: {refused:?}");

    let agreed = shake(&place, &tls("  curve_preferences: [CurveP384]\n"), client(all)).await.unwrap();
    assert_eq!(agreed.curve, NamedGroup::secp384r1);
}

#[tokio::test]
async fn a_demanded_certificate_must_be_of_the_authority() {
    let (place, stranger) = (Place::new(), Place::new());
    let foreign = || {
        place.client_of(rustls::crypto::ring::default_provider(), rustls::ALL_VERSIONS, Some(stranger.issue(&["a"])))
    };
    let document = verified("");
    shake(&place, &document, place.client(Some(&["a"]))).await.unwrap();
    for client in [place.client(None), foreign()] {
        let refused = shake(&place, &document, client).await;
        assert!(refused.is_err(), "{refused:?}");
    }
    let if_given = tls("  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.crt\n");
    for (client, admitted) in [(place.client(None), true), (place.client(Some(&["a"])), true), (foreign(), false)] {
        assert_eq!(shake(&place, &if_given, client).await.is_ok(), admitted);
    }
    // Without an authority none can be verified.
    let if_given = tls("  client_auth_type: VerifyClientCertIfGiven\n");
    for (client, admitted) in [(place.client(None), true), (place.client(Some(&["a"])), false), (foreign(), false)] {
        assert_eq!(shake(&place, &if_given, client).await.is_ok(), admitted);
    }
    for (word, without) in [("RequireAnyClientCert", false), ("RequestClientCert", true), ("NoClientCert", true)] {
        let document = tls(&format!("  client_auth_type: {word}\n"));
        assert!(shake(&place, &document, foreign()).await.is_ok(), "{word}");
        assert_eq!(shake(&place, &document, place.client(None)).await.is_ok(), without, "{word}");
    }
}

#[tokio::test]
async fn both_versions_check_that_the_client_has_the_key() {
    let place = Place::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for document in [tls("  client_auth_type: RequireAnyClientCert\n"), verified("")] {
            let own = Some(place.issue(&["a"]));
            let client = place.client_of(rustls::crypto::ring::default_provider(), &[version], own);
            shake(&place, &document, client).await.unwrap();
        }
    }
}

#[tokio::test]
async fn of_verified_certificates_only_those_of_the_named_clients_are_accepted() {
    let place = Place::new();
    let document = verified("  client_allowed_sans: [scraper, 192.0.2.7]\n");
    for (names, admitted) in [
        (&["scraper"][..], true),
        (&["other", "scraper"], true),
        (&["192.0.2.7"], true),
        (&["other"], false),
        (&["scraper.example"], false),
        (&[], false),
    ] {
        let shaken = shake(&place, &document, place.client(Some(names))).await;
        assert_eq!(shaken.is_ok(), admitted, "{names:?}: {shaken:?}");
    }
}
