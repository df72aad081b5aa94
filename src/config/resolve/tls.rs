use super::Context;
use super::contradiction::{Shape, TlsShape};
use super::route::tls_version;
use crate::config::file::section::Sub;
use crate::config::file::{CertificateSpec, ClientAuthSection, RouteTable, TlsSection, UpstreamSection, or_empty};
use crate::config::report::Report;
use crate::config::resolved::{Certificate, ClientAuth, Tls, TlsServer, TlsUpstream};
use crate::config::value::{AuthMode, CertificateWord, Key, TlsMode};

/// What a route does with TLS.
pub(super) fn resolve(table: &RouteTable, shape: &Shape, context: &Context<'_>, report: &mut Report) -> Option<Tls> {
    let section = or_empty::<TlsSection>(&table.tls);
    // Both sides are resolved before either is asked for, so that the faults of both are shown.
    match shape.tls {
        TlsShape::Plain => Some(Tls::Plain),
        TlsShape::Unknown => None,
        TlsShape::Mode(TlsMode::Passthrough) => Some(Tls::Passthrough),
        TlsShape::Mode(TlsMode::Terminate) => server(section, context, report).map(Tls::Terminate),
        TlsShape::Mode(TlsMode::TerminateAndReencrypt) => {
            let server = server(section, context, report);
            let upstream = upstream(&section.upstream, context, report);
            Some(Tls::TerminateAndReencrypt(server?, upstream?))
        }
    }
}

fn server(section: &TlsSection, context: &Context<'_>, report: &mut Report) -> Option<TlsServer> {
    let client_auth = match &section.client_auth {
        Key::Absent => Some(ClientAuth::None),
        Key::Faulty(_) => None,
        Key::Given(_, auth) => client_auth(&auth.value, context, report),
    };
    let certificate = match &section.certificate {
        Key::Absent => {
            if !context.certificates {
                let place = section.mode.written().unwrap_or_default();
                let help = "add `tls.certificate` or a [[certificates]] section";
                report.fault_with_help(place, "there is no certificate to terminate TLS with", help);
            }
            Some(Certificate::FromCertificates)
        }
        Key::Faulty(_) => None,
        Key::Given(_, spec) => match &spec.value {
            CertificateSpec::Word(CertificateWord::SelfSigned) => Some(Certificate::SelfSigned),
            CertificateSpec::Files(table) => context.certificate(table).map(Certificate::Files),
        },
    };
    let min_version = tls_version(section.min_version());
    Some(TlsServer { certificate: certificate?, min_version, client_auth: client_auth? })
}

fn client_auth(section: &ClientAuthSection, context: &Context<'_>, report: &mut Report) -> Option<ClientAuth> {
    let mode = section.mode.located()?;
    let build: fn(_) -> ClientAuth = match mode.value {
        AuthMode::None => {
            if let Some(place) = section.ca.written() {
                report.fault(place, "`ca` cannot be used with mode = \"none\": no certificate is asked for");
            }
            return Some(ClientAuth::None);
        }
        AuthMode::Optional => ClientAuth::Optional,
        AuthMode::Required => ClientAuth::Required,
    };
    if section.ca.written().is_none() {
        report.fault(mode.place, "`ca` is missing: it says whose certificates are believed");
    }
    section.ca.located().map(|ca| build(context.path(ca)))
}

/// How TLS is spoken with a target; where nothing is written, in the usual way.
pub(super) fn upstream(
    written: &Key<Sub<UpstreamSection>>,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<TlsUpstream> {
    let upstream = match written {
        Key::Faulty(_) => return None,
        Key::Absent | Key::Given(..) => or_empty::<UpstreamSection>(written),
    };
    if !upstream.verify()
        && let Some(place) = upstream.ca.written()
    {
        report.fault(place, "`ca` cannot be used with verify = false: nothing is verified");
    }
    let client_certificate = match &upstream.client_certificate {
        Key::Absent => None,
        Key::Faulty(_) => return None,
        Key::Given(_, table) => Some(context.certificate(&table.value)?),
    };
    Some(TlsUpstream {
        verify: upstream.verify(),
        ca: upstream.ca.located().map(|ca| context.path(ca)),
        server_name: upstream.server_name.value().cloned(),
        client_certificate,
    })
}
