use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::line::{Format, Line};
use crate::net::{AddressSet, ClientAddress};

/// How many may watch at once: a few people. Each costs every connection that it watches the writing of its events.
pub const TRACERS_MAX: usize = 8;

/// How many events wait for one who watches and is slow, before the next ones are dropped and counted.
pub const EVENTS_QUEUED_MAX: usize = 8_192;

/// How many bytes of events wait: 8,192 of 512 bytes. A path can make an event as long as a request's head.
pub const EVENT_BYTES_QUEUED_MAX: usize = 4 * 1024 * 1024;

/// Those who watch what connections go through, while it happens. With nobody there, an event costs one look at a number.
#[derive(Debug, Default)]
pub struct Tracers {
    watching: AtomicUsize,
    tracers: Mutex<Vec<Arc<Tracer>>>,
}

/// Which connections somebody wants to watch: those that all of it holds for.
#[derive(Clone, Debug, Default)]
pub struct TraceFilter {
    /// Of these clients.
    pub clients: Option<AddressSet>,
    /// On this route, from the moment on at which that is known.
    pub route: Option<Box<str>>,
    /// Of this number.
    pub connection: Option<u64>,
}

/// Whom an event is of.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The connection's number.
    pub connection: u64,
    /// Its client.
    pub client: ClientAddress,
    /// Its route, or `-`.
    pub route: &'a str,
}

/// There are [`TRACERS_MAX`] already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{TRACERS_MAX} traces are running; wait for one to end")]
pub struct TooManyTracers;

#[derive(Debug)]
struct Tracer {
    filter: TraceFilter,
    lines: Sender<Vec<u8>>,
    queue: Arc<Queue>,
}

/// What is known on both sides of what waits for one who watches.
#[derive(Debug)]
struct Queue {
    format: Format,
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// The events that one who watches is told, until it is dropped.
#[derive(Debug)]
pub struct Trace {
    tracers: Arc<Tracers>,
    queue: Arc<Queue>,
    lines: Receiver<Vec<u8>>,
    events: u64,
    /// Drops that have been told.
    dropped: u64,
}

impl Tracers {
    /// Begins to watch.
    ///
    /// # Errors
    /// [`TooManyTracers`].
    pub fn watch(self: &Arc<Self>, filter: TraceFilter, format: Format) -> Result<Trace, TooManyTracers> {
        let (sender, lines) = channel(EVENTS_QUEUED_MAX);
        let queue = Arc::new(Queue { format, bytes: AtomicUsize::new(0), dropped: AtomicU64::new(0) });
        let tracer = Arc::new(Tracer { filter, lines: sender, queue: Arc::clone(&queue) });
        let mut tracers = self.tracers();
        if tracers.len() >= TRACERS_MAX {
            return Err(TooManyTracers);
        }
        tracers.push(tracer);
        self.watching.store(tracers.len(), Ordering::Relaxed);
        drop(tracers);
        Ok(Trace { tracers: Arc::clone(self), queue, lines, events: 0, dropped: 0 })
    }

    /// Ends every trace, once what waits has been told: there is nothing more to watch.
    pub fn end(&self) {
        // Their senders go with them.
        let ended = std::mem::take(&mut *self.tracers());
        self.watching.store(0, Ordering::Relaxed);
        drop(ended);
    }

    /// Whether anybody watches anything.
    #[must_use]
    pub fn is_watching(&self) -> bool {
        self.watching.load(Ordering::Relaxed) > 0
    }

    /// Tells those who watch the subject of an event; `fill` writes it, once for each of them.
    pub fn tell(&self, subject: Subject<'_>, kind: &str, fill: &dyn Fn(&mut Line)) {
        // Taken out, so that nothing is written under the lock.
        let watching: Vec<_> =
            self.tracers().iter().filter(|tracer| tracer.filter.takes(subject)).map(Arc::clone).collect();
        for tracer in watching {
            let mut line = Line::new(tracer.queue.format, kind);
            fill(&mut line);
            tracer.send(line.finish().into_bytes());
        }
    }

