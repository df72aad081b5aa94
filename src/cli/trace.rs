use std::io::{self, Write};
use std::ops::ControlFlow;

use http::StatusCode;

use super::arguments::TraceOptions;
use super::client::follow;
use super::connections::{percent_encoded, refused};
use super::exit::{ExitStatus, fail};
use super::output::complain;
use super::socket::Errand;

/// Shows what connections go through, as it happens.
pub(super) fn trace(options: &TraceOptions) -> ExitStatus {
    let TraceOptions { daemon, client, route, connection, time } = options;
    let format = if daemon.json { "json" } else { "text" };
    let mut query = vec![format!("seconds={}", time.time.as_secs_f64()), format!("format={format}")];
    query.extend(client.map(|client| format!("client={}", percent_encoded(&client.to_string()))));
    query.extend(route.as_ref().map(|route| format!("route={}", percent_encoded(route))));
    query.extend(connection.map(|connection| format!("connection={connection}")));
    let path = format!("/trace?{}", query.join("&"));
    let begun = || complain(format!("watching for {}; Ctrl-C ends it", time.text));
    match follow(daemon, Errand::Trace, &path, begun, write) {
        Ok((StatusCode::OK, _)) => ExitStatus::Ok,
        Ok((StatusCode::TOO_MANY_REQUESTS, body)) => {
            complain(body.trim_end());
            ExitStatus::Unavailable
        }
        Ok((status, body)) => refused(status, &body, route.as_deref()),
        Err(status) => status,
    }
}

/// Writes a piece at once: somebody is watching.
fn write(piece: &[u8]) -> ControlFlow<ExitStatus> {
    let mut output = io::stdout();
    match output.write_all(piece).and_then(|()| output.flush()) {
        Ok(()) => ControlFlow::Continue(()),
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ControlFlow::Break(ExitStatus::Ok),
        Err(error) => ControlFlow::Break(fail(ExitStatus::System, &error)),
    }
}
