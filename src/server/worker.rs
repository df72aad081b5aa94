use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::accept::{Accepting, accept};
use super::control::{Shared, Watched};
use super::rest::Shortage;
use super::serve::serve;
use super::served::Served;
use crate::connection::{ConnectionGuard, Gate, Registry};
use crate::drain::{Counted, Keeper, Leash, Order, ask_for_descriptors};
use crate::generation::Current;
use crate::handler::Site;
use crate::http::Pool;
use crate::net::pipe::let_go_of_unused_pipes;
use crate::net::{BoundListener, ListenAddress, refresh_descriptor_limit};
use crate::telemetry::{AcceptFault, Level, Meters};

/// How often a worker drops upstream connections that have been idle for too long, and pipes that it has not needed, and asks for
/// the limit of open files.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What the connections of one worker thread share. Nothing here is shared between workers but atomics and the registry.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    idle: Level,
    standing: Level,
    beats: AtomicU64,
}

/// What the control plane tells a worker.
#[derive(Debug)]
enum Command {
    Listen(Arc<Site>, BoundListener, Counted),
    Unlisten(ListenAddress),
    /// A reload has been done: let go of what was served before.
    Renew,
    /// Show that the event loop turns.
    Beat,
    /// Take what is queued on every listener, then close them.
    StopAccepting(tokio::sync::oneshot::Sender<()>),
}

/// The control plane's handle of one worker thread. Dropping it ends the worker, and what still runs on it.
#[derive(Debug)]
pub(super) struct WorkerHandle {
    commands: UnboundedSender<Command>,
    worker: Arc<Worker>,
    thread: JoinHandle<()>,
    /// Closed when the thread has nothing left to do.
    ended: tokio::sync::oneshot::Receiver<()>,
    /// Beats asked for.
    asked: AtomicU64,
}

/// What broke for good.
#[derive(Debug)]
pub(super) enum Broken {
    /// A listener.
    Listener { address: ListenAddress, error: io::Error },
    /// A worker, by a fault of ours: what ran on it is gone, and nobody accepts in its place.
    Worker { index: usize },
}

/// Tells the control plane of a worker that panics, from the worker's own thread.
struct Alarm {
    index: usize,
    broken: UnboundedSender<Broken>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The control plane may have ended first.
            let _ = self.broken.send(Broken::Worker { index: self.index });
        }
    }
}

impl Worker {
    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.shared.registry
    }

    pub(super) fn meters(&self) -> &Arc<Meters> {
        self.shared.registry.meters()
    }

    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.shared.gate
    }

    /// Those who were accepted and wait for a place.
    pub(super) fn waiting(&self) -> &Arc<Gate> {
        &self.shared.waiting
    }

    pub(super) fn shortage(&self) -> &Arc<Shortage> {
        &self.shared.shortage
    }

    pub(super) fn current(&self) -> &Arc<Current> {
        &self.shared.current
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Counts that a client could not be accepted for want of descriptors, and makes every worker give up its idle upstream
    /// connections: each holds one.
    pub(super) fn run_out(&self) {
        self.meters().accept_error(AcceptFault::Exhausted);
        // It may have been lowered a moment ago.
        refresh_descriptor_limit();
        // Nobody waits for an answer: the one who rests looks again.
        drop(ask_for_descriptors());
    }

    fn sweep(&self, sweep: impl FnOnce(&Pool)) {
        sweep(&self.pool);
        self.idle.set(self.pool.idle());
        self.standing.set(self.pool.standing());
    }

    /// Serves one accepted connection on a task of its own. A panic ends that task only; its guard counts it.
    pub(super) fn spawn(self: &Arc<Self>, site: Arc<Site>, stream: TcpStream, guard: ConnectionGuard) {
        // On the heap: the runtime copies what it is given several times before it is in its place, and again at its end.
        tokio::spawn(Box::pin(serve(Arc::clone(self), site, stream, guard)));
    }
}

