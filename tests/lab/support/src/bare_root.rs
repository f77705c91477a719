//! A root that has the program and what it links, and nothing else: what an image has.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::agent::program;
use super::process;

/// The shared objects that are loaded with the program: the name of each, and where it was found; the kernel's own is in
/// no file.
pub fn shared_objects() -> Vec<(String, Option<PathBuf>)> {
    let mut ldd = Command::new("ldd");
    ldd.arg(program());
    let output = process::run(ldd, Duration::from_secs(20)).expect("the end of ldd");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let object = |line: &str| {
        let path = line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
        let name = line.split_whitespace().next().expect("a name");
        (name.rsplit('/').next().expect("a last part").to_owned(), path)
    };
    output.stdout.lines().map(object).collect()
}

/// Puts the program into the root, as `/usr/bin/virt-otel`, and what it links beside it.
pub fn fill(root: &Path) {
    let place = |path: &Path| root.join(path.strip_prefix("/").expect("an absolute path"));
    let copy = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder of the root");
        std::fs::copy(from, to).expect("a copy for the root");
    };
    for path in shared_objects().into_iter().filter_map(|(_, path)| path) {
        copy(&path, &place(&path));
    }
    copy(Path::new(&program()), &place(Path::new("/usr/bin/virt-otel")));
}
