use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, DATE};
use http_body::Body as _;

use super::ended::{Account, Ended};
use super::leftover::Leftover;
use super::sending::{Pace, Sending, Sent};
use super::ties::Ties;
use super::wire::Wire;
use crate::head::{Headers, Response};
use crate::http::body::Body;
use crate::http::one::date;
use crate::http::progress::Progress;
use crate::http::two::strand::Strand;
use crate::http::{hop, websocket};
use crate::outcome::{Cause, Outcome, Party, Phase as Stage};

/// What a request has said of itself that its answer has to respect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// The answer has no body, whatever its head says.
    pub(super) head: bool,
    pub(super) expects_continue: bool,
}

/// One request on its way to its answer, and the answer on its way to its stream. Dropping it resets the stream.
#[derive(Debug)]
pub(super) struct Answering<F> {
    asked: Asked,
    ties: Ties,
    progress: Arc<Progress>,
    phase: Phase<F>,
    leftover: Leftover,
    pace: Pace,
    /// The client has been told to send the body.
    continued: bool,
    /// Of a body that is being sent.
    account: Option<Account>,
    /// The answer, from the moment that nothing more is added to it.
    ended: Option<Ended>,
}

enum Phase<F> {
    /// With the client's direction, if the stream may become a tunnel.
    Handling(Pin<Box<F>>, SendResponse<Bytes>, Option<RecvStream>),
    Sending(Box<Sending>),
    /// The answer has broken off, and what came before it goes out first: the h2 crate would throw it away.
    Broken(Box<Sending>, Reason),
    /// The same of a stream that was or was to be a tunnel.
    Breaking(SendStream<Bytes>, Reason),
    /// Gives its stream if that is to be reset.
    Tunnel(Pin<Box<dyn Future<Output = Option<Strand>> + Send>>),
    /// What is left of the request is thrown away.
    Sent,
}

impl<F> std::fmt::Debug for Phase<F> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Handling(..) => "Handling",
            Self::Sending(_) => "Sending",
            Self::Broken(..) => "Broken",
            Self::Breaking(..) => "Breaking",
            Self::Tunnel(_) => "Tunnel",
            Self::Sent => "Sent",
        })
    }
}

impl<F: Future<Output = Response<Body>>> Answering<F> {
    pub(super) fn new(
        asked: Asked,
        ties: Ties,
        (progress, handling): (Arc<Progress>, F),
        (respond, stream): (SendResponse<Bytes>, Option<RecvStream>),
        pace: Pace,
    ) -> Self {
        let phase = Phase::Handling(Box::pin(handling), respond, stream);
        Self {
            asked,
            ties,
            progress,
            phase,
            leftover: Leftover::new(pace.patience),
            pace,
            continued: false,
            account: None,
            ended: None,
        }
    }

    /// Goes on; ready when the stream needs nothing more of us.
    pub(super) fn poll<S>(&mut self, context: &mut Context<'_>, wire: &Wire<S>) -> Poll<()> {
        loop {
            let next = match &mut self.phase {
                Phase::Handling(handling, respond, stream) => {
                    let handled = handling.as_mut().poll(context);
                    // What a client does not take is not made more: a target may send these without end.
                    let interim = if wire.is_blocked() { Vec::new() } else { self.progress.take_interim() };
                    for (status, headers) in interim {
                        let is_continue = status == StatusCode::CONTINUE;
                        if !is_continue || (self.asked.expects_continue && !self.continued) {
                            self.continued |= is_continue;
                            tell(respond, status, headers);
                        }
                    }
                    match handled {
                        Poll::Ready(response) => {
                            let stream = stream.take();
                            let open = |stream: Option<&SendStream<Bytes>>| match stream {
                                Some(stream) => self.account = Some(Account::open(stream, &self.progress, wire)),
                                None => self.progress.set_missed(),
                            };
                            begin(response, respond, stream, self.asked.head, &self.ties, self.pace, open)
                        }
                        Poll::Pending => {
                            if self.asked.expects_continue && !self.continued && self.ties.is_wanted() {
                                self.continued = true;
                                tell(respond, StatusCode::CONTINUE, Headers::new());
                            }
                            // Its request's line says that it has left.
                            return respond.poll_reset(context).map(|_reason| ());
                        }
                    }
                }
                Phase::Sending(sending) => {
                    self.leftover.poll(context, &self.ties);
                    let sent = match sending.poll(context, wire) {
                        Poll::Ready(sent) => sent,
                        Poll::Pending => return Poll::Pending,
                    };
                    let Phase::Sending(mut sending) = std::mem::replace(&mut self.phase, Phase::Sent) else {
                        return Poll::Ready(());
                    };
                    match sent {
                        Sent::All => {
                            self.ended = self.account.take().map(|account| Ended::whole(sending, account));
                            Phase::Sent
                        }
                        Sent::Broken(reason) => {
                            self.phase = Phase::Broken(sending, reason);
                            return Poll::Pending;
                        }
                        Sent::Gone => {
                            self.ended = self.account.take().map(|account| Ended::broken(sending, account));
                            return Poll::Ready(());
                        }
                        Sent::Stalled => {
                            sending.reset(Reason::CANCEL);
                            self.ended = self.account.take().map(|account| Ended::broken(sending, account));
                            return Poll::Ready(());
                        }
                    }
                }
                Phase::Broken(..) => {
                    if let Phase::Broken(mut sending, reason) = std::mem::replace(&mut self.phase, Phase::Sent) {
                        sending.reset(reason);
                        self.ended = self.account.take().map(|account| Ended::broken(sending, account));
                    }
                    return Poll::Ready(());
                }
                Phase::Breaking(stream, reason) => {
                    stream.send_reset(*reason);
                    return Poll::Ready(());
                }
                Phase::Tunnel(tunnel) => match ready!(tunnel.as_mut().poll(context)) {
                    // As a TCP connection would be (RFC 8441 section 5).
                    Some(strand) => {
                        self.phase = Phase::Breaking(strand.into_sender(), Reason::CANCEL);
                        return Poll::Pending;
                    }
                    None => return Poll::Ready(()),
                },
                // Only now: some clients take no notice of an answer whose stream is reset before they have sent all.
                Phase::Sent => return self.leftover.poll_to_end(context, &self.ties),
            };
            self.phase = next;
        }
    }

