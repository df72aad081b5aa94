use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::forwarded::Introduction;
use super::host::Host;
use super::tunnel::Tunnel;
use crate::connection::{Connection, Registry};
use crate::outcome::{Cause, Outcome, Party, Phase};

/// What the requests of one client connection have come to, for the one who serves it.
#[derive(Debug)]
pub(super) struct Activity {
    registry: Arc<Registry>,
    connection: Arc<Connection>,
    live: AtomicUsize,
    answered: AtomicBool,
    unframed: AtomicBool,
    /// A request of an HTTP/2 client has the seat of its connection.
    seated: AtomicBool,
    /// Something is noted that is not the rule: whoever asks after each request need not look.
    noted: AtomicBool,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    /// What the last request was for.
    host: Host,
    /// What targets are told of the client with one for that host.
    introduction: Option<Arc<Introduction>>,
    /// The connection cannot go on after this.
    fatal: Option<Outcome>,
    /// The connection is to end in order after this.
    parting: Option<Outcome>,
    /// Why the connection is being ended, from the moment that it is.
    ending: Option<Outcome>,
    /// What the connection becomes after a 101.
    tunnel: Option<Tunnel>,
}

impl Activity {
    pub(super) fn new(registry: &Arc<Registry>, connection: &Arc<Connection>) -> Arc<Self> {
        Arc::new(Self {
            registry: Arc::clone(registry),
            connection: Arc::clone(connection),
            live: AtomicUsize::new(0),
            answered: AtomicBool::new(false),
            unframed: AtomicBool::new(false),
            seated: AtomicBool::new(false),
            noted: AtomicBool::new(false),
            notes: Mutex::default(),
        })
    }

    /// Where its requests are counted.
    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The connection.
    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// How many requests are being served.
    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    /// Takes the connection's own seat; gives whether it was free.
    pub(super) fn take_seat(&self) -> bool {
        !self.seated.swap(true, Ordering::AcqRel)
    }

    pub(super) fn leave_seat(&self) {
        self.seated.store(false, Ordering::Release);
    }

    /// What targets are told of the client with a request for this host; made by `introduce`, if the last was for another.
    pub(super) fn introduction(&self, host: &Host, introduce: impl FnOnce() -> Introduction) -> Arc<Introduction> {
        let mut notes = self.notes();
        match &notes.introduction {
            Some(introduction) if introduction.host.is_spelled_as(host) => Arc::clone(introduction),
            Some(_) | None => Arc::clone(notes.introduction.insert(Arc::new(introduce()))),
        }
    }

    /// What the last request was for, if it was for one host.
    pub(super) fn host(&self) -> Host {
        self.notes().host.clone()
    }

    pub(super) fn set_host(&self, host: &Host) {
        self.notes().host = host.clone();
    }

    /// Whether a request has ended well.
    pub(super) fn answered(&self) -> bool {
        self.answered.load(Ordering::Acquire)
    }

    pub(super) fn opened(&self) {
        self.live.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn closed(&self, outcome: Outcome) {
        if outcome.cause == Cause::Finished {
            self.answered.store(true, Ordering::Release);
        }
        self.live.fetch_sub(1, Ordering::AcqRel);
    }

    /// Notes what ends the connection with the request; the first counts.
    pub(super) fn set_fatal(&self, outcome: Outcome) {
        self.note().fatal.get_or_insert(outcome);
    }

    pub(super) fn fatal(&self) -> Option<Outcome> {
        self.rarities()?.fatal
    }

    /// Notes why an HTTP/2 connection is to be left when its requests have been answered; the first counts.
    pub(super) fn set_parting(&self, outcome: Outcome) {
        self.note().parting.get_or_insert(outcome);
    }

    pub(super) fn parting(&self) -> Option<Outcome> {
        self.rarities()?.parting
    }

    /// Notes why the connection is being ended, for the requests that end with it.
    pub(super) fn set_ending(&self, outcome: Outcome) {
        self.note().ending.get_or_insert(outcome);
    }

    pub(super) fn ending(&self) -> Option<Outcome> {
        self.rarities()?.ending
    }

    /// Notes that an answer was broken off whose end only the end of the connection would have shown: a plain FIN would
    /// make it look whole.
    pub(super) fn set_unframed(&self) {
        self.unframed.store(true, Ordering::Release);
    }

    pub(super) fn is_unframed(&self) -> bool {
        self.unframed.load(Ordering::Acquire)
    }

    /// Keeps what the connection becomes when its 101 has been written.
    pub(super) fn set_tunnel(&self, tunnel: Tunnel) {
        self.note().tunnel = Some(tunnel);
    }

    pub(super) fn take_tunnel(&self) -> Option<Tunnel> {
        self.rarities()?.tunnel.take()
    }

    /// The notes, to add what is not the rule.
    fn note(&self) -> MutexGuard<'_, Notes> {
        let notes = self.notes();
        self.noted.store(true, Ordering::Release);
        notes
    }

    /// The notes, if there is anything in them that is not the rule.
    fn rarities(&self) -> Option<MutexGuard<'_, Notes>> {
        self.noted.load(Ordering::Acquire).then(|| self.notes())
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        // Each note is set in one step, so it is right whatever panicked beside it.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the requests of a connection why they end with it if its task is dropped; declared after what they are kept in, so
/// that it is dropped before.
///
/// A tunnel that was not opened is dropped with it: it holds an exchange, which holds the activity that holds the tunnel.
#[derive(Debug)]
pub(super) struct Abandoned(Option<Arc<Activity>>);

impl Abandoned {
    pub(super) fn new(activity: &Arc<Activity>) -> Self {
        Self(Some(Arc::clone(activity)))
    }

    /// The connection was not dropped: its requests are told in another way.
    pub(super) fn settle(&mut self) {
        self.0 = None;
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(activity) = self.0.take() {
            activity.set_ending(Outcome::new(Phase::Serve, Party::Operator, Cause::Cut));
            drop(activity.take_tunnel());
        }
    }
}
