use std::sync::Arc;
use std::time::Duration;

use http::Version;
use tokio::time::timeout;

use super::activity::Activity;
use super::exchange::Exchange;
use super::forward::{Forwarding, TargetProtocol};
use super::send::Failed;
use crate::connection::Place;
use crate::outcome::{Cause, Outcome, Party, Phase};

/// The longest that a limit can be: of what no clock can say a day is as good.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a request of an HTTP/2 client holds while it may have a target's connection to itself.
///
/// A client's connection is counted with one connection to a target. Of its streams each could want one, so that a few
/// clients could take every descriptor of the process: all but the first wait for a place among those that are for streams.
#[derive(Debug)]
pub(super) enum Seat {
    /// The one of the client's own connection.
    Own(Arc<Activity>),
    /// One of those that all share.
    Shared {
        /// Given back when dropped.
        _place: Place,
    },
}

impl Drop for Seat {
    fn drop(&mut self) {
        match self {
            Self::Own(activity) => activity.leave_seat(),
            Self::Shared { .. } => {}
        }
    }
}

/// Gives the request a seat, if it needs one and has none. Gives whether it has to wait for one.
pub(super) fn sit(exchange: &mut Exchange, forwarding: &Forwarding<'_>) -> bool {
    let shares = forwarding.protocol == TargetProtocol::Http2;
    if exchange.version() != Version::HTTP_2 || shares || exchange.is_seated() {
        return false;
    }
    if exchange.activity().take_seat() {
        let own = Seat::Own(Arc::clone(exchange.activity()));
        exchange.sit(own);
        return false;
    }
    true
}

/// Waits for a seat.
///
/// # Errors
/// None became free within `timeouts.connect_total`.
///
/// # Cancel safety
/// A seat is taken only when it is the exchange's.
pub(super) async fn wait(exchange: &mut Exchange, forwarding: &Forwarding<'_>) -> Result<(), Failed> {
    let places = Arc::clone(exchange.streams());
    let patience = forwarding.plan.timeouts.connect_total.min(DAY);
    match timeout(patience, places.enter()).await {
        Ok(place) => {
            exchange.sit(Seat::Shared { _place: place });
            Ok(())
        }
        Err(_elapsed) => {
            exchange.set_error(
                "as many requests of HTTP/2 clients are at targets as there are descriptors for (LimitNOFILE=), and none has \
                 ended within timeouts.connect_total",
            );
            Err(Failed { outcome: Outcome::new(Phase::Connect, Party::Proxy, Cause::OutOfDescriptors) })
        }
    }
}
