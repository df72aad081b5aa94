use http::Uri;
use http::uri::PathAndQuery;

use super::exchange::Exchange;
use crate::name::{HostName, Placeholder};

/// What TLS with the client has come to, for placeholders.
#[derive(Clone, Copy, Debug, Default)]
pub struct TlsNames<'a> {
    /// `1.2` or `1.3`; `None` on a plain connection.
    pub version: Option<&'static str>,
    /// The server name that the client asked for.
    pub sni: Option<&'a HostName>,
}

impl Exchange {
    /// Writes what a placeholder stands for, or nothing if that is not known of this request.
    pub fn write(&self, placeholder: Placeholder, tls: TlsNames<'_>, out: &mut String) {
        match placeholder {
            Placeholder::ClientIp => {
                let client = self.connection().client();
                if !client.is_unknown() {
                    out.push_str(&client.ip().to_string());
                }
            }
            Placeholder::Host => out.push_str(self.host().as_str().unwrap_or_default()),
            Placeholder::RequestId => out.push_str(self.id().as_str()),
            Placeholder::Route => out.push_str(self.route_name()),
            Placeholder::TlsVersion => out.push_str(tls.version.unwrap_or_default()),
            Placeholder::Sni => out.push_str(tls.sni.map(HostName::as_str).unwrap_or_default()),
            Placeholder::User => out.push_str(self.user().unwrap_or_default()),
            Placeholder::Path => push_path(out, self.uri().map_or("/", Uri::path)),
            Placeholder::PathAndQuery => {
                push_path(out, self.uri().and_then(Uri::path_and_query).map_or("/", PathAndQuery::as_str));
            }
            Placeholder::Status => {
                if let Some(status) = self.status() {
                    out.push_str(status.as_str());
                }
            }
        }
    }
}

/// A text that begins with two slashes (or with `/\`, which browsers take for the same) names a host where it is taken for a
/// location: a request's path must not choose it (CWE-601).
fn push_path(out: &mut String, path: &str) {
    // `OPTIONS *` asks for no path in particular.
    let path = if path == "*" { "/" } else { path };
    if out.is_empty() {
        out.push('/');
        out.push_str(path.trim_start_matches(['/', '\\']));
    } else {
        if !path.starts_with('/') {
            out.push('/');
        }
        out.push_str(path);
    }
}
