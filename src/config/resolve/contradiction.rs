use http::Method;

use super::route::mode_name;
use crate::config::file::{HeadersSection, MatchSection, RouteTable, TlsSection, listed, or_empty};
use crate::config::place::Place;
use crate::config::report::Report;
use crate::config::value::{Key, ProtocolWord, TlsMode, UpstreamWord};

/// What kind of route it is; a part that has a fault of its own is not known.
pub(super) struct Shape {
    pub(super) tls: TlsShape,
    pub(super) protocol: Option<ProtocolWord>,
}

/// What a route does with TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsShape {
    Plain,
    Mode(TlsMode),
    Unknown,
}

impl Shape {
    pub(super) fn of(table: &RouteTable) -> Self {
        let tls = match &table.tls {
            Key::Absent => TlsShape::Plain,
            Key::Faulty(_) => TlsShape::Unknown,
            Key::Given(_, section) => {
                section.value.mode.value().map_or(TlsShape::Unknown, |mode| TlsShape::Mode(*mode))
            }
        };
        let protocol = match &table.protocol {
            Key::Faulty(_) => None,
            Key::Absent | Key::Given(..) => Some(table.protocol()),
        };
        Self { tls, protocol }
    }
}

/// Keys with the places where they are written.
type Written<'a> = &'a [(&'a str, Option<Place>)];

/// Reports keys that contradict what kind of route it is.
pub(super) fn check(table: &RouteTable, wanted: &MatchSection, shape: &Shape, report: &mut Report) {
    let tls = or_empty::<TlsSection>(&table.tls);
    let headers = or_empty::<HeadersSection>(&table.headers);
    let http_keys = [
        ("match.path", wanted.path.written()),
        ("match.methods", wanted.methods.written()),
        ("match.headers", wanted.headers.written()),
        ("redirect", table.redirect.written()),
        ("respond", table.respond.written()),
        ("rewrite", table.rewrite.written()),
        ("headers", table.headers.written()),
        ("via", table.via.written()),
        ("show_cause", table.show_cause.written()),
        ("error_pages", table.error_pages.written()),
        ("hsts", table.hsts.written()),
        ("trusted_proxies", table.trusted_proxies.written()),
        ("preserve_host", table.preserve_host.written()),
        ("upstream_protocol", table.upstream_protocol.written()),
    ];
    if shape.tls == TlsShape::Mode(TlsMode::Passthrough) {
        let reason = "cannot be used with tls.mode = \"passthrough\": TLS is relayed unread";
        refuse(&http_keys, reason, report);
        let terminating = [
            ("tls.certificate", tls.certificate.written()),
            ("tls.min_version", tls.min_version.written()),
            ("tls.client_auth", tls.client_auth.written()),
        ];
        refuse(&terminating, reason, report);
        if table.protocol.value() == Some(&ProtocolWord::Http) {
            refuse(&[("protocol", table.protocol.written())], reason, report);
        }
    } else if shape.protocol == Some(ProtocolWord::Tcp) {
        refuse(&http_keys, "needs protocol = \"http\": with \"tcp\" bytes are relayed untouched", report);
    }
    if shape.tls == TlsShape::Plain {
        let on_hello = [("match.tls_versions", wanted.tls_versions.written()), ("match.alpn", wanted.alpn.written())];
        refuse(&on_hello, "needs `tls.mode`: without TLS there is none to see", report);
        if shape.protocol == Some(ProtocolWord::Tcp) {
            let reason = "needs `tls.mode` or protocol = \"http\": plain bytes name no host";
            refuse(&[("match.domains", wanted.domains.written())], reason, report);
        }
    }
    if let TlsShape::Mode(mode @ (TlsMode::Passthrough | TlsMode::Terminate)) = shape.tls {
        let reason = format!("needs tls.mode = \"terminate-and-reencrypt\", not \"{}\"", mode_name(mode));
        refuse(&[("tls.upstream", tls.upstream.written())], &reason, report);
    }
    target_protocol(table, shape, report);
    tunnels(table, wanted, report);
    answers(table, headers, shape, report);
}

/// HTTP/2 is agreed on inside TLS, or is known to be spoken without it (RFC 9113 section 3).
fn target_protocol(table: &RouteTable, shape: &Shape, report: &mut Report) {
    let (Some(word), Some(place)) = (table.upstream_protocol.value(), table.upstream_protocol.written()) else {
        return;
    };
    let encrypted = match shape.tls {
        TlsShape::Mode(TlsMode::TerminateAndReencrypt) => true,
        TlsShape::Plain | TlsShape::Mode(TlsMode::Terminate) => false,
        TlsShape::Mode(TlsMode::Passthrough) | TlsShape::Unknown => return,
    };
    let (name, instead) = match (word, encrypted) {
        (UpstreamWord::Http1, _) | (UpstreamWord::Http2 | UpstreamWord::Auto, true) | (UpstreamWord::H2c, false) => {
            return;
        }
        (UpstreamWord::H2c, true) => {
            let message = "upstream_protocol = \"h2c\" cannot be used with tls.mode = \"terminate-and-reencrypt\"";
            report.fault_with_help(place, message, "h2c is HTTP/2 without TLS; inside TLS it is \"h2\"");
            return;
        }
        (UpstreamWord::Http2, false) => ("h2", "without TLS to the target it is \"h2c\""),
        (UpstreamWord::Auto, false) => ("auto", "without TLS to the target write \"h2c\" or \"http1\""),
    };
    let message = format!("upstream_protocol = \"{name}\" needs tls.mode = \"terminate-and-reencrypt\"");
    report.fault_with_help(place, message, instead);
}

/// A tunnel takes a target's whole connection, and is asked for by naming where it leads, without a path (RFC 9110 section
/// 9.3.6).
fn tunnels(table: &RouteTable, wanted: &MatchSection, report: &mut Report) {
    let Some(connect) = listed(&wanted.methods).iter().find(|method| method.value.0 == Method::CONNECT) else { return };
    if table.upstream_protocol.value().is_some_and(|word| *word != UpstreamWord::Http1) {
        let message = "CONNECT needs upstream_protocol = \"http1\": its tunnel is a target's whole connection";
        report.fault(connect.place, message);
    }
    if wanted.path.written().is_some() {
        report.fault_with_help(connect.place, "CONNECT names a host and no path", "give it a route without match.path");
    }
}

/// A route that answers by itself has no target that any of these could be about.
fn answers(table: &RouteTable, headers: &HeadersSection, shape: &Shape, report: &mut Report) {
    let answer = [("redirect", table.redirect.written()), ("respond", table.respond.written())];
    let Some((name, place)) = answer.into_iter().find_map(|(name, place)| Some((name, place?))) else {
        return;
    };
    if table.targets.written().is_some() {
        // That is a fault of its own: which of the two is meant is not known.
        return;
    }
    let forwarding = [
        ("load_balancing", table.load_balancing.written()),
        ("passive_health", table.passive_health.written()),
        ("send_proxy_protocol", table.send_proxy_protocol.written()),
        ("upstream_protocol", table.upstream_protocol.written()),
        ("preserve_host", table.preserve_host.written()),
        ("rewrite", table.rewrite.written()),
        ("via", table.via.written()),
        ("headers.request", headers.request.written()),
    ];
    let untouched = shape.tls == TlsShape::Mode(TlsMode::Passthrough) || shape.protocol == Some(ProtocolWord::Tcp);
    if !untouched {
        refuse(&forwarding, &format!("cannot be used with `{name}`: nothing is forwarded"), report);
    }
    if shape.tls == TlsShape::Mode(TlsMode::TerminateAndReencrypt) {
        let message = format!("`{name}` needs tls.mode = \"terminate\": there is no target to encrypt for");
        report.fault(place, message);
    }
}

fn refuse(keys: Written<'_>, reason: &str, report: &mut Report) {
    for (name, place) in keys {
        if let Some(place) = place {
            report.fault(*place, format!("`{name}` {reason}"));
        }
    }
}
