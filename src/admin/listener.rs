use std::convert::Infallible;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixListener};
use tokio::sync::{Semaphore, watch};

use super::answer::{Face, answer};
use super::door::{Door, Visitor};
use super::history::{self, History};
use super::places::Place;
use super::reserve::Reserve;
use super::sampler::mark_paces;
use super::unstalled::Unstalled;
use crate::drain::{Count, Counted};
use crate::net::{BoundListener, Claim, ClientAddress, Listener, Owner, Sharing, bind_advice};
use crate::outcome::with_causes;
use crate::server::Control;
use crate::tls;

/// Operators' connections at once, for each way in: probes, a scraper, a few people. More wait at the socket; at the HTTP
/// address they get the places of those who send no request, or are turned away.
pub(super) const CONNECTIONS_MAX: usize = 64;

/// Connections to the HTTP address beside those that are served: they are about to be closed.
const PARTING_MAX: usize = 16;

/// How long an operator's connection may take for a request's head, or idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one connection to the HTTP address is kept at most: a reader that takes a byte now and then makes progress, and
/// must not hold a place for ever all the same. The longest text, of a hundred thousand routes, takes seconds.
const PAGE_LIFETIME_MAX: Duration = Duration::from_secs(60);

/// The rest after a failed accept: descriptors may come back.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// The socket's mode: its owner and group may.
const SOCKET_MODE: u32 = 0o660;

/// Where operators come in.
#[derive(Clone, Debug, Default)]
pub struct AdminSettings {
    /// The HTTP address.
    pub listen: Option<SocketAddr>,
    /// The Unix socket.
    pub socket: Option<SocketPath>,
}

/// The path of the Unix socket.
#[derive(Clone, Debug)]
pub struct SocketPath {
    /// The path.
    pub path: PathBuf,
    /// Whether somebody asked for it: then a missing folder is a fault, not a warning.
    pub written: bool,
}

/// Why operators cannot come in.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The HTTP address cannot be bound.
    #[error("[admin] listen: {address} cannot be listened on: {}", bind_advice(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The socket cannot be made.
    #[error("[admin] socket: {} cannot be made", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl AdminError {
    /// What the system says.
    #[must_use]
    pub fn io(&self) -> &io::Error {
        match self {
            Self::Listen { source, .. } | Self::Socket { source, .. } => source,
        }
    }
}

/// How long operators' last answers may take when the daemon ends; their readers are on this machine.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// The operator's way in, while it is open. Dropping it closes it and takes the socket's file away.
#[derive(Debug)]
pub struct Admin {
    tasks: Vec<tokio::task::JoinHandle<()>>,
    socket: Option<PathBuf>,
    operators: Operators,
}

/// The operators' connections that live, and what tells them to end.
#[derive(Clone, Debug, Default)]
struct Operators {
    live: Arc<Count>,
    closing: watch::Sender<bool>,
}

