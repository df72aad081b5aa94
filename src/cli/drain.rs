use http::{Method, StatusCode};

use super::arguments::DrainOptions;
use super::client::{ask, understood, unexpected};
use super::exit::ExitStatus;
use super::output::print;
use super::quantity::count;
use super::socket::Errand;
use crate::admin::Drained;

/// Stops the daemon as SIGTERM does, and says how it ended.
pub(super) fn drain(options: &DrainOptions) -> ExitStatus {
    let path = if options.no_wait { "/drain?wait=no" } else { "/drain" };
    match ask(&options.daemon, Errand::Drain, Method::POST, path) {
        Ok((StatusCode::ACCEPTED, body)) if options.daemon.json => print(&format!("{body}\n")),
        Ok((StatusCode::ACCEPTED, _)) => print("the daemon drains\n"),
        Ok((StatusCode::OK, body)) => match understood::<Drained>(&body) {
            Ok(drained) => {
                let text = if options.daemon.json { format!("{body}\n") } else { describe(&drained) };
                let printed = print(&text);
                if printed == ExitStatus::Ok && drained.cut > 0 { ExitStatus::No } else { printed }
            }
            Err(status) => status,
        },
        Ok((status, body)) => unexpected(status, &body),
        Err(status) => status,
    }
}

fn describe(drained: &Drained) -> String {
    match (drained.live, drained.cut, &drained.why) {
        (0, 0, _) => "stopped: there was no connection\n".into(),
        (live, 0, _) => format!("stopped: {}, and all ended by themselves\n", count(live, "connection")),
        (live, cut, why) => {
            let why = why.as_deref().unwrap_or("the daemon does not say why");
            format!("stopped: {cut} of {} cut: {why}\n", count(live, "connection"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_told_how_it_ended() {
        let told = |live, cut, why: Option<&str>| describe(&Drained { live, cut, why: why.map(Into::into) });
        assert_eq!(told(0, 0, None), "stopped: there was no connection\n");
        assert_eq!(told(1, 0, None), "stopped: 1 connection, and all ended by themselves\n");
        assert_eq!(told(3, 2, Some("SIGINT")), "stopped: 2 of 3 connections cut: SIGINT\n");
    }
}
