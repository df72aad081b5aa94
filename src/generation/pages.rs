use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{self, Config, Fault, Located};
use crate::http::{ErrorAnswers, ErrorPage};
use crate::outcome::with_causes;

/// The largest error page that is read, in bytes: it is held in memory, and sent whole.
pub(super) const ERROR_PAGE_SIZE_MAX: u64 = 256 * 1024;

/// Why an error page cannot be had.
#[derive(Debug, thiserror::Error)]
enum PageError {
    #[error("{}: the file does not exist", .0.display())]
    Missing(PathBuf),
    #[error("{}: this is not a file", .0.display())]
    NotFile(PathBuf),
    #[error("{}: the file cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    #[error("{}: the page is larger than {ERROR_PAGE_SIZE_MAX} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error("{}: the page is not UTF-8 text", .0.display())]
    NotText(PathBuf),
}

/// The error pages of one generation while it is assembled: every file is read once.
pub(super) struct Pages<'a> {
    config: &'a Config,
    files: HashMap<(PathBuf, &'static str), Option<Arc<ErrorPage>>>,
    faults: Vec<Fault>,
    /// Routes of equal settings share them.
    made: Vec<(config::ErrorAnswers, Arc<ErrorAnswers>)>,
}

impl<'a> Pages<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        Self { config, files: HashMap::new(), faults: Vec::new(), made: Vec::new() }
    }

    /// How failures are shown; faults in pages are kept.
    pub(super) fn answers(&mut self, answers: &config::ErrorAnswers) -> Arc<ErrorAnswers> {
        // The routes of one file have a handful of settings, most often that of the route before.
        if let Some((_, known)) = self.made.iter().rev().take(8).find(|(key, _)| key == answers) {
            return Arc::clone(known);
        }
        let pages = answers.pages.iter().filter_map(|page| Some((page.statuses.clone(), self.page(page)?))).collect();
        let made = Arc::new(ErrorAnswers { show_cause: answers.show_cause, pages });
        self.made.push((answers.clone(), Arc::clone(&made)));
        made
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    fn page(&mut self, page: &config::ErrorPage) -> Option<Arc<ErrorPage>> {
        let key = (page.path.value.clone(), page.media_type);
        if let Some(known) = self.files.get(&key) {
            return known.clone();
        }
        let read = self.read(&page.path, page.media_type);
        self.files.insert(key, read.clone());
        read
    }

    fn read(&mut self, path: &Located<PathBuf>, media_type: &str) -> Option<Arc<ErrorPage>> {
        match content(&path.value) {
            Ok(text) => ErrorPage::new(media_type, &text).map(Arc::new).ok(),
            Err(error) => {
                self.faults.push(self.config.fault(&path.place, with_causes(&error)));
                None
            }
        }
    }
}

fn content(path: &Path) -> Result<String, PageError> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => PageError::Missing(path.into()),
        _ => PageError::Unreadable(path.into(), error),
    };
    // Asked before it is opened: opening a pipe waits for its writer.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(PageError::NotFile(path.into()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(ERROR_PAGE_SIZE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > ERROR_PAGE_SIZE_MAX {
        return Err(PageError::TooLarge(path.into()));
    }
    String::from_utf8(bytes).map_err(|_| PageError::NotText(path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_largest_size_is_read_and_one_byte_more_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.html");
        let mut page = vec![b'x'; usize::try_from(ERROR_PAGE_SIZE_MAX).unwrap()];
        std::fs::write(&path, &page).unwrap();
        assert_eq!(content(&path).unwrap().len(), page.len());
        page.push(b'x');
        std::fs::write(&path, &page).unwrap();
        assert!(matches!(content(&path), Err(PageError::TooLarge(_))));
        std::fs::write(&path, b"\xff").unwrap();
        assert!(matches!(content(&path), Err(PageError::NotText(_))));
        assert!(matches!(content(folder.path()), Err(PageError::NotFile(_))));
        assert!(matches!(content(&folder.path().join("b.html")), Err(PageError::Missing(_))));
    }
}
