use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, HeaderValue, REFERER};
use http::{Method, StatusCode, Uri, Version};

use super::activity::Activity;
use super::errors::ErrorAnswers;
use super::forward::Scheme;
use super::forwarded::Introduction;
use super::host::Host;
use super::progress::Progress;
use super::request_id::RequestId;
use super::seat::Seat;
use crate::connection::{Connection, Gate};
use crate::head::Request;
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::telemetry::{LOGGED_FIELD_MAX, Line, NO_ROUTE, RouteMeter, StatusClass};
use crate::upstream::Target;

/// The life of one request: opened at its head, ended once by [`Exchange::close`] or by its drop.
///
/// It writes the request's line of the access log and counts the request for its route. It travels inside the response's
/// body, and so ends when that has been written or dropped.
// Boxed: it is handed through every step of a request's handling, and each would carry the room for it.
#[derive(Debug)]
pub struct Exchange {
    record: Box<Record>,
}

/// What is known of a request so far.
#[derive(Debug)]
struct Record {
    id: RequestId,
    activity: Arc<Activity>,
    progress: Arc<Progress>,
    /// What the request has come to itself, while another server is asked about it.
    aside: Option<Arc<Progress>>,
    opened: Instant,
    /// None if the head could not be read.
    head: Option<(Method, Uri)>,
    version: Version,
    host: Host,
    /// The one before it on its connection was for another host.
    first: bool,
    accept: Option<HeaderValue>,
    /// Values of the headers that the access log wants, in its order; empty if it wants none.
    logged: Box<[Option<HeaderValue>]>,
    /// How a failure is shown; `None` is in our own words.
    errors: Option<Arc<ErrorAnswers>>,
    route: Option<Arc<RouteMeter>>,
    /// Whose password the client has shown.
    user: Option<Box<str>>,
    target: Option<Arc<str>>,
    error: Option<Box<str>>,
    status: Option<StatusCode>,
    connect: Option<Duration>,
    first_byte: Option<Duration>,
    outcome: Option<Outcome>,
    /// What it holds while it may have a target's connection to itself.
    seat: Option<Seat>,
}

impl Exchange {
    pub(super) fn open<B>(activity: &Arc<Activity>, request: &Request<B>, host: Host, first: bool) -> Self {
        let head = Some((request.method().clone(), request.uri().clone()));
        let mut exchange = Self::begin(activity, head, request.version(), host);
        let wanted = &activity.registry().access_log().detail().headers;
        exchange.record.first = first;
        exchange.record.logged = wanted.iter().map(|name| request.headers().get(name).cloned()).collect();
        exchange.record.accept = request.headers().get(ACCEPT).cloned();
        exchange
    }

    /// One whose head could not be read, and which will be refused.
    pub(super) fn unread(activity: &Arc<Activity>) -> Self {
        Self::begin(activity, None, Version::HTTP_11, Host::none())
    }

    fn begin(activity: &Arc<Activity>, head: Option<(Method, Uri)>, version: Version, host: Host) -> Self {
        activity.opened();
        let record = Record {
            id: RequestId::random(),
            activity: Arc::clone(activity),
            progress: Arc::default(),
            aside: None,
            opened: Instant::now(),
            head,
            version,
            host,
            first: true,
            accept: None,
            logged: Box::default(),
            errors: None,
            route: None,
            user: None,
            target: None,
            error: None,
            status: None,
            connect: None,
            first_byte: None,
            outcome: None,
            seat: None,
        };
        Self { record: Box::new(record) }
    }

    /// The request's name.
    #[must_use]
    pub fn id(&self) -> &RequestId {
        &self.record.id
    }

    /// The client connection that it came on.
    #[must_use]
    pub fn connection(&self) -> &Arc<Connection> {
        self.record.activity.connection()
    }

