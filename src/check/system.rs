//! The files by which Linux tells of itself, below a root that tests can choose.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

/// The longest text that is read of such a file. They have a line or two; `/proc/self/status` has sixty.
const LONGEST: u64 = 16 * 1_024;

/// The machine's files.
#[derive(Debug, Clone)]
pub(super) struct System {
    root: PathBuf,
}

impl Default for System {
    fn default() -> Self {
        Self::below("/")
    }
}

impl System {
    /// Those below this directory.
    pub(super) fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where a file is, by its path without the first slash.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Whether a file is there.
    pub(super) fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// A file's text, trimmed; `None` if there is none to be read.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let mut bytes = Vec::new();
        File::open(self.path(path)).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
        // The kernel ends some of these with a zero byte.
        Some(String::from_utf8_lossy(&bytes).trim_matches(|char: char| char == '\0' || char.is_whitespace()).to_owned())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A machine with these files.
    pub(in crate::check) fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, System) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let system = System::below(root.path());
        (root, system)
    }

    #[test]
    fn a_text_is_trimmed_and_what_is_not_there_is_none() {
        let (_root, system) = machine(&[("proc/self/attr/current", "unconfined\n\0")]);
        assert_eq!(system.text("proc/self/attr/current").as_deref(), Some("unconfined"));
        assert_eq!(system.text("proc/self"), None, "a directory");
        assert!(system.has("proc/self") && !system.has("dev/kvm"));
    }
}
