use std::sync::Arc;
use std::time::Duration;

use super::route::Route;
use crate::http::ErrorAnswers;
use crate::net::{AddressSet, ListenAddress};
use crate::route::{RouteId, Table};

/// What is served at one listening address.
#[derive(Debug)]
pub struct Site {
    /// The address as the configuration writes it.
    pub address: ListenAddress,
    /// Whether clients are announced by a PROXY header.
    pub proxy_header: Option<ProxyHeaderPolicy>,
    /// From accept until it is known what the client speaks: the longest of the address's routes, since the route is not
    /// known before.
    pub sniff: Duration,
    /// From the first to the last byte of a refused client that is still being told so.
    pub linger: Duration,
    /// How failures are shown to clients whose request has no route.
    pub errors: Arc<ErrorAnswers>,
    /// Which route takes what; addresses with the same routes share it.
    pub table: Arc<Table>,
    /// Every route of the generation, by its number.
    pub routes: Arc<[Arc<Route>]>,
}

/// Who may announce clients by a PROXY header.
#[derive(Debug)]
pub struct ProxyHeaderPolicy {
    /// The peers that may.
    pub trusted: AddressSet,
    /// Whether a connection without a header is refused.
    pub required: bool,
}

impl Site {
    /// The route of that number.
    ///
    /// `None` cannot happen for a number from this site's own table.
    #[must_use]
    pub fn route(&self, id: RouteId) -> Option<&Arc<Route>> {
        usize::try_from(id.0).ok().and_then(|index| self.routes.get(index))
    }
}