    fn tracers(&self) -> MutexGuard<'_, Vec<Arc<Tracer>>> {
        // The list is whole even if another thread has panicked while it held the lock.
        self.tracers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TraceFilter {
    fn takes(&self, subject: Subject<'_>) -> bool {
        self.connection.is_none_or(|connection| connection == subject.connection)
            && self.route.as_deref().is_none_or(|route| route == subject.route)
            && self.clients.as_ref().is_none_or(|clients| clients.contains(subject.client.ip()))
    }
}

impl Tracer {
    fn send(&self, line: Vec<u8>) {
        let length = line.len();
        let Queue { bytes, dropped, .. } = &*self.queue;
        let room = bytes.fetch_add(length, Ordering::Relaxed) + length <= EVENT_BYTES_QUEUED_MAX;
        if !room || self.lines.try_send(line).is_err() {
            bytes.fetch_sub(length, Ordering::Relaxed);
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Trace {
    /// The next event, as a line; `None` when there is nothing more to watch. Where some were dropped before it, that is told
    /// first, as an event of its own.
    pub fn poll_line(&mut self, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        if let Some(line) = self.unsaid() {
            return Poll::Ready(Some(line));
        }
        let line = ready!(self.lines.poll_recv(context));
        if let Some(line) = &line {
            self.queue.bytes.fetch_sub(line.len(), Ordering::Relaxed);
            self.events += 1;
        }
        Poll::Ready(line)
    }

    /// The last line: how many events were told, and how many were not.
    #[must_use]
    pub fn end(&self) -> Vec<u8> {
        let mut line = Line::new(self.queue.format, "end");
        line.number("events", self.events);
        line.number("dropped", self.queue.dropped.load(Ordering::Relaxed));
        line.finish().into_bytes()
    }

    fn unsaid(&mut self) -> Option<Vec<u8>> {
        let dropped = self.queue.dropped.load(Ordering::Relaxed);
        let unsaid = dropped - self.dropped;
        self.dropped = dropped;
        (unsaid > 0).then(|| {
            let mut line = Line::new(self.queue.format, "dropped");
            line.number("events", unsaid);
            line.finish().into_bytes()
        })
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let mut tracers = self.tracers.tracers();
        tracers.retain(|tracer| !Arc::ptr_eq(&tracer.queue, &self.queue));
        self.tracers.watching.store(tracers.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(route: &str) -> Subject<'_> {
        let client = ClientAddress::new("10.1.2.3:5000".parse().unwrap());
        Subject { connection: 7, client, route }
    }

    fn next(trace: &mut Trace) -> Option<String> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match trace.poll_line(&mut context) {
            Poll::Ready(line) => Some(line.map_or_else(|| "over".into(), |line| String::from_utf8(line).unwrap())),
            Poll::Pending => None,
        }
    }

    #[test]
    fn each_is_told_of_whom_it_watches_and_of_nobody_once_it_is_gone() {
        let tracers = Arc::new(Tracers::default());
        assert!(!tracers.is_watching());
        let networks = |text: &str| Some(AddressSet::new([text.parse().unwrap()]));
        let filters = [
            (TraceFilter::default(), true),
            (TraceFilter { clients: networks("10.0.0.0/8"), ..TraceFilter::default() }, true),
            (TraceFilter { clients: networks("11.0.0.0/8"), ..TraceFilter::default() }, false),
            (TraceFilter { route: Some("shop".into()), ..TraceFilter::default() }, true),
            (TraceFilter { route: Some("shop".into()), connection: Some(8), ..TraceFilter::default() }, false),
            (TraceFilter { connection: Some(7), ..TraceFilter::default() }, true),
        ];
        for (filter, told) in filters {
            let mut trace = tracers.watch(filter.clone(), Format::Json).unwrap();
            assert!(tracers.is_watching());
            tracers.tell(subject("shop"), "state", &|line| line.field("to", "relaying"));
            tracers.tell(subject("-"), "other", &|_| {});
            let first = next(&mut trace);
            let wanted = |line: &String| line.contains("\"kind\":\"state\",\"to\":\"relaying\"}\n");
            assert_eq!(first.as_ref().is_some_and(wanted), told, "{filter:?}: {first:?}");
            drop(trace);
            assert!(!tracers.is_watching(), "{filter:?}");
        }
    }

    #[test]
    fn one_who_is_too_slow_loses_events_and_is_told_how_many() {
        let tracers = Arc::new(Tracers::default());
        let mut trace = tracers.watch(TraceFilter::default(), Format::Text).unwrap();
        for _ in 0..EVENTS_QUEUED_MAX + 3 {
            tracers.tell(subject("shop"), "state", &|_| {});
        }
        assert!(next(&mut trace).unwrap().ends_with(" dropped events=3\n"));
        for _ in 0..EVENTS_QUEUED_MAX {
            assert!(next(&mut trace).unwrap().ends_with(" state\n"));
        }
        assert_eq!(next(&mut trace), None);
        let end = String::from_utf8(trace.end()).unwrap();
        assert!(end.ends_with(&format!(" end events={EVENTS_QUEUED_MAX} dropped=3\n")), "{end}");
    }

    #[test]
    fn one_byte_more_than_may_wait_is_dropped_however_few_the_events_are() {
        let tracers = Arc::new(Tracers::default());
        let mut trace = tracers.watch(TraceFilter::default(), Format::Text).unwrap();
        let path = "x".repeat(EVENT_BYTES_QUEUED_MAX / 4);
        for _ in 0..4 {
            tracers.tell(subject("shop"), "request", &|line| line.field("path", &path));
        }
        assert!(next(&mut trace).unwrap().ends_with(" dropped events=1\n"));
        assert!(next(&mut trace).unwrap().ends_with('\n'));
        // What has been taken makes room.
        tracers.tell(subject("shop"), "request", &|line| line.field("path", &path));
        assert_eq!((0..3).filter(|_| next(&mut trace).is_some()).count(), 3);
    }

    #[test]
    fn when_there_is_nothing_more_to_watch_what_waits_is_told_and_the_trace_is_over() {
        let tracers = Arc::new(Tracers::default());
        let mut trace = tracers.watch(TraceFilter::default(), Format::Text).unwrap();
        tracers.tell(subject("shop"), "state", &|_| {});
        tracers.end();
        assert!(!tracers.is_watching());
        assert!(next(&mut trace).unwrap().ends_with(" state\n"));
        assert_eq!(next(&mut trace).as_deref(), Some("over"));
    }

    #[test]
    fn one_more_than_may_watch_is_refused_until_another_ends() {
        let tracers = Arc::new(Tracers::default());
        let watch = || tracers.watch(TraceFilter::default(), Format::Text);
        let mut watching: Vec<_> = (0..TRACERS_MAX).map(|_| watch().unwrap()).collect();
        assert_eq!(watch().err(), Some(TooManyTracers));
        watching.pop();
        assert!(watch().is_ok());
    }
}
