use tokio::net::TcpStream;
use tokio::time::Instant;

use super::route::Route;
use crate::connection::{Connection, State, TlsLabel};
use crate::name::HostName;
use crate::net::Prefixed;
use crate::outcome::{Cause, Outcome, Party, Phase, with_causes};
use crate::telemetry::HandshakeSide;
use crate::tls::{Alert, ClientTls, accept, refuse};

/// Does the TLS handshake with a client, as the route that leads for its server name wants it.
///
/// # Errors
/// How the connection ends, if the handshake fails; the client has been sent the alert that says why.
pub async fn terminate(
    stream: Prefixed<TcpStream>,
    server_name: Option<&HostName>,
    route: &Route,
    connection: &Connection,
) -> Result<ClientTls<Prefixed<TcpStream>>, Outcome> {
    let Some(policy) = &route.tls else {
        // The table only leads to a route that terminates.
        return Err(Outcome::new(Phase::Handshake, Party::Proxy, Cause::NoCertificate));
    };
    connection.enter(State::Handshaking);
    let deadline = Instant::now() + route.handshake;
    let accepted = tokio::select! {
        biased;
        accepted = accept(stream, policy, server_name, deadline) => accepted,
        order = connection.leash().end() => return Err(super::tcp::ended(Phase::Handshake, order)),
    };
    match accepted {
        Ok(stream) => {
            let agreed = &stream.session().agreed;
            let (version, group) = (agreed.version.as_str(), agreed.key_exchange);
            route.meter.meters().handshake_done(HandshakeSide::Client, version, group, agreed.resumed);
            connection.set_tls(TlsLabel { version, group });
            Ok(stream)
        }
        Err(error) => {
            let outcome = error.outcome();
            connection.set_error(&with_causes(&error));
            route.meter.meters().handshake_failed(HandshakeSide::Client, outcome.cause);
            Err(outcome)
        }
    }
}

/// Tells a TLS client that nothing is served under its name, or without one, and closes.
pub async fn refuse_unknown_name(stream: Prefixed<TcpStream>, deadline: Instant) -> Outcome {
    refuse(stream, Alert::UnrecognizedName, deadline).await;
    Outcome::new(Phase::Route, Party::Proxy, Cause::NoRoute)
}
