use std::cell::RefCell;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until};

use super::exchange::Progress;
use super::rate::{MinRate, Rate};
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::telemetry::Speaker;

/// The tasks of the streams of one HTTP/2 connection. They end with it.
#[derive(Debug)]
pub(super) struct Streams {
    executor: StreamExecutor,
}

/// What hyper starts a stream's task with.
#[derive(Clone, Debug)]
pub(super) struct StreamExecutor {
    tasks: Arc<Mutex<Tasks>>,
    patience: Duration,
    least: Option<MinRate>,
}

#[derive(Debug, Default)]
struct Tasks {
    set: JoinSet<()>,
    panicked: bool,
}

impl Streams {
    /// No streams yet. An answer of which the client has taken nothing for `patience` is given up, and one of which it takes
    /// less than the `least` rate.
    pub(super) fn new(patience: Duration, least: Option<MinRate>) -> Self {
        Self { executor: StreamExecutor { tasks: Arc::default(), patience, least } }
    }

    pub(super) fn executor(&self) -> StreamExecutor {
        self.executor.clone()
    }

    /// Takes note of the tasks that have ended.
    pub(super) fn reap(&self, context: &mut Context<'_>) {
        let mut tasks = self.executor.tasks();
        while let Poll::Ready(Some(result)) = tasks.set.poll_join_next(context) {
            tasks.panicked |= result.is_err_and(|error| error.is_panic());
        }
    }

    /// Ends all tasks, and says whether one has panicked.
    pub(super) async fn end(self) -> bool {
        let mut tasks = mem::take(&mut *self.executor.tasks());
        tasks.set.abort_all();
        while let Some(result) = tasks.set.join_next().await {
            tasks.panicked |= result.is_err_and(|error| error.is_panic());
        }
        tasks.panicked
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        // The tasks hold the executor, and so the set that holds them.
        drop(mem::take(&mut *self.executor.tasks()));
    }
}

impl StreamExecutor {
    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for StreamExecutor {
    fn execute(&self, future: F) {
        let cord = TUNNEL.take();
        // hyper starts it while it is polled for its client.
        let speaker = Speaker::current();
        let stream = Stream {
            future: Some(Box::pin(future)),
            patience: self.patience,
            least: self.least,
            streaming: None,
            taking: None,
            slow_at: None,
            timer: None,
            cord,
            speaker,
        };
        self.tasks().set.spawn(stream);
    }
}

/// Ties a tunnel to hyper's task that sends its bytes to the client: each hears of the other's end.
#[derive(Debug, Default)]
pub(super) struct Cord {
    cut: AtomicBool,
    ended: AtomicBool,
    sender: AtomicWaker,
    tunnel: AtomicWaker,
}

impl Cord {
    /// Drops the sending task, which resets the stream.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.sender.wake();
    }

    /// Whether the sending task has ended: the client has reset the stream, or all of it has been sent.
    pub(super) fn has_ended(&self, context: &Context<'_>) -> bool {
        self.tunnel.register(context.waker());
        self.ended.load(Ordering::Acquire)
    }

    fn is_cut(&self, context: &Context<'_>) -> bool {
        self.sender.register(context.waker());
        self.cut.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.tunnel.wake();
    }
}

thread_local! {
    /// The tunnel whose sending task is the next to be started.
    static TUNNEL: RefCell<Option<Arc<Cord>>> = const { RefCell::new(None) };
}

/// Notes that the answer that the polled task is about to give makes a tunnel of its stream: hyper then starts a task that
/// sends what the tunnel has for the client.
pub(super) fn announce_tunnel(cord: Arc<Cord>) {
    TUNNEL.set(Some(cord));
}

thread_local! {
    /// The answer that the task which is being polled has asked for more of.
    static STREAMING: RefCell<Option<Arc<Progress>>> = const { RefCell::new(None) };
}

/// Notes that the task which is being polled sends an answer's body.
pub(super) fn note_streaming(progress: &Arc<Progress>) {
    STREAMING.with_borrow_mut(|streaming| {
        if streaming.is_none() {
            *streaming = Some(Arc::clone(progress));
        }
    });
}

/// One stream's task, which is given up when its client gives it no window.
///
/// hyper asks a body for more only when the client's window has room, so a body that is not asked for is a client that
/// does not read; nothing else could tell, and the target's connection would be held for ever.
struct Stream<F> {
    future: Option<Pin<Box<F>>>,
    patience: Duration,
    least: Option<MinRate>,
    streaming: Option<Arc<Progress>>,
    /// How the client takes the answer, from the first time on that it has held it up; with what had gone to it then.
    taking: Option<(Rate, u64)>,
    /// When the client is too slow, if it is the one that is waited for.
    slow_at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// What ends with it, if it sends for a tunnel.
    cord: Option<Arc<Cord>>,
    /// Whose it is.
    speaker: Speaker,
}

impl<F> Drop for Stream<F> {
    fn drop(&mut self) {
        self.future = None;
        if let Some(cord) = &self.cord {
            cord.end();
        }
    }
}

impl<F> Stream<F> {
    /// When the client is too slow, if it is the one that is waited for: the answer's body has not been asked for more.
    fn slow_at(&mut self, now: Instant) -> Option<Instant> {
        let (least, progress) = (self.least?, self.streaming.as_ref()?);
        let out = progress.bytes_out();
        if progress.hungry() {
            if let Some((rate, _)) = &mut self.taking {
                rate.pause(now);
            }
            return None;
        }
        let (rate, before) = self.taking.get_or_insert_with(|| (Rate::new(least), out));
        rate.moved(out.saturating_sub(*before));
        *before = out;
        rate.wait(now)
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Some(timer) = &mut this.timer
            && timer.as_mut().poll(context).is_ready()
        {
            if let Some(progress) = &this.streaming {
                let slow = this.slow_at.is_some_and(|at| at <= Instant::now());
                let cause = if slow { Cause::ResponseSlow } else { Cause::BodyTimeout };
                progress.set_fault(Outcome::new(Phase::Serve, Party::Client, cause));
            }
            this.future = None;
            return Poll::Ready(());
        }
        if this.cord.as_ref().is_some_and(|cord| cord.is_cut(context)) {
            this.future = None;
        }
        let Some(future) = &mut this.future else { return Poll::Ready(()) };
        let result = this.speaker.during(|| future.as_mut().poll(context));
        // Of an answer that hyper could not send no task was started.
        drop(TUNNEL.take());
        if let Some(progress) = STREAMING.take() {
            this.streaming = Some(progress);
        }
        if result.is_pending() && this.streaming.is_some() {
            let now = Instant::now();
            this.slow_at = this.slow_at(now);
            let silent = now + this.patience;
            let at = this.slow_at.map_or(silent, |slow| slow.min(silent));
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
            timer.as_mut().reset(at);
            if timer.as_mut().poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
        }
        result
    }
}