    /// The host that it is for.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.record.host
    }

    /// Whether the request before it on its connection was for another host, or there was none.
    #[must_use]
    pub fn is_first_for_host(&self) -> bool {
        self.record.first
    }

    /// The protocol that it came by.
    #[must_use]
    pub fn version(&self) -> Version {
        self.record.version
    }

    /// Its method; `None` if its head could not be read.
    #[must_use]
    pub fn method(&self) -> Option<&Method> {
        self.record.head.as_ref().map(|(method, _)| method)
    }

    /// What it asks for, as the client sent it; `None` if its head could not be read.
    #[must_use]
    pub fn uri(&self) -> Option<&Uri> {
        self.record.head.as_ref().map(|(_, uri)| uri)
    }

    /// The name of its route, or `-`.
    #[must_use]
    pub fn route_name(&self) -> &str {
        self.record.route.as_ref().map_or(NO_ROUTE, |route| route.name())
    }

    /// The status that it is answered with, once that is known.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.record.status
    }

    /// Notes the route that takes it, for the request and, if it is its first, for the connection.
    pub fn set_route(&mut self, route: &Arc<RouteMeter>) {
        self.record.activity.connection().set_route(route);
        self.record.route = Some(Arc::clone(route));
    }

    /// Notes whose password the client has shown.
    pub fn set_user(&mut self, user: &str) {
        self.record.user = Some(user.into());
    }

    /// Whose password the client has shown, if it was asked for one.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.record.user.as_deref()
    }

    /// Notes how the client is to be shown a failure from here on.
    pub fn set_errors(&mut self, errors: &Arc<ErrorAnswers>) {
        self.record.errors = Some(Arc::clone(errors));
    }

    pub(super) fn errors(&self) -> Option<&Arc<ErrorAnswers>> {
        self.record.errors.as_ref()
    }

    /// What the client would have its answer written in.
    pub(super) fn accept(&self) -> Option<&HeaderValue> {
        self.record.accept.as_ref()
    }

    /// Notes the target that it goes to.
    pub fn set_target(&mut self, target: &Arc<str>) {
        self.record.target = Some(Arc::clone(target));
    }

    /// Notes how it has failed; the first failure counts. The line is written when the answer has been.
    pub fn fail(&self, outcome: Outcome) {
        self.record.progress.set_fault(outcome);
    }

    /// Ends it.
    pub fn close(mut self, outcome: Outcome) {
        self.record.outcome = Some(outcome);
    }

    pub(super) fn is_seated(&self) -> bool {
        self.record.seat.is_some()
    }

    /// Keeps a seat until it ends.
    pub(super) fn sit(&mut self, seat: Seat) {
        self.record.seat = Some(seat);
    }

    /// The places that are for streams.
    pub(super) fn streams(&self) -> &Arc<Gate> {
        self.record.activity.registry().streams()
    }

    pub(super) fn set_id(&mut self, id: RequestId) {
        self.record.id = id;
    }

    pub(super) fn set_status(&mut self, status: StatusCode) {
        self.record.status = Some(status);
    }

    /// Notes in words why it has failed, for the access log.
    pub fn set_error(&mut self, error: &str) {
        self.record.error = Some(error.into());
    }

    /// Notes how long it took until a new connection to the target stood.
    pub(super) fn set_connect(&mut self, duration: Duration) {
        self.record.connect = Some(duration);
    }

    /// Notes that the head of the target's answer has come, and counts how long that took.
    pub(super) fn set_first_byte(&mut self, target: &Target) {
        let after = self.record.opened.elapsed();
        self.record.first_byte = Some(after);
        self.record.route.as_ref().unwrap_or(self.record.activity.registry().unrouted()).answered(after);
        target.meter(self.record.activity.registry().meters()).answered(after);
    }

    /// Another server is asked about it from here on: what that comes to is nothing of its own.
    pub(super) fn begin_question(&mut self) {
        self.record.aside = Some(std::mem::take(&mut self.record.progress));
    }

    /// The other server has been asked.
    pub(super) fn end_question(&mut self) {
        if let Some(progress) = self.record.aside.take() {
            self.record.progress = progress;
        }
    }

    pub(super) fn is_in_question(&self) -> bool {
        self.record.aside.is_some()
    }

    /// The other server has nothing against it: who serves it is somebody else.
    pub(super) fn forget_target(&mut self) {
        self.record.target = None;
        self.record.connect = None;
    }

    /// What a target is told of the client, who speaks `scheme` with us.
    pub(super) fn introduction(&self, scheme: Scheme) -> Arc<Introduction> {
        let (connection, host) = (self.connection(), self.host());
        self.record.activity.introduction(host, || {
            let address = connection.client().ip();
            // As a PROXY header says that nobody knows it.
            let address = (!address.is_unspecified()).then(|| address.to_string());
            Introduction::new(address.as_deref(), scheme, host, connection.listener().port())
        })
    }

    pub(super) fn progress(&self) -> &Arc<Progress> {
        &self.record.progress
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.record.activity
    }

    /// What to say of a request whose answer was dropped before its end.
    fn dropped(&self) -> Outcome {
        if std::thread::panicking() {
            return Outcome::new(Phase::Serve, Party::Proxy, Cause::Internal);
        }
        let ending = self.record.activity.ending();
        ending.unwrap_or_else(|| Outcome::new(Phase::Serve, Party::Client, Cause::ClosedEarly))
    }

    fn describe(&self, line: &mut Line, outcome: Outcome, took: Duration) {
        line.field("request", self.record.id.as_str());
        line.number("connection", self.record.activity.connection().id().0);
        line.field("client", &self.record.activity.connection().client().to_string());
        line.field_if("peer", self.record.activity.connection().peer().map(|peer| peer.to_string()).as_deref());
        line.field("route", self.route_name());
        line.field_if("user", self.user());
        if let Some((method, uri)) = &self.record.head {
            line.field("method", method.as_str());
            line.field_if("host", self.record.host.as_str());
            let path = match (uri.path_and_query(), uri.authority()) {
                (Some(path), _) => path.as_str(),
                // That of `CONNECT` is a host with a port, and nothing more.
                (None, Some(authority)) if *method == Method::CONNECT => authority.as_str(),
                (None, _) => "/",
            };
            line.field("path", &self.record.activity.registry().access_log().detail().mask.apply(path));
        }
        line.field("protocol", protocol(self.record.version));
        if let Some(status) = self.sent_status() {
            line.number("status", u64::from(status.as_u16()));
        }
        line.field_if("target", self.record.target.as_deref());
        line.field("phase", outcome.phase.as_str());
        line.field("party", outcome.party.as_str());
        line.field("cause", outcome.cause.as_str());
        line.field_if("error", self.record.error.as_deref());
        line.number("bytes_in", self.record.progress.bytes_in());
        line.number("bytes_out", self.record.progress.bytes_out().saturating_sub(self.record.progress.unsent()));
        line.seconds("duration_seconds", took);
        if let Some(connect) = self.record.connect {
            line.seconds("connect_seconds", connect);
        }
        if let Some(first_byte) = self.record.first_byte {
            line.seconds("first_byte_seconds", first_byte);
        }
        self.describe_headers(line);
    }

    fn sent_status(&self) -> Option<StatusCode> {
        self.record.status.filter(|_| !self.record.progress.missed())
    }

    fn describe_headers(&self, line: &mut Line) {
        let detail = self.record.activity.registry().access_log().detail();
        for (name, value) in detail.headers.iter().zip(&self.record.logged) {
            let Some(value) = value else { continue };
            let bytes = value.as_bytes();
            let text = String::from_utf8_lossy(bytes.get(..LOGGED_FIELD_MAX).unwrap_or(bytes));
            let key = format!("header_{}", name.as_str().replace('-', "_"));
            // A referer is a URI of somebody's, with secrets of its own.
            if *name == REFERER { line.field(&key, &detail.mask.apply(&text)) } else { line.field(&key, &text) }
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // An answer that was made whole, and did not reach the client, is not finished.
        let whole = self.record.outcome.filter(|_| self.record.progress.unsent() == 0);
        let ended = if std::thread::panicking() { None } else { self.record.progress.fault().or(whole) };
        let outcome = ended.unwrap_or_else(|| self.dropped());
        let class = self.sent_status().map_or(StatusClass::Unanswered, |status| StatusClass::of(status.as_u16()));
        let took = self.record.opened.elapsed();
        self.record.route.as_ref().unwrap_or(self.record.activity.registry().unrouted()).request(class, took);
        if outcome.cause.is_failure() {
            self.record.activity.connection().set_failure(outcome);
        }
        self.record.activity.registry().access_log().write("request", |line| self.describe(line, outcome, took));
        self.record
            .activity
            .connection()
            .trace(Some(self.route_name()), "request", |line| self.describe(line, outcome, took));
        self.record.activity.closed(outcome);
    }
}

fn protocol(version: Version) -> &'static str {
    if version == Version::HTTP_2 {
        "h2"
    } else if version == Version::HTTP_10 {
        "http/1.0"
    } else {
        "http/1.1"
    }
}
