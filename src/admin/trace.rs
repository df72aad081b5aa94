use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep};

use super::answer::{Answer, json, lines_of, text};
use super::connections::lacking;
use super::query::pairs;
use super::wanted::{network, seconds};
use crate::server::Control;
use crate::telemetry::{Format, Trace, TraceFilter};

/// How long one may watch: nobody has to remember to stop.
pub const TRACE_TIME_MAX: Duration = Duration::from_secs(60 * 60);

/// How much is written at once.
const PIECE_LENGTH: usize = 64 * 1024;

/// What somebody wants to see, and for how long.
struct Wish {
    filter: TraceFilter,
    format: Format,
    time: Duration,
}

/// Tells what the connections that the query names go through, until its time is over.
pub(super) fn watch(control: &Control, query: &str) -> Answer {
    let Wish { filter, format, time } = match Wish::parse(query) {
        Ok(wish) => wish,
        Err(problem) => return text(StatusCode::BAD_REQUEST, problem + "\n"),
    };
    if let Some(unknown) = lacking(filter.route.as_deref(), control) {
        return json(StatusCode::BAD_REQUEST, &unknown);
    }
    match control.registry().tracers().watch(filter, format) {
        Ok(trace) => lines_of(Events { trace: Some(trace), over: Box::pin(sleep(time)) }),
        Err(refusal) => text(StatusCode::TOO_MANY_REQUESTS, format!("{refusal}\n")),
    }
}

impl Wish {
    fn parse(query: &str) -> Result<Self, String> {
        let mut wish = Self { filter: TraceFilter::default(), format: Format::Json, time: Duration::from_secs(30) };
        for (key, value) in pairs(query) {
            match key.as_str() {
                "client" => wish.filter.clients = Some(network(&value)?),
                "route" => wish.filter.route = Some(value.into()),
                "connection" => {
                    let number = value.parse().map_err(|_| "connection is a connection's number".to_owned())?;
                    wish.filter.connection = Some(number);
                }
                "seconds" => wish.time = seconds("seconds", &value)?,
                "format" if value == "json" => wish.format = Format::Json,
                "format" if value == "text" => wish.format = Format::Text,
                _ => {
                    return Err("the query may have client, route, connection, seconds, and format=json or text".into());
                }
            }
        }
        if wish.time > TRACE_TIME_MAX {
            return Err(format!("seconds may be {} at most", TRACE_TIME_MAX.as_secs()));
        }
        Ok(wish)
    }
}

/// The events as lines, the last of which says how many they were.
struct Events {
    /// None after the last one.
    trace: Option<Trace>,
    over: Pin<Box<Sleep>>,
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let Some(trace) = &mut this.trace else { return Poll::Ready(None) };
        let mut piece = Vec::new();
        let mut over = false;
        while piece.len() < PIECE_LENGTH
            && !over
            && let Poll::Ready(line) = trace.poll_line(context)
        {
            over = line.is_none();
            piece.extend_from_slice(&line.unwrap_or_default());
        }
        // Asked each time: where there is always something to tell, it ends all the same.
        if over || this.over.as_mut().poll(context).is_ready() {
            piece.extend_from_slice(&trace.end());
            this.trace = None;
        }
        if piece.is_empty() { Poll::Pending } else { Poll::Ready(Some(Ok(Frame::data(piece.into())))) }
    }

    fn is_end_stream(&self) -> bool {
        self.trace.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_understood_or_it_is_said_why_not() {
        let wish = Wish::parse("client=10.0.0.0%2F8&route=shop&connection=7&seconds=3600&format=text").unwrap();
        assert_eq!((wish.time, wish.format), (TRACE_TIME_MAX, Format::Text));
        assert_eq!((wish.filter.route.as_deref(), wish.filter.connection), (Some("shop"), Some(7)));
        assert!(wish.filter.clients.is_some());
        for query in ["client=x", "connection=x", "seconds=3600.1", "seconds=x", "format=xml", "state=relaying"] {
            assert!(Wish::parse(query).is_err(), "{query}");
        }
    }
}
