use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;

use crate::generation::Generation;
use crate::net::{AdoptError, BoundListener, ListenAddress, Sharing, bind_advice, sys};

/// Listening sockets that the service manager has made for us (sd_listen_fds(3)), not yet asked for by a configuration.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<BoundListener>,
}

/// An address that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {routes}: {advice}")]
pub struct BindError {
    /// The address.
    pub address: ListenAddress,
    /// Who wants it, for people.
    routes: String,
    advice: &'static str,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

/// The sockets of new addresses, one for each worker.
pub(super) type Bound = BTreeMap<ListenAddress, Vec<BoundListener>>;

impl Inherited {
    /// Sockets of whoever starts the daemon, as if the service manager had passed them.
    #[must_use]
    pub fn of(sockets: Vec<BoundListener>) -> Self {
        Self { sockets }
    }

    /// Takes over what the service manager has passed.
    ///
    /// # Errors
    /// A descriptor that is no listening TCP socket: the fault of the socket unit.
    pub fn take() -> Result<Self, AdoptError> {
        let mut sockets = Vec::new();
        for number in sd_notify::listen_fds()? {
            sockets.push(BoundListener::adopt(sys::adopt_descriptor(number)?)?);
        }
        Ok(Self { sockets })
    }

    /// Whether a socket for this address was passed: then nobody has to bind it.
    #[must_use]
    pub fn has(&self, address: ListenAddress) -> bool {
        self.sockets.iter().any(|socket| socket.local_address() == address)
    }

    /// Binds every address that `by` wants for every worker, inherited sockets first. Either all are bound or none is.
    ///
    /// An address is shared with other sockets only where it is, or overlaps, one of ours, `held` or wanted: a second daemon on the
    /// same address is an error, not a thief of half the connections.
    ///
    /// # Errors
    /// The first address that cannot be bound; those before it are closed again.
    pub(super) fn bind(
        &self,
        wanted: &[ListenAddress],
        by: &Generation,
        held: &[ListenAddress],
        workers: NonZeroUsize,
    ) -> Result<Bound, BindError> {
        let mut bound = Bound::new();
        for &address in wanted {
            let overlaps = |other: &ListenAddress| {
                *other != address
                    && other.port() == address.port()
                    && (other.ip().is_unspecified() || address.ip().is_unspecified())
            };
            // Held and wanted is one that has gone and comes back while what was queued there is still being served.
            let shared = held.contains(&address) || wanted.iter().chain(held).any(overlaps);
            let sharing = if shared { Sharing::Shared } else { Sharing::Exclusive };
            let group =
                self.bind_one(address, sharing, workers).map_err(|source| BindError::new(address, by, source))?;
            bound.insert(address, group);
        }
        Ok(bound)
    }

    fn bind_one(
        &self,
        address: ListenAddress,
        sharing: Sharing,
        workers: NonZeroUsize,
    ) -> io::Result<Vec<BoundListener>> {
        let inherited = self.sockets.iter().find(|socket| socket.local_address() == address);
        match inherited {
            // A handle of our own stays behind, so that a later configuration can have the address again.
            Some(socket) => (0..workers.get()).map(|_| socket.try_clone()).collect(),
            None => BoundListener::bind_group(address.socket(), workers, sharing),
        }
    }

    /// Says which inherited sockets no route uses.
    pub(super) fn warn_of_unused(&self, used: &[ListenAddress]) {
        for socket in &self.sockets {
            let address = socket.local_address();
            if !used.contains(&address) {
                tracing::warn!(%address, "the service manager has passed a socket for an address that no route listens on");
            }
        }
    }
}

impl BindError {
    fn new(address: ListenAddress, by: &Generation, source: io::Error) -> Self {
        let advice = bind_advice(&source);
        let routes = by.routes_on(address).unwrap_or_else(|| "no route".into());
        Self { address, routes, advice, source }
    }
}
