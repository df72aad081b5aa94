use std::net::SocketAddr;

use super::Context;
use super::listen;
use super::route::Checked;
use crate::config::file::{AdminSection, AdminTlsSection};
use crate::config::place::Located;
use crate::config::report::Report;
use crate::config::resolved::{Admin, AdminSocket, AdminTls, AdminToken};
use crate::config::value::Key;

/// The longest path of a Unix socket: `sun_path` with its final NUL has 108 bytes (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// The operator's way in.
pub(super) fn admin(section: &AdminSection, routes: &[Checked], context: &Context<'_>, report: &mut Report) -> Admin {
    let written = section.listen().0.zip(section.listen.located());
    let listen = written.map(|(address, written)| Located::new(address, written.place));
    let token = token(section, context, report);
    let tls = match &section.tls {
        Key::Absent | Key::Faulty(_) => None,
        Key::Given(_, tls) => tls_of(&tls.value, context),
    };
    if let Some(listen) = &listen {
        listen::admin(listen, routes, context, report);
        if !is_guarded(section, token.is_some()) {
            unguarded(listen, report);
        }
    }
    Admin { socket: socket(section, context, report), listen, token, public_metrics: section.public_metrics(), tls }
}

fn socket(section: &AdminSection, context: &Context<'_>, report: &mut Report) -> AdminSocket {
    match &section.socket {
        Key::Absent | Key::Faulty(_) => AdminSocket::Default(section.socket().0.into()),
        Key::Given(_, socket) if socket.value.0.is_empty() => AdminSocket::Off,
        Key::Given(_, socket) => {
            let path = context.folder.join(&socket.value.0);
            if path.as_os_str().len() > SOCKET_PATH_MAX {
                let message = format!("the path of a socket has at most {SOCKET_PATH_MAX} bytes");
                report.fault_with_help(socket.place, message, format!("it stands for {}", path.display()));
            }
            AdminSocket::At(Located::new(path, socket.place))
        }
    }
}

fn token(section: &AdminSection, context: &Context<'_>, report: &mut Report) -> Option<AdminToken> {
    let written = section.token().0.map(AdminToken::Written);
    let path = section.token_file().0;
    let file = section.token_file.located().filter(|_| !path.is_empty());
    let file = file.map(|file| Located::new(context.folder.join(&path), file.place));
    if written.is_some()
        && let Some(file) = &file
    {
        report.fault_with_help(file.place, "`token_file` cannot be used beside `token`", "leave one of the two out");
    }
    written.or(file.map(AdminToken::File))
}

fn tls_of(section: &AdminTlsSection, context: &Context<'_>) -> Option<AdminTls> {
    let certificate = context.files(section.certificate.located()?, section.key.located()?);
    Some(AdminTls { certificate, client_ca: section.client_ca.located().map(|ca| context.path(ca)) })
}

/// Whether strangers who reach the address are asked for something. What was written and is a fault already counts: one
/// error is one fault.
fn is_guarded(section: &AdminSection, has_token: bool) -> bool {
    let faulty = matches!(section.token, Key::Faulty(_)) || matches!(section.token_file, Key::Faulty(_));
    let asks_certificates = match &section.tls {
        Key::Absent => false,
        Key::Faulty(_) => true,
        Key::Given(_, tls) => tls.value.client_ca.written().is_some(),
    };
    has_token || asks_certificates || faulty
}

/// Reports an address that others than this host reach, and that would tell anybody of the clients.
fn unguarded(listen: &Located<SocketAddr>, report: &mut Report) {
    if listen.value.ip().to_canonical().is_loopback() {
        return;
    }
    let message = format!("other hosts reach {}, and nothing would ask who they are", listen.value);
    let help = "add `token_file` (or `token`, or `tls` with `client_ca`), or listen on 127.0.0.1";
    report.fault_with_help(listen.place, message, help);
}
