use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Generation;
use super::kept::{ClientPolicies, Kept};
use super::routes::HealthKey;
use crate::auth::Verifier;
use crate::config::{self, Config, Faults};
use crate::connection::RouteLoad;
use crate::name::HostPattern;
use crate::telemetry::Meters;
use crate::tls::{Certificate, PolicyError, TicketKeys};
use crate::upstream::{Health, Target, TargetKey};

/// Where generations come from: one file, and what they share across reloads.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    pub(super) meters: Arc<Meters>,
    pub(super) tickets: TicketKeys,
    /// Certificates that were made for development, by their names.
    pub(super) self_signed: Kept<Vec<HostPattern>, Certificate>,
    pub(super) client_policies: ClientPolicies,
    /// How many connections each route has, by its name.
    pub(super) loads: Kept<Arc<str>, RouteLoad>,
    pub(super) targets: Kept<TargetKey, Target>,
    pub(super) healths: Kept<HealthKey, Health>,
    /// What verifies passwords, and knows which were right of late.
    pub(super) verifier: Arc<Verifier>,
}

/// Why there is no generation.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read, or its text breaks rules.
    #[error(transparent)]
    Config(#[from] config::LoadError),
    /// The text is right, but what it names is not.
    #[error("{0}")]
    Faults(Faults),
    /// The configuration came out of a pipe or a device, which gives it once only.
    #[error("{path} is not a regular file and cannot be read again; restart the daemon, or run it on a file")]
    NotFile {
        /// The path as it was given.
        path: PathBuf,
    },
}

/// Why nothing can be kept secret.
#[derive(Debug, thiserror::Error)]
pub enum NoSecrets {
    /// There are no keys for session tickets.
    #[error(transparent)]
    Tickets(#[from] PolicyError),
    /// There is no key for what is remembered of passwords.
    #[error("the system gave no random numbers")]
    Passwords,
}

impl Source {
    /// Generations from this file.
    ///
    /// # Errors
    /// The system gave no random numbers for the session tickets, or for the marks of passwords.
    pub fn new(path: &Path, meters: Arc<Meters>) -> Result<Self, NoSecrets> {
        Ok(Self {
            path: path.into(),
            meters,
            tickets: TicketKeys::generate()?,
            self_signed: Kept::default(),
            client_policies: ClientPolicies::default(),
            loads: Kept::default(),
            targets: Kept::default(),
            healths: Kept::default(),
            verifier: Verifier::new().map_err(|_| NoSecrets::Passwords)?,
        })
    }

    /// Forgets what neither a generation nor a connection uses any more.
    pub(super) fn forget_unused(&self) {
        self.self_signed.forget_unused();
        self.client_policies.forget_unused();
        self.loads.forget_unused();
        self.targets.forget_unused();
        self.healths.forget_unused();
    }

    /// Every target that is in use, by the running generation or by connections of an earlier one.
    #[must_use]
    pub fn targets(&self) -> Vec<Arc<Target>> {
        self.targets.all()
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file and assembles a generation to follow `previous`.
    ///
    /// The first may come out of a pipe, as of `-c /dev/stdin`. One that follows may not: a pipe that was read is empty, or
    /// keeps its reader waiting for ever.
    ///
    /// # Errors
    /// Every fault; `previous` is untouched.
    pub fn load(&self, previous: Option<&Generation>) -> Result<Generation, LoadError> {
        if previous.is_some() && std::fs::metadata(&self.path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(LoadError::NotFile { path: self.path.clone() });
        }
        self.assemble(&Config::from_file(&self.path)?, previous)
    }

    /// Assembles a generation from a configuration that was read already.
    ///
    /// # Errors
    /// Every fault in what the configuration names: certificates, keys, authorities.
    pub fn assemble(&self, config: &Config, previous: Option<&Generation>) -> Result<Generation, LoadError> {
        super::assemble::assemble(config, self, previous).map_err(LoadError::Faults)
    }
}