impl WorkerHandle {
    /// Starts a worker thread.
    ///
    /// # Errors
    /// The system's, when it has no thread or no descriptor for the runtime.
    pub(super) fn start(index: usize, shared: &Arc<Shared>, broken: UnboundedSender<Broken>) -> io::Result<Self> {
        let worker = Arc::new(Worker {
            shared: Arc::clone(shared),
            pool: Pool::new(),
            idle: shared.registry.meters().idle_upstream(index),
            standing: shared.registry.meters().standing_upstream(index),
            beats: AtomicU64::new(0),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        shared.watch_worker(Watched { runtime: runtime.metrics(), standing: worker.pool.standing_count() });
        let (commands, received) = unbounded_channel();
        let (ending, ended) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn({
            let worker = Arc::clone(&worker);
            move || {
                let _ending: tokio::sync::oneshot::Sender<()> = ending;
                let _alarm = Alarm { index, broken: broken.clone() };
                runtime.block_on(obey(received, worker, broken));
                // What still runs is dropped here, and its guards count it; a resolver that hangs is not waited for.
                runtime.shutdown_background();
            }
        })?;
        Ok(Self { commands, worker, thread, ended, asked: AtomicU64::new(0) })
    }

    /// Accepts on one more socket, for what is served there now; `open` is dropped after the socket is closed.
    pub(super) fn listen(&self, site: &Arc<Site>, listener: BoundListener, open: Counted) {
        self.tell(Command::Listen(Arc::clone(site), listener, open));
    }

    /// Serves what is queued on the address, and closes its socket.
    pub(super) fn unlisten(&self, key: ListenAddress) {
        self.tell(Command::Unlisten(key));
    }

    /// Has what was served before a reload let go of.
    pub(super) fn renew(&self) {
        self.tell(Command::Renew);
    }

    /// Serves what is queued on every address, and closes their sockets; ready when that is done.
    pub(super) fn stop_accepting(&self) -> tokio::sync::oneshot::Receiver<()> {
        let (done, closed) = tokio::sync::oneshot::channel();
        self.tell(Command::StopAccepting(done));
        closed
    }

    /// Whether the worker's event loop has turned since the last call; asks it to show so until the next.
    pub(super) fn is_alive(&self) -> bool {
        let alive = self.worker.beats.load(Ordering::Acquire) == self.asked.fetch_add(1, Ordering::AcqRel);
        self.tell(Command::Beat);
        alive
    }

    /// Ends the worker, and what still runs on it. The order is given at once; what is returned waits until the deadline for
    /// it to be obeyed, and leaves a thread that does not turn to the end of the process.
    pub(super) fn finish(self, deadline: tokio::time::Instant) -> impl Future<Output = ()> {
        let Self { commands, thread, ended, .. } = self;
        drop(commands);
        join(thread, ended, deadline)
    }

    fn tell(&self, command: Command) {
        if self.commands.send(command).is_err() {
            tracing::error!("a worker thread is gone");
        }
    }
}

/// Waits for a thread that has been told to end; it has when `ended` is closed.
async fn join(thread: JoinHandle<()>, ended: tokio::sync::oneshot::Receiver<()>, deadline: tokio::time::Instant) {
    if tokio::time::timeout_at(deadline, ended).await.is_err() {
        tracing::error!(worker = thread.thread().name(), "the worker does not end, and is left");
    } else if thread.join().is_err() {
        tracing::error!("a worker thread has panicked");
    }
}

/// A worker's main task: its listeners come and go by command, and its pool is swept.
async fn obey(mut commands: UnboundedReceiver<Command>, worker: Arc<Worker>, broken: UnboundedSender<Broken>) {
    let mut listeners: HashMap<ListenAddress, (Arc<Leash>, Arc<Served>)> = HashMap::new();
    let mut loops = JoinSet::new();
    let mut keys = HashMap::new();
    let mut stopping = None;
    let mut keeper = Keeper::new();
    let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Listen(site, listener, open)) => {
                    let key = site.address;
                    let leash = Arc::new(Leash::default());
                    let served = Arc::new(Served::new(site));
                    if let Some((before, _)) = listeners.insert(key, (Arc::clone(&leash), Arc::clone(&served))) {
                        before.pull(Order::Drain);
                    }
                    let running = Counted::new(&worker.shared.loops);
                    let looping = listen(served, listener, open, leash, Arc::clone(&worker), broken.clone());
                    let task = loops.spawn(async move {
                        looping.await;
                        drop(running);
                    });
                    keys.insert(task.id(), key);
                }
                Some(Command::Unlisten(key)) => {
                    if let Some((leash, _)) = listeners.remove(&key) {
                        leash.pull(Order::Drain);
                    }
                }
                Some(Command::Renew) => {
                    for (key, (_, served)) in &listeners {
                        if let Some(site) = worker.current().site(*key) {
                            served.renew(site);
                        }
                    }
                }
                Some(Command::Beat) => {
                    worker.beats.fetch_add(1, Ordering::AcqRel);
                }
                Some(Command::StopAccepting(done)) => {
                    for (_, (leash, _)) in listeners.drain() {
                        leash.pull(Order::Drain);
                    }
                    stopping = Some(done);
                }
                None => return,
            },
            _ = sweep.tick() => {
                worker.sweep(Pool::sweep);
                let_go_of_unused_pipes();
                refresh_descriptor_limit();
            }
            wanted = keeper.wanted() => {
                worker.sweep(Pool::clear);
                drop(wanted);
            }
            Some(ended) = loops.join_next_with_id() => {
                let (id, panicked) = ended.map_or_else(|error| (error.id(), true), |(id, ())| (id, false));
                if let (Some(address), true) = (keys.remove(&id), panicked) {
                    // The control plane may have ended first.
                    let _ = broken.send(Broken::Listener { address, error: io::Error::other("its accept loop has panicked") });
                }
            }
        }
        if loops.is_empty()
            && let Some(done) = stopping.take()
        {
            // Nobody listens any more when a second signal has ended the wait.
            let _ = done.send(());
        }
    }
}

