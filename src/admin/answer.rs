use std::convert::Infallible;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde::Serialize;

use super::certificates;
use super::connections;
use super::door::{May, PAGE, Visitor};
use super::history::{self, History};
use super::page;
use super::routes;
use super::status::{Drained, Reloaded, Status, shown_config};
use super::targets;
use super::trace;
use crate::server::{Control, Readiness, ReloadAnswer};

/// Which of the two ways in a request came by.
#[derive(Clone, Debug)]
pub enum Face {
    /// The Unix socket, whose file says who may: everything is answered.
    Socket,
    /// The HTTP address, which asks who has come.
    Page(Visitor),
}

/// What is answered; most of it is there as a whole, and some is written as it is read.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// The field that says what the one who asked may do: `read` or `change`.
const MAY: &str = "smartproxy-may";

/// What is said to who may read only.
const NEEDS_TOKEN: &str = "over HTTP this needs a token: set [admin] token_file and reload, or use the admin socket\n";

/// Answers one request.
pub(super) async fn answer<B>(request: Request<B>, face: &Face, control: &Control, history: &History) -> Answer {
    let may = match face {
        Face::Socket => May::Change,
        Face::Page(visitor) => match visitor.admit(&request, &control.current().load().operators) {
            Ok(may) => may,
            Err(refusal) => return *refusal,
        },
    };
    let mut answer = answer_to(request, face, may, control, history).await;
    // So that the page offers what would be done.
    answer.headers_mut().insert(MAY, HeaderValue::from_static(may.as_str()));
    answer
}

async fn answer_to<B>(request: Request<B>, face: &Face, may: May, control: &Control, history: &History) -> Answer {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    match path {
        "/healthz" | "/readyz" | "/metrics" | "/status" | "/connections" | "/targets" if !reading => {
            not_allowed("GET, HEAD")
        }
        PAGE | "/routes" | "/certificates" | "/history" if !reading => not_allowed("GET, HEAD"),
        PAGE => page::show(),
        "/routes" => routes::show(control, query),
        "/certificates" => certificates::show(control, query),
        "/history" => history::show(history, control, query).await,
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" => match control.readiness() {
            Readiness::Ready => text(StatusCode::OK, "ready\n"),
            Readiness::Starting => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            Readiness::Draining => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        },
        "/metrics" => metrics(control),
        "/status" => json(StatusCode::OK, &Status::of(control)),
        "/connections" => connections::list(control, query).await,
        "/targets" => targets::targets(control, query),
        "/trace" if matches!(face, Face::Socket) && !reading => not_allowed("GET"),
        "/trace" if matches!(face, Face::Socket) => trace::watch(control, query),
        _ => change(request.method(), path, request.uri().query(), may, control).await,
    }
}

/// What changes something: for those who may.
async fn change(method: &Method, path: &str, query: Option<&str>, may: May, control: &Control) -> Answer {
    let killed = path.strip_prefix("/connections/").and_then(|rest| rest.strip_suffix("/kill"));
    if !matches!(path, "/reload" | "/drain" | "/connections/kill") && killed.is_none() {
        return text(StatusCode::NOT_FOUND, "not found\n");
    }
    if may == May::Read {
        return text(StatusCode::FORBIDDEN, NEEDS_TOKEN);
    }
    if *method != Method::POST {
        return not_allowed("POST");
    }
    match killed {
        None if path == "/drain" => drain(control, query).await,
        None if path == "/connections/kill" => connections::kill(control, query.unwrap_or_default()).await,
        None => reload(control).await,
        Some(id) => connections::kill_one(control, id),
    }
}

async fn reload(control: &Control) -> Answer {
    match control.reload().await {
        Some(ReloadAnswer::Reloaded { generation, warnings }) => {
            json(StatusCode::OK, &Reloaded { generation, config: shown_config(control), warnings })
        }
        Some(ReloadAnswer::Refused { faults }) => text(StatusCode::UNPROCESSABLE_ENTITY, faults),
        None => text(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping\n"),
    }
}

/// Stops the daemon as SIGTERM does; the answer comes at the end of that, or at once with `wait=no`.
async fn drain(control: &Control, query: Option<&str>) -> Answer {
    match query {
        None => match control.drain().await {
            Some(stopped) => json(StatusCode::OK, &Drained::from(stopped)),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "the daemon has ended\n"),
        },
        Some("wait=no") => {
            let live = control.registry().live();
            control.stop().await;
            json(StatusCode::ACCEPTED, &Draining { live })
        }
        Some(_) => text(StatusCode::BAD_REQUEST, "the query may be wait=no\n"),
    }
}

#[derive(Serialize)]
struct Draining {
    live: usize,
}

fn metrics(control: &Control) -> Answer {
    let mut answer = text(StatusCode::OK, control.metrics());
    // The Prometheus text exposition format, version 0.0.4.
    let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, format);
    answer
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("use {methods}\n"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    whole(status, HeaderValue::from_static("text/plain; charset=utf-8"), body.into())
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => whole(status, HeaderValue::from_static("application/json"), body.into()),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// Lines that are written as they come.
pub(super) fn lines_of(body: impl Body<Data = Bytes, Error = Infallible> + Send + 'static) -> Answer {
    answer_of(StatusCode::OK, HeaderValue::from_static("text/plain; charset=utf-8"), body)
}

/// JSON that is written as it is read.
pub(super) fn json_of(body: impl Body<Data = Bytes, Error = Infallible> + Send + 'static) -> Answer {
    answer_of(StatusCode::OK, HeaderValue::from_static("application/json"), body)
}

pub(super) fn whole(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Answer {
    answer_of(status, content_type, Full::new(body))
}

fn answer_of(
    status: StatusCode,
    content_type: HeaderValue,
    body: impl Body<Data = Bytes, Error = Infallible> + Send + 'static,
) -> Answer {
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // No page of another site gets as much as its bytes (Fetch, "cross-origin resource policy check").
    answer.headers_mut().insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    answer
}
