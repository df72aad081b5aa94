use tokio::net::TcpStream;

use super::route::Route;
use super::tcp::tcp;
use crate::connection::Connection;
use crate::net::Prefixed;
use crate::outcome::Outcome;

/// Relays TLS unread to a target: the ClientHello that was looked at is the first that the target gets.
///
/// When no target can be reached the client is closed without a TLS alert: the bytes are not ours to answer.
pub async fn passthrough(stream: Prefixed<TcpStream>, route: &Route, connection: &Connection) -> Outcome {
    connection.set_protocol("tls");
    tcp(stream, route, connection).await
}
