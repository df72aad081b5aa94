use super::contradiction::{Shape, TlsShape};
use super::{Context, action, headers, tls};
use crate::config::file::{BasicAuthSection, ForwardAuthSection, OrOff, RouteTable, SecuritySection, listed, or_empty};
use crate::config::place::Place;
use crate::config::report::Report;
use crate::config::resolved::{Action, BasicAuth, ForwardAuth, HeaderEdits, HeaderRules, Security};
use crate::config::value::{Key, ProtocolWord, TlsMode};
use crate::name::Placeholder;

/// Who has to show a password.
pub(super) fn basic(key: &Key<OrOff<BasicAuthSection>>, context: &Context<'_>) -> Option<BasicAuth> {
    match key.value()? {
        OrOff::Off => None,
        OrOff::On(section) => {
            Some(BasicAuth { file: context.path(section.file.located()?), realm: section.realm().0.into() })
        }
    }
}

/// Whom to ask first.
pub(super) fn forward(
    key: &Key<OrOff<ForwardAuthSection>>,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<ForwardAuth> {
    let section = match key.value()? {
        OrOff::Off => return None,
        OrOff::On(section) => section,
    };
    let copy_headers = headers::copied(&section.copy_headers(), report);
    let tls = match &section.tls {
        Key::Absent => None,
        Key::Faulty(_) => return None,
        Key::Given(..) => Some(tls::upstream(&section.tls, context, report)?),
    };
    let targets = section.targets.located()?;
    action::check_targets(targets, "there is nobody to ask", report);
    let path = section.path.value()?.0.clone();
    Some(ForwardAuth { targets: listed(&section.targets).to_vec(), path, copy_headers, tls })
}

/// Reports what asks who a client is on a route that sees no request, be it the route's own or that of `[defaults]`: left
/// out in silence it would let everybody in.
pub(super) fn check(route: &RouteTable, shape: &Shape, context: &Context<'_>, report: &mut Report) {
    let own = or_empty::<SecuritySection>(&route.security);
    let base = or_empty::<SecuritySection>(&context.defaults.security);
    let untouched = shape.tls == TlsShape::Mode(TlsMode::Passthrough) || shape.protocol == Some(ProtocolWord::Tcp);
    if untouched {
        refuse("basic_auth", &own.basic_auth, &base.basic_auth, route, report);
        refuse("forward_auth", &own.forward_auth, &base.forward_auth, route, report);
    }
}

fn refuse<T>(name: &str, own: &Key<OrOff<T>>, base: &Key<OrOff<T>>, route: &RouteTable, report: &mut Report) {
    match (own, base) {
        (Key::Given(place, written), _) if matches!(written.value, OrOff::On(_)) => {
            let message = format!("`security.{name}` needs protocol = \"http\"");
            report.fault_with_help(
                *place,
                message,
                "it is asked of each request, and here bytes are relayed untouched",
            );
        }
        (Key::Absent, Key::Given(_, written)) if matches!(written.value, OrOff::On(_)) => {
            let place = route.name.located().map(|name| name.place).unwrap_or_default();
            let message =
                format!("`security.{name}` of [defaults] cannot hold on this route: bytes are relayed untouched");
            let help = format!("if everybody may come in here, write security.{name} = \"off\" on the route");
            report.fault_with_help(place, message, help);
        }
        (Key::Absent | Key::Faulty(_) | Key::Given(..), _) => {}
    }
}

/// Reports `{user}` where nobody has a name, or where a client could say it.
pub(super) fn check_user(
    route: &RouteTable,
    headers: &HeaderRules,
    action: Option<&Action>,
    security: &Security,
    report: &mut Report,
) {
    let place = |key: Option<Place>| key.unwrap_or_default();
    if headers.request.add.iter().any(|(_, value)| value.names(Placeholder::User)) {
        let help = "what the client itself sends under that name would stay: use `set`";
        report.fault_with_help(place(route.headers.written()), "`{user}` cannot be added to a request", help);
    }
    // A key that has a fault of its own may have meant one.
    if security.basic_auth.is_some()
        || matches!(or_empty::<SecuritySection>(&route.security).basic_auth, Key::Faulty(_))
    {
        return;
    }
    let edits =
        |edits: &HeaderEdits| edits.set.iter().chain(&edits.add).any(|(_, value)| value.names(Placeholder::User));
    let in_answer = match action {
        Some(Action::Respond(respond)) => {
            respond.body.names(Placeholder::User)
                || respond.headers.iter().any(|(_, value)| value.names(Placeholder::User))
        }
        Some(Action::Forward(_) | Action::Redirect(_)) | None => false,
    };
    for (written, place) in [
        (edits(&headers.request) || edits(&headers.response), place(route.headers.written())),
        (in_answer, place(route.respond.written())),
    ] {
        if written {
            let help = "without it no client has a name that was verified";
            report.fault_with_help(place, "`{user}` needs `security.basic_auth`", help);
        }
    }
}
