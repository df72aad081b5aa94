use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::connection::{Connection, State};
use crate::handler::Site;
use crate::net::{ClientAddress, Prefixed};
use crate::outcome::{Cause, Outcome, Party, Phase};
use crate::route::Listening;
use crate::sniff::{Opening, ProxyHeader, read_opening, read_proxy_header};

/// Reads the PROXY header, if the listener has one, and as much as shows what the client speaks, under one deadline.
pub(super) async fn learn(
    site: &Site,
    stream: TcpStream,
    connection: &Connection,
) -> Result<(Opening, Prefixed<TcpStream>), Outcome> {
    let deadline = Instant::from_std(connection.opened()) + site.sniff;
    let stream = match &site.proxy_header {
        None => Prefixed::untouched(stream),
        Some(policy) if !policy.trusted.contains(connection.client().ip()) => {
            if policy.required {
                return Err(Outcome::new(Phase::ProxyHeader, Party::Client, Cause::ProxyHeaderUntrusted));
            }
            Prefixed::untouched(stream)
        }
        Some(policy) => {
            connection.enter(State::Sniffing);
            let (header, stream) = read_proxy_header(stream, deadline).await.map_err(|error| error.outcome())?;
            match header {
                Some(ProxyHeader::Proxied { source, destination }) => {
                    connection.set_client(source);
                    connection.set_destination(destination);
                }
                Some(ProxyHeader::Local) => {}
                Some(ProxyHeader::Unknown) => connection.set_client(ClientAddress::UNKNOWN),
                None if policy.required => {
                    return Err(Outcome::new(Phase::ProxyHeader, Party::Client, Cause::ProxyHeaderMissing));
                }
                None => {}
            }
            stream
        }
    };
    match site.table.opening() {
        Listening::AtAccept => Ok((Opening::Other, stream)),
        Listening::Sniff => {
            connection.enter(State::Sniffing);
            read_opening(stream, deadline).await.map_err(|error| error.outcome())
        }
    }
}
