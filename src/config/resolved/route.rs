use std::sync::Arc;

use super::action::Action;
use super::policy::{ErrorAnswers, HeaderRules, Hsts, Limits, PassiveHealth, Security, Timeouts};
use super::tls::Tls;
use crate::config::place::Place;
use crate::net::{AddressSet, ListenAddress};
use crate::route::Rule;

/// A route with `enabled = false`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisabledRoute {
    /// Its name.
    pub name: Box<str>,
    /// The addresses that it would listen on.
    pub addresses: Vec<ListenAddress>,
}

/// One enabled route.
#[derive(Clone, Debug)]
pub struct Route {
    /// What it wants to take, with its name and its index.
    pub rule: Arc<Rule>,
    /// The addresses that it listens on, each once, in the order of the file.
    pub addresses: Vec<ListenAddress>,
    /// What is done with TLS; agrees with the rule's `tls`.
    pub tls: Tls,
    /// What is done with what it takes.
    pub action: Action,
    /// Headers that are changed on the way.
    pub headers: HeaderRules,
    /// Whose `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are believed.
    pub trusted_proxies: AddressSet,
    /// Our name in `Via`; `None` is no `Via`.
    pub via: Option<Box<str>>,
    /// How failures are shown to clients.
    pub errors: ErrorAnswers,
    /// `Strict-Transport-Security`; only where TLS ends here.
    pub hsts: Option<Hsts>,
    /// Which clients are let in.
    pub security: Security,
    /// Named limits.
    pub limits: Limits,
    /// Times without progress.
    pub timeouts: Timeouts,
    /// Where each of the rule's domains is written.
    pub domains: Vec<Place>,
    /// When a target is set aside; `None` is never.
    pub passive_health: Option<PassiveHealth>,
    /// Where the file names it.
    pub place: Place,
}
