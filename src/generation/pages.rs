use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{self, Config, Fault, Located};
use crate::disk;
use crate::http::{ErrorAnswers, ErrorPage};
use crate::outcome::with_causes;

/// The largest error page that is read, in bytes: it is held in memory, and sent whole.
pub(super) const ERROR_PAGE_SIZE_MAX: u64 = 256 * 1024;

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
        match disk::text(&path.value, ERROR_PAGE_SIZE_MAX) {
            Ok(text) => ErrorPage::new(media_type, &text).map(Arc::new).ok(),
            Err(error) => {
                self.faults.push(self.config.fault(&path.place, with_causes(&error)));
                None
            }
        }
    }
}
