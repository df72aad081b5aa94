use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::name::HostName;

/// How long the addresses of a name are used before they are asked for again.
///
/// The system's resolver does not tell how long they are valid; this is short enough to follow a moving service, and long
/// enough that a busy route asks rarely.
pub const FRESH_FOR: Duration = Duration::from_secs(5);

/// How long a name that could not be resolved is not asked for again.
pub const FAILED_FOR: Duration = Duration::from_secs(1);

/// How many names are remembered.
pub const NAMES_MAX: usize = 4096;

/// Why a name has no address.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ResolveError {
    /// The system's resolver says so.
    #[error("the system's resolver does not know the name, or could not ask")]
    System(#[source] Arc<io::Error>),
    /// It answered with nothing.
    #[error("the name has no address")]
    NoAddress,
    /// It did not answer within `timeouts.connect`.
    #[error("the name was not resolved within timeouts.connect")]
    Timeout,
    /// Too many names are being resolved.
    #[error("more than {NAMES_MAX} names are being resolved at once")]
    TooMany,
    /// The worker that was asking stopped.
    #[error("the worker that asked for the name stopped")]
    Abandoned,
}

/// The addresses of a name, the preferred first; or why there are none.
pub(super) type Answer = Result<Arc<[IpAddr]>, ResolveError>;

type Ask = dyn Fn(&HostName) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Asks for the addresses of names, and remembers them for a short while.
///
/// One serves the whole process: of all who want a name at once, on whichever worker, one asks. The question runs to its
/// end on a blocking thread, whatever becomes of those who wait for it.
pub(super) struct Resolver {
    ask: Box<Ask>,
    names_max: usize,
    names: Mutex<HashMap<HostName, Entry>>,
}

#[derive(Debug)]
enum Entry {
    Pending(watch::Receiver<Option<Answer>>),
    Known { answer: Answer, until: Instant },
}

enum Found {
    Known(Answer),
    Joined(watch::Receiver<Option<Answer>>),
    Started(watch::Receiver<Option<Answer>>),
}

impl Resolver {
    /// The process's own: it asks `getaddrinfo`, and so the hosts file and whatever else the system is set up with.
    pub(super) fn system() -> &'static Arc<Self> {
        static SYSTEM: LazyLock<Arc<Resolver>> = LazyLock::new(|| Resolver::new(system, NAMES_MAX));
        &SYSTEM
    }

    pub(super) fn new(
        ask: impl Fn(&HostName) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
        names_max: usize,
    ) -> Arc<Self> {
        Arc::new(Self { ask: Box::new(ask), names_max, names: Mutex::default() })
    }

    /// The addresses of `name`.
    ///
    /// # Cancel safety
    /// Cancel safe: a question that has been asked is answered for those who come later.
    pub(super) async fn addresses(self: &Arc<Self>, name: &HostName) -> Answer {
        loop {
            let (mut receiver, ours) = match self.find(name)? {
                Found::Known(answer) => return answer,
                Found::Joined(receiver) => (receiver, false),
                Found::Started(receiver) => (receiver, true),
            };
            let answer = receiver.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
            match answer {
                Some(answer) => return answer,
                None if ours => return Err(ResolveError::Abandoned),
                // Whoever asked has stopped with its runtime; now it is our turn to ask.
                None => {}
            }
        }
    }

    fn find(self: &Arc<Self>, name: &HostName) -> Result<Found, ResolveError> {
        let now = Instant::now();
        let mut names = self.names();
        match names.get(name) {
            Some(Entry::Known { answer, until }) if now < *until => return Ok(Found::Known(answer.clone())),
            Some(Entry::Pending(receiver)) => return Ok(Found::Joined(receiver.clone())),
            Some(Entry::Known { .. }) => {}
            None => make_room(&mut names, self.names_max, now)?,
        }
        let (sender, receiver) = watch::channel(None);
        names.insert(name.clone(), Entry::Pending(receiver.clone()));
        drop(names);
        let question = Question { resolver: Arc::clone(self), name: name.clone(), sender, answer: None };
        tokio::task::spawn_blocking(move || question.ask());
        Ok(Found::Started(receiver))
    }

    fn names(&self) -> MutexGuard<'_, HashMap<HostName, Entry>> {
        // The map is whole even if another thread has panicked while it held the lock.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Resolver").field("names_max", &self.names_max).finish_non_exhaustive()
    }
}

/// One lookup. When it is dropped it is over: with its answer, or, if the runtime has ended before it could ask or asking
/// has panicked, as if nobody had asked.
struct Question {
    resolver: Arc<Resolver>,
    name: HostName,
    sender: watch::Sender<Option<Answer>>,
    answer: Option<Answer>,
}

impl Question {
    fn ask(mut self) {
        let answer = match (self.resolver.ask)(&self.name) {
            Ok(addresses) if addresses.is_empty() => Err(ResolveError::NoAddress),
            Ok(addresses) => Ok(addresses.into()),
            Err(error) => Err(ResolveError::System(Arc::new(error))),
        };
        self.answer = Some(answer);
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let mut names = self.resolver.names();
        match &self.answer {
            Some(answer) => {
                let valid_for = if answer.is_ok() { FRESH_FOR } else { FAILED_FOR };
                let known = Entry::Known { answer: answer.clone(), until: Instant::now() + valid_for };
                names.insert(self.name.clone(), known);
            }
            None => drop(names.remove(&self.name)),
        }
        drop(names);
        self.sender.send_replace(self.answer.take());
    }
}

/// Forgets what is expired, or else the answer that expires next.
fn make_room(names: &mut HashMap<HostName, Entry>, limit: usize, now: Instant) -> Result<(), ResolveError> {
    if names.len() < limit {
        return Ok(());
    }
    names.retain(|_, entry| !matches!(entry, Entry::Known { until, .. } if *until <= now));
    if names.len() < limit {
        return Ok(());
    }
    let until = |entry: &Entry| match entry {
        Entry::Pending(_) => None,
        Entry::Known { until, .. } => Some(*until),
    };
    let known = names.iter().filter_map(|(name, entry)| until(entry).map(|until| (until, name)));
    let next = known.min().map(|(_, name)| name.clone()).ok_or(ResolveError::TooMany)?;
    names.remove(&next);
    Ok(())
}

fn system(name: &HostName) -> io::Result<Vec<IpAddr>> {
    let any_port = 0_u16;
    Ok((name.as_str(), any_port).to_socket_addrs()?.map(|address: SocketAddr| address.ip()).collect())
}

#[cfg(test)]
mod tests;
