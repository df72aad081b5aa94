mod last_good;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use self::last_good::LastGood;
use crate::name::HostName;
use crate::telemetry::{LookupMeter, LookupResult, Meters};

/// How long the addresses of a name are used before they are asked for again.
///
/// The system's resolver does not tell how long they are valid; this is short enough to follow a moving service, and long
/// enough that a busy route asks rarely.
pub const FRESH_FOR: Duration = Duration::from_secs(5);

/// How long a name that could not be resolved is not asked for again.
pub const FAILED_FOR: Duration = Duration::from_secs(1);

/// How long the last addresses of a name are used where the system's resolver fails, says that the name has none, or says
/// nothing.
///
/// A name server that is gone for a while is no reason to send clients away from targets that stand. RFC 8767 section 5 lets
/// stale data be used for days; within an hour somebody can see to it, and few addresses become another's.
pub const STALE_FOR: Duration = Duration::from_secs(3600);

/// How many names are remembered, besides those that are being asked for.
pub const NAMES_MAX: usize = 4096;

/// How many names are asked for at once; who wants another waits.
///
/// Each takes a thread that does nothing but wait. A name server that is gone holds one for 10 s (resolv.conf(5): two
/// attempts of 5 s), so this many dead names may delay a living one.
pub const LOOKUPS_MAX: usize = 64;

/// The stack of a thread that asks; the C library's resolver keeps answers of up to 64 KiB there.
const STACK_SIZE: usize = 512 * 1024;

/// Why a name has no address.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ResolveError {
    /// The system's resolver says so, or could not be asked.
    #[error("the system's resolver does not know the name, or could not ask")]
    System(#[source] Arc<io::Error>),
    /// It answered with nothing.
    #[error("the name has no address")]
    NoAddress,
    /// It did not answer within `timeouts.connect`.
    #[error("the name was not resolved within timeouts.connect")]
    Timeout,
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The preferred first.
    pub(super) addresses: Arc<[IpAddr]>,
    /// Whether they are the last that the system gave, and it gives none now.
    pub(super) stale: bool,
}

/// The addresses of a name; or why there are none.
pub(super) type Answer = Result<Found, ResolveError>;

type Ask = dyn Fn(&HostName) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Asks for the addresses of names, and remembers them for a short while.
///
/// One serves the whole process: of all who want a name at once, on whichever worker, one asks. The question runs to its
/// end on a thread of its own, whatever becomes of those who wait for it: neither a client that leaves nor a worker that
/// stops ends it, and it holds up no worker's stop.
pub(super) struct Resolver {
    ask: Box<Ask>,
    names_max: usize,
    lookups: Arc<Semaphore>,
    names: Mutex<HashMap<HostName, Entry>>,
    /// Where lookups are counted, once the daemon has said so.
    meter: OnceLock<LookupMeter>,
}

/// What is known of a name.
#[derive(Debug)]
struct Entry {
    latest: Latest,
    last_good: Option<LastGood>,
}

#[derive(Clone, Debug)]
enum Latest {
    Pending(watch::Receiver<Option<Answer>>),
    Known { answer: Answer, until: Instant },
}

/// What is remembered of a name, for one who wants it now.
enum Remembered {
    Answer(Answer),
    Pending(watch::Receiver<Option<Answer>>),
    /// Good enough for now, but it should be asked again.
    Stale(Found),
}

