//! The files of the tree, as text.

use std::fs;
use std::path::{Path, PathBuf};

/// One Rust source file: its path below `src`, and its text without tests and comments.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) code: String,
    pub(crate) lines: usize,
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file under `src`, but for the modules of unit tests, which may use what the code may not.
pub(crate) fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    collect(&root().join("src"), &mut files);
    let below = |file: &PathBuf| file.strip_prefix(root().join("src")).unwrap().to_path_buf();
    files.retain(|file| !below(file).iter().any(|part| part == "tests") && !file.ends_with("tests.rs"));
    files.sort();
    assert!(files.len() > 20, "the sources were not found");
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Source {
    let text = fs::read_to_string(file).unwrap();
    let path = file.strip_prefix(root().join("src")).unwrap().to_string_lossy().into_owned();
    let lines = text.lines().count();
    // Unit tests come last in a file, and may use what the code may not.
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    Source { path, code, lines }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
