//! Authorities and certificates as libvirt wants them, made for one test.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, RevokedCertParams, date_time_ymd,
};

/// The subject of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Of these names: a subjectAltName for each.
    Names(&'static [&'static str]),
    /// Of these names, and expired.
    Expired(&'static [&'static str]),
    /// With only a common name, as was once usual.
    CommonName(&'static str),
    /// Of these names, and revoked.
    Revoked(&'static [&'static str]),
}

/// The serial number of a revoked certificate.
const REVOKED: u64 = 4_711;

/// An authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Authority { issuer: CertifiedIssuer::self_signed(params, key).expect("an authority") }
    }

    /// Writes its own certificate.
    pub fn write(&self, path: &Path) {
        fs::write(path, self.issuer.pem()).expect("a certificate");
    }

    /// Writes a certificate that it has signed, and its key.
    pub fn issue(&self, subject: Subject, certificate: &Path, key: &Path) {
        let names = match subject {
            Subject::Names(names) | Subject::Expired(names) | Subject::Revoked(names) => names,
            Subject::CommonName(_) => &[],
        };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("parameters");
        match subject {
            Subject::Names(_) => {}
            Subject::Expired(_) => params.not_after = date_time_ymd(2020, 1, 1),
            Subject::Revoked(_) => params.serial_number = Some(REVOKED.into()),
            Subject::CommonName(name) => params.distinguished_name.push(DnType::CommonName, name),
        }
        let pair = KeyPair::generate().expect("a key");
        fs::write(certificate, params.signed_by(&pair, &self.issuer).expect("a certificate").pem()).expect("its file");
        fs::write(key, pair.serialize_pem()).expect("the file of its key");
    }

    /// Writes its certificate revocation list.
    pub fn revoke(&self, path: &Path) {
        let revoked = RevokedCertParams {
            serial_number: REVOKED.into(),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        fs::write(path, list.signed_by(&self.issuer).expect("a list").pem().expect("its text")).expect("its file");
    }

    /// Makes a folder for `pkipath=`: a client that trusts this authority and has a certificate of `signer`.
    pub fn client(&self, folder: &Path, signer: &Authority) -> PathBuf {
        fs::create_dir_all(folder).expect("a folder for a client");
        self.write(&folder.join("cacert.pem"));
        let subject = Subject::Names(&["agent.test"]);
        signer.issue(subject, &folder.join("clientcert.pem"), &folder.join("clientkey.pem"));
        folder.to_owned()
    }
}
