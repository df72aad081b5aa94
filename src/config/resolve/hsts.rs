use std::time::Duration;

use super::contradiction::{Shape, TlsShape};
use crate::config::file::{DefaultsSection, HstsSection, RouteTable, or_empty};
use crate::config::report::Report;
use crate::config::resolved::Hsts;
use crate::config::value::{Key, ProtocolWord, TlsMode};

/// The shortest time that a name may be preloaded with (the rule of the list that browsers carry).
const PRELOAD_MIN: Duration = Duration::from_hours(365 * 24);

/// What `[defaults]` says is checked once, there.
pub(super) fn check_defaults(section: &DefaultsSection, report: &mut Report) {
    resolve(&section.hsts, report);
}

/// How long browsers are to come by TLS only; `None` is not told, or a fault.
pub(super) fn of_route(route: &RouteTable, shape: &Shape, base: &DefaultsSection, report: &mut Report) -> Option<Hsts> {
    let ends_tls = matches!(shape.tls, TlsShape::Mode(TlsMode::Terminate | TlsMode::TerminateAndReencrypt));
    let is_http = shape.protocol == Some(ProtocolWord::Http);
    match &route.hsts {
        // The default is for the routes that can have it.
        Key::Absent if ends_tls && is_http => resolve(&base.hsts, &mut Report::default()),
        Key::Absent | Key::Faulty(_) => None,
        Key::Given(place, _) if shape.tls == TlsShape::Plain => {
            let help =
                "browsers pass it over without TLS (RFC 6797 section 8.1): write it on the route that has `tls.mode`";
            report.fault_with_help(*place, "`hsts` needs a route that terminates TLS", help);
            None
        }
        Key::Given(..) => resolve(&route.hsts, report),
    }
}

fn resolve(key: &Key<crate::config::file::HstsSub>, report: &mut Report) -> Option<Hsts> {
    let place = key.located()?.place;
    let section = or_empty::<HstsSection>(key);
    let max_age = section.max_age.value()?.0.unwrap_or_default();
    let hsts = Hsts { max_age, include_subdomains: section.include_subdomains(), preload: section.preload() };
    if hsts.preload && (!hsts.include_subdomains || hsts.max_age < PRELOAD_MIN) {
        let help = "preloading takes include_subdomains = true and max_age = \"365d\"; it can hardly be taken back";
        report.fault_with_help(place, "`preload` asks for more than the other keys say", help);
    }
    Some(hsts)
}