impl Resolver {
    /// The process's own: it asks `getaddrinfo`, and so the hosts file and whatever else the system is set up with.
    pub(super) fn system() -> &'static Arc<Self> {
        static SYSTEM: LazyLock<Arc<Resolver>> = LazyLock::new(|| Resolver::new(system, NAMES_MAX, LOOKUPS_MAX));
        &SYSTEM
    }

    pub(super) fn new(
        ask: impl Fn(&HostName) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
        names_max: usize,
        lookups_max: usize,
    ) -> Arc<Self> {
        let lookups = Arc::new(Semaphore::new(lookups_max));
        Arc::new(Self { ask: Box::new(ask), names_max, lookups, names: Mutex::default(), meter: OnceLock::new() })
    }

    /// Counts lookups there from now on. The process has one resolver, and the first who says so has it.
    pub(super) fn count_in(&self, meter: LookupMeter) {
        let _ = self.meter.set(meter);
    }

    /// How many lookups run now.
    pub(super) fn running(&self) -> usize {
        LOOKUPS_MAX.saturating_sub(self.lookups.available_permits())
    }

    /// The addresses of `name`.
    ///
    /// # Cancel safety
    /// Cancel safe: a question that has been asked is answered for those who come later.
    pub(super) async fn addresses(self: &Arc<Self>, name: &HostName) -> Answer {
        let receiver = match self.remembered(name) {
            Some(Remembered::Answer(answer)) => return answer,
            Some(Remembered::Pending(receiver)) => receiver,
            Some(Remembered::Stale(found)) => {
                // Nobody waits for what has failed before, and other names go first.
                if let Ok(permit) = Arc::clone(&self.lookups).try_acquire_owned() {
                    self.remembered_or_asked(name, permit);
                }
                return Ok(found);
            }
            None => {
                let permit = Arc::clone(&self.lookups).acquire_owned().await.map_err(|_| unanswered())?;
                match self.remembered_or_asked(name, permit) {
                    Latest::Known { answer, .. } => return answer,
                    Latest::Pending(receiver) => receiver,
                }
            }
        };
        answered(receiver).await
    }

    /// What to go on with if the system has not answered in time: the last addresses that it gave, if they are not too old.
    pub(super) fn instead(&self, name: &HostName) -> Option<Found> {
        let now = Instant::now();
        let mut names = self.names();
        let entry = names.get_mut(name)?;
        if let Latest::Known { answer: Ok(found), until } = &entry.latest
            && now < *until
        {
            // It has come at the last moment.
            return Some(found.clone());
        }
        let (found, news) = entry.last_good.as_mut()?.instead(now);
        drop(names);
        if let Some(news) = news {
            news.tell(name, Some(&ResolveError::Timeout));
        }
        found
    }

    fn remembered(&self, name: &HostName) -> Option<Remembered> {
        self.names().get(name)?.remembered(Instant::now())
    }

    /// What is known by now, or else what is being asked from now on.
    fn remembered_or_asked(self: &Arc<Self>, name: &HostName, permit: OwnedSemaphorePermit) -> Latest {
        let now = Instant::now();
        let mut names = self.names();
        if let Some(latest) = names.get(name).and_then(|entry| entry.latest.valid(now)) {
            return latest;
        }
        if !names.contains_key(name) {
            make_room(&mut names, self.names_max, now);
        }
        let (sender, receiver) = watch::channel(None);
        let pending = Latest::Pending(receiver);
        let entry = names.entry(name.clone()).or_insert_with(|| Entry { latest: pending.clone(), last_good: None });
        entry.latest = pending.clone();
        drop(names);
        let question = Question {
            resolver: Arc::clone(self),
            name: name.clone(),
            asked: now,
            began: std::time::Instant::now(),
            answer: Err(unanswered()),
            sender,
            _permit: permit,
        };
        let thread = std::thread::Builder::new().name("resolve".to_owned()).stack_size(STACK_SIZE);
        if let Err(error) = thread.spawn(move || question.ask()) {
            tracing::debug!(target: "smartproxy::connect", %name, %error, "no thread to resolve a name with");
        }
        pending
    }

    fn names(&self) -> MutexGuard<'_, HashMap<HostName, Entry>> {
        // The map is whole even if another thread has panicked while it held the lock.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn remembered(&self, now: Instant) -> Option<Remembered> {
        let stale = || self.last_good.as_ref().and_then(|last| last.standing_in(now));
        match &self.latest {
            Latest::Known { answer, until } if now < *until => Some(Remembered::Answer(answer.clone())),
            Latest::Known { .. } => stale().map(Remembered::Stale),
            Latest::Pending(receiver) => Some(
                stale().map_or_else(|| Remembered::Pending(receiver.clone()), |found| Remembered::Answer(Ok(found))),
            ),
        }
    }

    /// Until when it is of use; `None` is that somebody is asking.
    fn until(&self) -> Option<Instant> {
        match self.latest {
            Latest::Pending(_) => None,
            Latest::Known { until, .. } => {
                Some(self.last_good.as_ref().map_or(until, |last| last.usable_until().max(until)))
            }
        }
    }
}

