use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderValue;

use super::Source;
use crate::auth::{InvalidLine, Users, UsersError};
use crate::config::{self, Config, Fault, Located};
use crate::handler::BasicAuth;
use crate::outcome::with_causes;
use crate::route::TlsHandling;

/// The password files of one generation while it is assembled: every file is read once.
pub(super) struct Logins<'a> {
    config: &'a Config,
    source: &'a Source,
    files: HashMap<PathBuf, Option<Arc<Users>>>,
    /// What is right, and not what it should be.
    warnings: Vec<String>,
    faults: Vec<Fault>,
}

impl<'a> Logins<'a> {
    pub(super) fn new(config: &'a Config, source: &'a Source) -> Self {
        Self { config, source, files: HashMap::new(), warnings: Vec::new(), faults: Vec::new() }
    }

    /// Who has to show a password on a route; faults in password files are kept.
    pub(super) fn basic(&mut self, route: &config::Route) -> Option<BasicAuth> {
        let basic = route.security.basic_auth.as_ref()?;
        if route.rule.tls == TlsHandling::Plain {
            self.warnings.push(format!(
                "route `{}`: security.basic_auth without TLS shows passwords to everybody on the way; let the route \
                 terminate TLS, unless a proxy before it does",
                route.rule.name
            ));
        }
        let users = self.users(&basic.file)?;
        // A realm can stand between quotes.
        let challenge = HeaderValue::try_from(format!("Basic realm=\"{}\", charset=\"UTF-8\"", basic.realm)).ok()?;
        Some(BasicAuth { users, verifier: Arc::clone(&self.source.verifier), challenge })
    }

    /// What is right, and not what it should be.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    fn users(&mut self, file: &Located<PathBuf>) -> Option<Arc<Users>> {
        if let Some(known) = self.files.get(&file.value) {
            return known.clone();
        }
        let users = match Users::load(&file.value) {
            Ok(users) => Some(Arc::new(users)),
            Err(error) => {
                self.report(file, &error);
                None
            }
        };
        self.files.insert(file.value.clone(), users.clone());
        users
    }

    fn report(&mut self, file: &Located<PathBuf>, error: &UsersError) {
        let path = file.value.display();
        match error {
            UsersError::Lines(_, lines, more) => {
                for (line, invalid) in lines {
                    let message = format!("{path}:{line}: {invalid}");
                    self.faults.push(self.config.fault_with_help(&file.place, message, cure(invalid, &file.value)));
                }
                if *more > 0 {
                    let message = format!("{path}: {more} more lines are wrong");
                    self.faults.push(self.config.fault(&file.place, message));
                }
            }
            UsersError::Empty(_) => {
                let help = format!("`htpasswd -B {path} NAME` adds a user");
                self.faults.push(self.config.fault_with_help(&file.place, with_causes(error), help));
            }
            UsersError::File(_) => self.faults.push(self.config.fault(&file.place, with_causes(error))),
        }
    }
}

/// What to do about a line that is wrong.
fn cure(invalid: &InvalidLine, file: &std::path::Path) -> String {
    match invalid {
        InvalidLine::Colon => "a line is `name:hash`, as `htpasswd -B` writes it".into(),
        InvalidLine::Name => "give the user another name".into(),
        InvalidLine::Twice { .. } => "a user has one password: remove one of the lines".into(),
        InvalidLine::Hash { name, .. } => {
            format!("`htpasswd -B {} '{}'` writes one that is accepted", file.display(), name.escape_debug())
        }
    }
}