/// One accept loop; the control plane hears of a listener that broke.
async fn listen(
    served: Arc<Served>,
    listener: BoundListener,
    open: Counted,
    leash: Arc<Leash>,
    worker: Arc<Worker>,
    broken: UnboundedSender<Broken>,
) {
    let key = served.last().address;
    let result = match listener.into_listener() {
        Ok(listener) => accept(Accepting { listener, open, leash, served }, worker).await,
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        // The control plane may have ended first.
        let _ = broken.send(Broken::Listener { address: key, error });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl WorkerHandle {
        /// A worker whose thread does nothing that it is told, not even end, until the other is dropped.
        pub(in crate::server) fn stuck(index: usize, shared: &Arc<Shared>) -> (Self, std::sync::mpsc::Sender<()>) {
            let worker = Arc::new(Worker {
                shared: Arc::clone(shared),
                pool: Pool::new(),
                idle: shared.registry.meters().idle_upstream(index),
                standing: shared.registry.meters().standing_upstream(index),
                beats: AtomicU64::new(0),
            });
            let (commands, received) = unbounded_channel();
            let (ending, ended) = tokio::sync::oneshot::channel();
            let (release, held) = std::sync::mpsc::channel::<()>();
            let thread = std::thread::spawn(move || {
                let _holds = (received, ending);
                let _released = held.recv();
            });
            (Self { commands, worker, thread, ended, asked: AtomicU64::new(0) }, release)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_does_not_turn_is_left_at_the_deadline() {
        let (ending, ended) = tokio::sync::oneshot::channel::<()>();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let _ending = ending;
            let _released = held.recv();
        });
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        join(thread, ended, deadline).await;
        assert!(tokio::time::Instant::now() >= deadline);
        drop(release);
    }

    #[test]
    fn a_worker_that_panics_is_told_of_and_one_that_ends_is_not() {
        let (broken, mut told) = unbounded_channel();
        for panics in [false, true] {
            let alarm = Alarm { index: 7, broken: broken.clone() };
            let thread = std::thread::spawn(move || {
                let _alarm = alarm;
                assert!(!panics, "as a fault of ours would");
            });
            assert_eq!(thread.join().is_err(), panics);
            assert_eq!(matches!(told.try_recv(), Ok(Broken::Worker { index: 7 })), panics);
        }
    }
}
