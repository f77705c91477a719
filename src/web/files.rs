//! The document and the files that it names, read within bounds, and compared by their content.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::document::{self, Document};
use super::error::WebError;
use super::limits::LARGEST_FILE;
use crate::follow::{Unreadable, read_file};

/// What the files had when they were last read. Whether anything has changed is a comparison of two of these: a
/// Kubernetes volume swaps a link, and others write into the file.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Files {
    document: PathBuf,
    /// By path; the reason for what could not be read.
    contents: BTreeMap<PathBuf, Result<Vec<u8>, String>>,
}

impl Files {
    /// Reads the document, and what it names as far as it can be understood.
    pub(super) fn read(document: &Path) -> Self {
        let mut files = Self { document: document.to_owned(), contents: BTreeMap::new() };
        files.add(document.to_owned());
        for path in files.parsed().map(|parsed| files.named(&parsed)).unwrap_or_default() {
            files.add(path);
        }
        files
    }

    fn add(&mut self, path: PathBuf) {
        self.contents.entry(path).or_insert_with_key(|path| read_file(path, LARGEST_FILE).map_err(reason));
    }

    /// The path of the document.
    pub(super) fn document(&self) -> &Path {
        &self.document
    }

    /// The document itself.
    pub(super) fn parsed(&self) -> Result<Document, WebError> {
        let bytes = self.get(&self.document, "the file")?;
        document::parse(&self.document, bytes)
    }

    /// The content of a file that `field` of the document names, and its path.
    pub(super) fn of(&self, field: &str, name: &str) -> Result<(PathBuf, &[u8]), WebError> {
        let path = self.resolved(name);
        let bytes = self.get(&path, field)?;
        Ok((path, bytes))
    }

    fn get(&self, path: &Path, field: &str) -> Result<&[u8], WebError> {
        match self.contents.get(path) {
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(reason)) => Err(WebError::of(
                path,
                format!("{field} cannot be read ({reason})"),
                "name a file that the agent's user may read",
            )),
            None => Err(WebError::of(path, format!("{field} was not read"), "try it again")),
        }
    }

    /// Relative paths begin at the document's folder.
    fn resolved(&self, name: &str) -> PathBuf {
        self.document.parent().unwrap_or(Path::new("")).join(name)
    }

    fn named(&self, document: &Document) -> Vec<PathBuf> {
        let tls = document.tls_server_config.as_ref();
        let names = tls.into_iter().flat_map(|tls| [&tls.cert_file, &tls.key_file, &tls.client_ca_file]);
        names.flatten().filter(|name| !name.is_empty()).map(|name| self.resolved(name)).collect()
    }
}

/// It holds private keys.
impl std::fmt::Debug for Files {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Files").field(&self.document).finish_non_exhaustive()
    }
}

/// What stands behind "cannot be read".
fn reason(error: Unreadable) -> String {
    match error {
        Unreadable::Refused(reason) => reason,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_document_names_is_found_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let document = folder.path().join("web.yml");
        std::fs::write(&document, "tls_server_config:\n  cert_file: a.crt\n  key_file: /nowhere/a.key\n").unwrap();
        std::fs::write(folder.path().join("a.crt"), "CERT").unwrap();
        let files = Files::read(&document);
        assert_eq!(files.of("cert_file", "a.crt").unwrap(), (folder.path().join("a.crt"), b"CERT".as_slice()));
        let error = files.of("tls_server_config.key_file", "/nowhere/a.key").unwrap_err().to_string();
        assert!(error.contains("/nowhere/a.key") && error.contains("tls_server_config.key_file"), "{error}");
        assert!(!format!("{files:?}").contains("CERT"));
    }

    /// How a kubelet brings a new Secret: a new folder, and a link that is renamed over the old one.
    #[test]
    fn a_link_that_is_swapped_is_a_change_and_a_copy_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("one", "{}"), ("two", "{} # other"), ("three", "{} # other")] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("web.yml"), text).unwrap();
        }
        let swap = |version: &str| {
            std::os::unix::fs::symlink(version, at("..tmp")).unwrap();
            std::fs::rename(at("..tmp"), at("..data")).unwrap();
        };
        swap("one");
        std::os::unix::fs::symlink("..data/web.yml", at("web.yml")).unwrap();
        let first = Files::read(&at("web.yml"));
        swap("two");
        let second = Files::read(&at("web.yml"));
        assert!(first != second);
        swap("three");
        assert!(Files::read(&at("web.yml")) == second);
    }

    #[test]
    fn what_is_no_file_or_too_large_is_said_and_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("large");
        let most = usize::try_from(LARGEST_FILE).unwrap();
        std::fs::write(&large, vec![b'#'; most + 1]).unwrap();
        for path in [folder.path(), Path::new("/dev/zero"), &large, Path::new("/nowhere")] {
            let error = Files::read(path).parsed().err().unwrap().to_string();
            assert!(error.contains(&path.display().to_string()) && error.contains("cannot be read"), "{error}");
        }
        std::fs::write(&large, vec![b'#'; most]).unwrap();
        assert!(Files::read(&large).parsed().is_ok());
    }
}