impl Latest {
    /// The same, unless it has to be asked again.
    fn valid(&self, now: Instant) -> Option<Self> {
        let expired = matches!(self, Self::Known { until, .. } if *until <= now);
        (!expired).then(|| self.clone())
    }
}

async fn answered(mut receiver: watch::Receiver<Option<Answer>>) -> Answer {
    let answer = receiver.wait_for(Option::is_some).await;
    answer.ok().and_then(|answer| answer.clone()).unwrap_or_else(|| Err(unanswered()))
}

fn unanswered() -> ResolveError {
    ResolveError::System(Arc::new(io::Error::other("the lookup ended without an answer")))
}

impl fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Resolver").field("names_max", &self.names_max).finish_non_exhaustive()
    }
}

/// One lookup. It is over when it is dropped: also when there is no thread for it, or when asking panics.
struct Question {
    resolver: Arc<Resolver>,
    name: HostName,
    asked: Instant,
    /// The same moment on the clock of a thread without a runtime.
    began: std::time::Instant,
    answer: Result<Arc<[IpAddr]>, ResolveError>,
    sender: watch::Sender<Option<Answer>>,
    // Given back last.
    _permit: OwnedSemaphorePermit,
}

impl Question {
    fn ask(mut self) {
        self.answer = match (self.resolver.ask)(&self.name) {
            Ok(addresses) if addresses.is_empty() => Err(ResolveError::NoAddress),
            Ok(addresses) => Ok(addresses.into()),
            Err(error) => Err(ResolveError::System(Arc::new(error))),
        };
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        if let Some(meter) = self.resolver.meter.get() {
            let result = match &self.answer {
                Ok(_) => LookupResult::Found,
                Err(ResolveError::NoAddress) => LookupResult::Empty,
                Err(ResolveError::System(_) | ResolveError::Timeout) => LookupResult::Failed,
            };
            meter.count(result, took);
        }
        let now = self.asked + took;
        let until = now + if self.answer.is_ok() { FRESH_FOR } else { FAILED_FOR };
        let mut names = self.resolver.names();
        let mut last_good = names.remove(&self.name).and_then(|entry| entry.last_good);
        let (answer, news) = match &self.answer {
            Ok(addresses) => {
                let before = last_good.replace(LastGood::new(Arc::clone(addresses), now));
                let found = Found { addresses: Arc::clone(addresses), stale: false };
                (Ok(found), before.and_then(|before| before.followed(now)))
            }
            Err(error) => {
                let (found, news) = last_good.as_mut().map_or((None, None), |last| last.instead(now));
                (found.ok_or_else(|| error.clone()), news)
            }
        };
        let latest = Latest::Known { answer: answer.clone(), until };
        names.insert(self.name.clone(), Entry { latest, last_good });
        drop(names);
        if let Some(news) = news {
            news.tell(&self.name, self.answer.as_ref().err());
        }
        self.sender.send_replace(Some(answer));
    }
}

/// Makes room for one more: forgets what is of no use any more, or else what will be so next.
fn make_room(names: &mut HashMap<HostName, Entry>, limit: usize, now: Instant) {
    if names.len() < limit {
        return;
    }
    names.retain(|_, entry| entry.until().is_none_or(|until| now < until));
    if names.len() < limit {
        return;
    }
    let known = names.iter().filter_map(|(name, entry)| Some((entry.until()?, name)));
    if let Some(next) = known.min().map(|(_, name)| name.clone()) {
        names.remove(&next);
    }
}

/// Counts the process's lookups of names there, from now on.
pub fn count_lookups(meters: &Meters) {
    Resolver::system().count_in(meters.lookups.clone());
}

/// How many lookups of names run now: each may have sockets of the system's library open.
#[must_use]
pub fn lookups_running() -> usize {
    Resolver::system().running()
}

fn system(name: &HostName) -> io::Result<Vec<IpAddr>> {
    let any_port = 0_u16;
    Ok((name.as_str(), any_port).to_socket_addrs()?.map(|address: SocketAddr| address.ip()).collect())
}

#[cfg(test)]
mod tests;
