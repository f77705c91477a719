//! The names in a certificate (Subject Alternative Names), as exporter-toolkit spells them for `client_allowed_sans`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The DNS names, addresses of mail, IP addresses and URIs of a certificate; `None` if it cannot be understood.
pub(super) fn names(certificate: &[u8]) -> Option<Vec<String>> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let found = certificate.tbs_certificate().get_extension::<SubjectAltName>().ok()?;
    let names = found.map(|(_, SubjectAltName(names))| names).unwrap_or_default();
    Some(names.iter().filter_map(name).collect())
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(text) | GeneralName::Rfc822Name(text) | GeneralName::UniformResourceIdentifier(text) => {
            Some(text.as_str().to_owned())
        }
        GeneralName::IpAddress(bytes) => address(bytes.as_bytes()).map(|address| address.to_string()),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|bytes| IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn every_kind_of_name_is_found_as_it_is_written() {
        let mut params = CertificateParams::new(["scraper.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::Rfc822Name("a@example.com".try_into().unwrap()));
        params.subject_alt_names.push(SanType::URI("spiffe://cluster/ns/a".try_into().unwrap()));
        for address in ["192.0.2.7", "2001:db8::7"] {
            params.subject_alt_names.push(SanType::IpAddress(address.parse().unwrap()));
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(
            names(certificate.der()).unwrap(),
            ["scraper.example", "a@example.com", "spiffe://cluster/ns/a", "192.0.2.7", "2001:db8::7"]
        );
    }

    #[test]
    fn a_certificate_without_names_has_none_and_nonsense_is_no_certificate() {
        let params = CertificateParams::new(Vec::<String>::new()).unwrap();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(names(certificate.der()), Some(Vec::new()));
        let whole = certificate.der().to_vec();
        for end in 0..whole.len() {
            assert_eq!(names(&whole[..end]), None);
        }
        // Whatever a byte becomes, it is understood or not, and no more.
        for place in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[place] = byte;
                let _ = names(&changed);
            }
        }
    }
}
