use std::net::IpAddr;
use std::str::FromStr;

use http::header::HOST;
use http::{HeaderName, HeaderValue, Request, Uri};

use super::arguments::MatchOptions;
use crate::name::HostName;

/// What `match` is asked about.
#[derive(Debug)]
pub(super) struct Question {
    /// The client's address.
    pub(super) from: IpAddr,
    /// Whether TLS is spoken; `None` is as the address's routes want it.
    pub(super) tls: Option<bool>,
    /// The name that a TLS client asks for; none if it knows an address only.
    pub(super) server_name: Option<HostName>,
    /// The port that the client comes to.
    pub(super) port: u16,
    /// The request, if it is about one.
    pub(super) request: Option<Request<()>>,
}

impl Question {
    /// Reads the command line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(options: &MatchOptions) -> Result<Self, String> {
        let text = &options.what;
        let uri = Uri::from_str(text).map_err(|error| format!("{text}: {error}"))?;
        let tls = match uri.scheme_str() {
            Some("http") => Some(false),
            Some("https") => Some(true),
            None => None,
            Some(other) => {
                return Err(format!("{text}: {other} is not a scheme of ours; use http, https, or HOST:PORT"));
            }
        };
        let authority = uri.authority().ok_or_else(|| format!("{text}: neither a URL nor HOST:PORT"))?;
        let port = match (authority.port_u16(), tls) {
            (Some(port), _) => port,
            (None, Some(true)) => 443,
            (None, Some(false)) => 80,
            (None, None) => return Err(format!("{text}: the port is missing, as in {text}:443")),
        };
        let request = match tls {
            Some(_) => Some(request(options, &uri, authority.as_str())?),
            None => None,
        };
        // An address is no host name: nobody asks for one by SNI (RFC 6066 section 3).
        Ok(Self { from: options.from, tls, server_name: HostName::parse(authority.host()).ok(), port, request })
    }
}

/// The request as an HTTP/1.1 client would send it; a `--header host:...` stands in place of the URL's host, as with curl.
fn request(options: &MatchOptions, uri: &Uri, authority: &str) -> Result<Request<()>, String> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(&*options.method).uri(path).body(());
    if let Ok(request) = &mut request {
        for header in &options.headers {
            let (name, value) = parse_header(header).ok_or_else(|| format!("{header}: write it as NAME:VALUE"))?;
            request.headers_mut().append(name, value);
        }
        if !request.headers().contains_key(HOST) {
            let host = HeaderValue::from_str(authority).map_err(|error| format!("{authority}: {error}"))?;
            request.headers_mut().insert(HOST, host);
        }
    }
    request.map_err(|error| format!("{} {path}: {error}", options.method))
}

fn parse_header(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}