impl Admin {
    /// Opens both ways in, on the control plane's runtime. The HTTP address is bound, unless a socket for it is given.
    ///
    /// # Errors
    /// What could not be opened; nothing stays open then.
    pub async fn open(
        settings: &AdminSettings,
        bound: Option<BoundListener>,
        control: &Control,
    ) -> Result<Self, AdminError> {
        let mut admin = Self { tasks: Vec::new(), socket: None, operators: Operators::default() };
        let history = Arc::new(History::default());
        if let Some(address) = settings.listen {
            let failed = |source| AdminError::Listen { address, source };
            let bound = bound.map_or_else(|| BoundListener::bind(address, Sharing::Exclusive), Ok).map_err(failed)?;
            let listener = bound.into_listener().map_err(failed)?;
            tracing::info!(address = %listener.local_address(), "admin listening");
            let accept = move |listener: Arc<Listener>| async move {
                let accepted = listener.accept().await?;
                let claim = Some(Claim::new(&accepted.0, Owner::Operator));
                Ok((accepted, claim))
            };
            let door = Arc::new(Door::new(listener.local_address(), control));
            let meet = move |(stream, from): (_, ClientAddress), conversation: Conversation| {
                welcome(stream, from, Arc::clone(&door), conversation)
            };
            let way = admin.way(control, &history, CONNECTIONS_MAX + PARTING_MAX);
            admin.tasks.push(tokio::spawn(serve(Arc::new(listener), accept, meet, way)));
        }
        if let Some(socket) = &settings.socket {
            match bind_socket(&socket.path).await {
                Ok(listener) => {
                    admin.socket = Some(socket.path.clone());
                    tracing::info!(path = %socket.path.display(), "admin socket listening");
                    let accept = move |listener: Arc<UnixListener>| async move {
                        listener.accept().await.map(|(stream, _)| (stream, None))
                    };
                    let meet = |stream, conversation| converse(stream, Face::Socket, None, conversation);
                    let way = admin.way(control, &history, CONNECTIONS_MAX);
                    admin.tasks.push(tokio::spawn(serve(Arc::new(listener), accept, meet, way)));
                }
                Err(source) if !socket.written => {
                    tracing::warn!(
                        path = %socket.path.display(), error = %source,
                        "no admin socket: `smartproxy status` and its kin will not work (set [admin] socket)"
                    );
                }
                Err(source) => return Err(AdminError::Socket { path: socket.path.clone(), source }),
            }
        }
        if !admin.tasks.is_empty() {
            admin.tasks.push(tokio::spawn(mark_paces(Arc::clone(control.registry()))));
            admin.tasks.push(tokio::spawn(history::keep(history, Arc::clone(control.registry()))));
        }
        Ok(admin)
    }

    fn way(&self, control: &Control, history: &Arc<History>, places: usize) -> Way {
        let (control, history) = (control.clone(), Arc::clone(history));
        let reserve = Reserve::default();
        // At once: it is among what the daemon has open when it looks for room for its first client.
        reserve.refill();
        Way { control, history, operators: self.operators.clone(), places: Arc::new(Semaphore::new(places)), reserve }
    }

    /// Closes both ways in: nobody new is let in, and those who wait for an answer, as of how the daemon ended, get it.
    pub async fn close(self) {
        for task in &self.tasks {
            task.abort();
        }
        self.operators.closing.send_replace(true);
        // Whoever does not read is left behind.
        let _ = tokio::time::timeout(CLOSE_PATIENCE, self.operators.live.none()).await;
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        if let Some(path) = &self.socket
            && let Err(error) = fs::remove_file(path)
        {
            tracing::debug!(path = %path.display(), %error, "the admin socket's file was not taken away");
        }
    }
}

/// Makes the socket. A file that a dead process has left is taken away; one that a live process answers on is not.
async fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {
            if tokio::net::UnixStream::connect(path).await.is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process answers on it"));
            }
            fs::remove_file(path)?;
        }
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