    /// Whether it is to be polled again when all that has been sent has left.
    pub(super) fn is_breaking(&self) -> bool {
        matches!(self.phase, Phase::Broken(..) | Phase::Breaking(..))
    }

    /// The answer, once nothing more is added to it.
    pub(super) fn take_ended(&mut self) -> Option<Ended> {
        self.ended.take()
    }

    /// It has panicked.
    pub(super) fn fail(&mut self) {
        let internal = Outcome::new(Stage::Serve, Party::Proxy, Cause::Internal);
        match &mut self.phase {
            Phase::Handling(_, respond, _) => respond.send_reset(Reason::INTERNAL_ERROR),
            Phase::Sending(sending) => sending.fail(internal),
            Phase::Broken(..) | Phase::Breaking(..) | Phase::Tunnel(_) | Phase::Sent => {}
        }
    }
}

impl<F> Answering<F> {
    /// Whether it has part of an answer's body that the client has not taken.
    pub(super) fn is_sending(&self) -> bool {
        match self.phase {
            Phase::Sending(_) | Phase::Broken(..) => true,
            Phase::Handling(..) | Phase::Breaking(..) | Phase::Tunnel(_) | Phase::Sent => false,
        }
    }

    pub(super) fn is_tunnel(&self) -> bool {
        match self.phase {
            Phase::Tunnel(_) => true,
            Phase::Handling(..) | Phase::Sending(_) | Phase::Broken(..) | Phase::Breaking(..) | Phase::Sent => false,
        }
    }

    /// It is dropped: notes what has not reached the client, and will not.
    pub(super) fn cut<S>(&mut self, wire: &Wire<S>) {
        if let Some(ended) = self.ended.take() {
            ended.end(wire);
        }
        if let Some(account) = self.account.take() {
            account.settle(wire);
        }
    }
}

/// Sends the head, and with it all of an answer that has no body. `open` is told of the stream that takes a body, or that
/// there is none since the client is gone.
fn begin<F>(
    response: Response<Body>,
    respond: &mut SendResponse<Bytes>,
    stream: Option<RecvStream>,
    head_only: bool,
    ties: &Ties,
    pace: Pace,
    open: impl FnOnce(Option<&SendStream<Bytes>>),
) -> Phase<F> {
    let opened = websocket::is_opened(&response);
    let (parts, body) = response.into_parts();
    let (status, mut headers) = (parts.status, parts.headers);
    // What an operator adds may not be sent either (RFC 9113 section 8.2.2).
    hop::remove(&mut headers);
    if !headers.contains_key(DATE)
        && let Some(date) = date::now()
    {
        headers.insert(DATE, date);
    }
    let without = head_only || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    let exact = body.size_hint().exact().filter(|length| *length > 0);
    if status == StatusCode::NO_CONTENT || opened {
        headers.remove(CONTENT_LENGTH);
    } else if let Some(length) = exact.filter(|_| !headers.contains_key(CONTENT_LENGTH)) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    let ended = !opened && (without || body.is_end_stream());
    let sent = respond.send_response(head_of(status, headers), ended);
    match &sent {
        Ok(_whole) if ended => {}
        Ok(sender) => open(Some(sender)),
        // Before the body is dropped, whose end is the request's.
        Err(_gone) => open(None),
    }
    match sent {
        Ok(sender) if opened => match (ties.take_tunnel(), stream) {
            (Some(tunnel), Some(receiver)) => Phase::Tunnel(Box::pin(tunnel.run(Strand::new(sender, receiver)))),
            (_, _) => Phase::Breaking(sender, Reason::INTERNAL_ERROR),
        },
        Ok(_ended) if ended => Phase::Sent,
        Ok(sender) => Phase::Sending(Box::new(Sending::new(body, sender, pace))),
        Err(error) => {
            tracing::debug!(%error, "an answer cannot be sent");
            respond.send_reset(Reason::INTERNAL_ERROR);
            Phase::Sent
        }
    }
}

/// Sends an answer that comes before the final one.
fn tell(respond: &mut SendResponse<Bytes>, status: StatusCode, headers: Headers) {
    if let Err(error) = respond.send_informational(head_of(status, headers)) {
        tracing::debug!(%error, "an interim answer cannot be sent");
    }
}

/// A head as the library takes it.
fn head_of(status: StatusCode, headers: Headers) -> http::Response<()> {
    let mut head = http::Response::new(());
    *head.status_mut() = status;
    *head.headers_mut() = headers.into();
    head
}
