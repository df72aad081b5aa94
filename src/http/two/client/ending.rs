use super::wire::Standing;
use crate::connection::Connection;
use crate::http::activity::Activity;
use crate::outcome::{Cause, Outcome, Party, Phase};

/// How serving a connection has ended.
#[derive(Debug)]
pub(super) enum End {
    /// By the h2 crate: the connection is over.
    Done(Result<(), h2::Error>),
    /// By us: no request is in progress, and what remains is to close.
    Left(Outcome),
    /// By us, in the middle: a time is over, or the leash was pulled.
    Cut(Outcome),
}

/// What the end means. `leaving` is why the connection was being ended already.
pub(super) fn outcome(
    end: &End,
    activity: &Activity,
    connection: &Connection,
    leaving: Option<Outcome>,
    standing: Standing,
) -> Outcome {
    let outcome = match end {
        End::Left(outcome) | End::Cut(outcome) => *outcome,
        End::Done(result) => activity.fatal().unwrap_or_else(|| done(result, activity.live() > 0, leaving, standing)),
    };
    let polite = matches!(outcome.cause, Cause::Finished | Cause::KeepAliveTimeout | Cause::ClosedEarly);
    if polite && !activity.answered() { connection.failure().unwrap_or(outcome) } else { outcome }
}

/// What it means that the h2 crate is done. `busy`: a request was in progress.
fn done(result: &Result<(), h2::Error>, busy: bool, leaving: Option<Outcome>, standing: Standing) -> Outcome {
    if standing.lost {
        return serving(Party::Client, Cause::Reset);
    }
    match result {
        Ok(()) if busy => serving(Party::Client, Cause::ClosedEarly),
        Ok(()) if let Some(outcome) = leaving => outcome,
        // Told to leave before its first byte, the client has not left by itself, whatever is made of it.
        Err(_) if let (Some(outcome), false) = (leaving, standing.touched) => outcome,
        _ if !standing.touched => serving(Party::Client, Cause::Empty),
        Ok(()) if standing.ended => serving(Party::Client, Cause::Finished),
        Ok(()) => serving(Party::Proxy, Cause::Finished),
        Err(error) => {
            tracing::debug!(%error, "serving a client has ended");
            match (standing.ended, busy) {
                (true, false) => serving(Party::Client, Cause::Finished),
                (true, true) => serving(Party::Client, Cause::ClosedEarly),
                (false, _) => serving(Party::Client, Cause::ProtocolError),
            }
        }
    }
}

const fn serving(party: Party, cause: Cause) -> Outcome {
    Outcome::new(Phase::Serve, party, cause)
}
