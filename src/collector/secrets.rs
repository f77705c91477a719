//! What the files of a Collector hold: each part as it was when it was last good.

use super::files::{Held, NamedFile, Role, pair};
use super::{CollectorError, CredentialCounters, Headers};
use crate::follow::Contents;

/// What several parts of the credentials have in common: the last good content, and what is wrong with the file now.
struct Part<T> {
    good: T,
    /// What was logged last, until the file is good again.
    fault: Option<String>,
    /// The files that it comes from, for the log.
    files: String,
}

impl<T: PartialEq> Part<T> {
    fn new(good: T, files: &[Held<'_>]) -> Self {
        let files: Vec<String> = files.iter().map(|held| held.path().display().to_string()).collect();
        Self { good, fault: None, files: files.join(", ") }
    }

    /// Takes what the files hold now, if it is good. Whether that is something new.
    fn renew(&mut self, now: Result<T, CollectorError>, counters: &CredentialCounters) -> bool {
        match now {
            Ok(good) => {
                let is_new = good != self.good;
                self.good = good;
                let files = &self.files;
                if is_new {
                    counters.count_renewed();
                }
                if self.fault.take().is_some() {
                    counters.count_recovered();
                    tracing::info!(files, is_new, "the credentials for the Collector can be used again");
                } else if is_new {
                    tracing::info!(
                        files,
                        "the credentials for the Collector were replaced; the next push has the new ones"
                    );
                }
                is_new
            }
            Err(error) => {
                let error = error.to_string();
                counters.count_refused(self.fault.is_none());
                if self.fault.as_ref() != Some(&error) {
                    tracing::warn!(
                        error,
                        "new credentials for the Collector cannot be used: the last good ones are used on, and the \
                         files are read again when they change"
                    );
                    self.fault = Some(error);
                }
                false
            }
        }
    }
}

/// Each part is taken by itself: an authority's file that was broken does not keep a new token from being used.
pub(super) struct Secrets {
    authorities: Option<Part<Vec<u8>>>,
    client: Option<Part<(Vec<u8>, Vec<u8>)>>,
    headers: Option<Part<Headers>>,
}

/// What is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Renewed {
    pub(super) tls: bool,
    pub(super) headers: bool,
}

impl Secrets {
    /// What the files hold at the start, when all of it must be good.
    pub(super) fn new(files: &[NamedFile], contents: &Contents) -> Result<Self, CollectorError> {
        let held = |role| held(files, contents, role);
        let authorities = held(Role::Authorities).map(|file| Ok(Part::new(file.authorities()?, &[file])));
        let client = held(Role::Certificate).zip(held(Role::Key));
        let client = client.map(|(certificate, key)| Ok(Part::new(pair(certificate, key)?, &[certificate, key])));
        let headers = held(Role::Headers).map(|file| Ok(Part::new(file.headers()?, &[file])));
        Ok(Self { authorities: authorities.transpose()?, client: client.transpose()?, headers: headers.transpose()? })
    }

    /// Takes what is good of what the same files hold now, and logs what is not.
    pub(super) fn renew(&mut self, files: &[NamedFile], contents: &Contents, counters: &CredentialCounters) -> Renewed {
        let held = |role| held(files, contents, role);
        let mut renewed = Renewed { tls: false, headers: false };
        if let (Some(part), Some(file)) = (&mut self.authorities, held(Role::Authorities)) {
            renewed.tls |= part.renew(file.authorities(), counters);
        }
        if let (Some(part), Some(certificate), Some(key)) = (&mut self.client, held(Role::Certificate), held(Role::Key))
        {
            renewed.tls |= part.renew(pair(certificate, key), counters);
        }
        if let (Some(part), Some(file)) = (&mut self.headers, held(Role::Headers)) {
            renewed.headers = part.renew(file.headers(), counters);
        }
        renewed
    }

    /// The authorities, as PEM; `None` for those of the system.
    pub(super) fn authorities(&self) -> Option<&[u8]> {
        self.authorities.as_ref().map(|part| part.good.as_slice())
    }

    /// Our certificate and its key, as PEM.
    pub(super) fn client(&self) -> Option<(&[u8], &[u8])> {
        self.client.as_ref().map(|part| (part.good.0.as_slice(), part.good.1.as_slice()))
    }

    /// The headers of the file.
    pub(super) fn headers(&self) -> Option<&Headers> {
        self.headers.as_ref().map(|part| &part.good)
    }
}

fn held<'a>(files: &'a [NamedFile], contents: &'a Contents, role: Role) -> Option<Held<'a>> {
    let (file, content) = files.iter().zip(contents.iter()).find(|(file, _)| file.role == role)?;
    Some(Held { file, content })
}