/// Accepts operators. A descriptor is kept in reserve, so that they are answered when clients have taken all others.
async fn serve<L, A, F, S, M, C>(listener: Arc<L>, accept: A, meet: M, way: Way)
where
    A: Fn(Arc<L>) -> F,
    F: Future<Output = io::Result<(S, Option<Claim>)>>,
    M: Fn(S, Conversation) -> C,
    C: Future<Output = ()> + Send + 'static,
{
    loop {
        way.reserve.refill();
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&way.places).acquire_owned().await else { return };
        let accepted = match accept(Arc::clone(&listener)).await {
            // Once more without the reserve, before it is taken anew: else that would take what has just been freed.
            Err(_) if way.reserve.give_up() => accept(Arc::clone(&listener)).await,
            accepted => accepted,
        };
        match accepted {
            Ok((accepted, claim)) => {
                let counted = Counted::new(&way.operators.live);
                let met = meet(accepted, way.begin());
                let reserve = way.reserve.clone();
                tokio::spawn(async move {
                    met.await;
                    // What has just been closed may have been the reserve: a client must not get it.
                    reserve.refill();
                    drop((claim, counted, place));
                });
            }
            Err(error) => {
                tracing::debug!(%error, "an operator's connection was not accepted");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// One of the two ways in.
struct Way {
    control: Control,
    history: Arc<History>,
    operators: Operators,
    places: Arc<Semaphore>,
    reserve: Reserve,
}

impl Way {
    fn begin(&self) -> Conversation {
        Conversation {
            control: self.control.clone(),
            history: Arc::clone(&self.history),
            closing: self.operators.closing.subscribe(),
        }
    }
}

/// What one conversation with an operator needs.
struct Conversation {
    control: Control,
    history: Arc<History>,
    closing: watch::Receiver<bool>,
}

/// Takes in who has come to the HTTP address, if there is a place, and until that is given to another.
async fn welcome(stream: TcpStream, from: ClientAddress, door: Arc<Door>, conversation: Conversation) {
    let Some((place, cut)) = door.places.take(from.ip()) else {
        tracing::debug!(client = %from, "an operator's connection was turned away: all places are busy");
        return;
    };
    tokio::select! {
        () = receive(stream, from, door, place, conversation) => {}
        _given_to_another = cut => tracing::debug!(client = %from, "an operator's connection gave its place to another"),
    }
}

/// Serves who has a place at the HTTP address: through TLS, if that is asked for.
async fn receive(
    stream: TcpStream,
    from: ClientAddress,
    door: Arc<Door>,
    place: Arc<Place>,
    conversation: Conversation,
) {
    let visitor = |certified| Face::Page(Visitor { from: from.ip(), certified, door: Arc::clone(&door) });
    let Some(tls) = door.tls(&conversation.control) else {
        return converse(stream, visitor(false), Some(place), conversation).await;
    };
    let deadline = tokio::time::Instant::now() + HEAD_TIMEOUT;
    // The certificate is the same for every name.
    match tls::accept(stream, &tls.policy, None, deadline).await {
        Ok(stream) => {
            let certified = tls.policy.requires_client_certificate();
            converse(stream, visitor(certified), Some(place), conversation).await;
        }
        Err(error) => tracing::debug!(client = %from, error = with_causes(&error), "an operator's handshake failed"),
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    face: Face,
    place: Option<Arc<Place>>,
    conversation: Conversation,
) {
    let Conversation { control, history, mut closing } = conversation;
    let service = service_fn(|request| {
        let (control, face, history) = (control.clone(), face.clone(), Arc::clone(&history));
        let busy = place.as_ref().map(Place::busy);
        async move {
            let answer = answer(request, &face, &control, &history).await;
            Ok::<_, Infallible>(match busy {
                Some(busy) => busy.with(answer),
                None => answer,
            })
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(Unstalled::new(stream)), service);
    tokio::pin!(connection);
    // An error is an `Admin` that was dropped: closing too.
    let close = async { drop(closing.wait_for(|closing| *closing).await) };
    let serving = async {
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = close => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    match bounded(&face, serving).await {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "an operator's connection failed"),
        None => tracing::debug!("an operator's connection was cut at its longest"),
    }
}

/// Waits for the connection to end, on the HTTP address for [`PAGE_LIFETIME_MAX`].
async fn bounded<T>(face: &Face, connection: impl Future<Output = T>) -> Option<T> {
    match face {
        // Who may come to the socket is known, and some of what it is asked takes its time.
        Face::Socket => Some(connection.await),
        Face::Page(_) => tokio::time::timeout(PAGE_LIFETIME_MAX, connection).await.ok(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_of_the_page_is_cut_at_its_longest_and_one_of_the_socket_never() {
        let visitor = Visitor { from: [127, 0, 0, 1].into(), certified: false, door: Arc::default() };
        let (page, begun) = (Face::Page(visitor), Instant::now());
        assert_eq!(bounded(&page, std::future::pending::<()>()).await, None);
        assert_eq!(begun.elapsed(), PAGE_LIFETIME_MAX);
        assert_eq!(bounded(&page, sleep(PAGE_LIFETIME_MAX - Duration::from_secs(1))).await, Some(()));
        assert_eq!(bounded(&Face::Socket, sleep(PAGE_LIFETIME_MAX * 100)).await, Some(()));
    }
}
