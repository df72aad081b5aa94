use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Uri};

use super::arguments::MatchOptions;
use crate::head::Request;
use crate::name::HostName;
use crate::sniff::ClientHello;

/// Where a client comes from of whom nothing is said.
const FROM_DEFAULT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What `match` is asked about.
#[derive(Debug)]
pub(super) struct Question {
    /// The client's address.
    pub(super) from: IpAddr,
    /// Whether that was not said.
    pub(super) from_is_assumed: bool,
    /// Whether TLS is spoken; `None` is as the address's routes want it.
    pub(super) tls: Option<bool>,
    /// The name that a TLS client asks for; none if it knows an address only.
    pub(super) server_name: Option<HostName>,
    /// What it has sent, if that is known.
    pub(super) hello: Option<ClientHello>,
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
    pub(super) fn parse(options: &MatchOptions, hello: Option<ClientHello>) -> Result<Self, String> {
        let text = &options.what;
        if let (Some(hello), Ok(port)) = (&hello, text.parse()) {
            let server_name = hello.server_name.clone();
            return Ok(Self {
                from: options.from.unwrap_or(FROM_DEFAULT),
                from_is_assumed: options.from.is_none(),
                tls: Some(true),
                server_name,
                hello: Some(hello.clone()),
                port,
                request: None,
            });
        }
        let uri = Uri::from_str(text).map_err(|error| format!("{text}: {error}"))?;
        let tls = match uri.scheme_str() {
            Some("http") => Some(false),
            Some("https") => Some(true),
            None => None,
            Some(other) => {
                return Err(format!("{text}: {other} is not a scheme of ours; use http, https, or HOST:PORT"));
            }
        };
        if tls == Some(false) && hello.is_some() {
            return Err(format!(
                "{text}: a client that sends a ClientHello speaks TLS; write https://, or the port alone"
            ));
        }
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
        let (tls, server_name) = match &hello {
            Some(hello) => (Some(true), hello.server_name.clone()),
            None => (tls, asked_for(authority)),
        };
        Ok(Self {
            from: options.from.unwrap_or(FROM_DEFAULT),
            from_is_assumed: options.from.is_none(),
            tls,
            server_name,
            hello,
            port,
            request,
        })
    }
}

/// The name that a client asks for which was given this one. An address is no host name: nobody asks for one by SNI (RFC 6066
/// section 3).
fn asked_for(authority: &Authority) -> Option<HostName> {
    HostName::parse(authority.host()).ok()
}

/// The request as an HTTP/1.1 client would send it; a `--header host:...` stands in place of the URL's host, as with curl.
fn request(options: &MatchOptions, uri: &Uri, authority: &str) -> Result<Request<()>, String> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let wrong = |error: http::Error| format!("{} {path}: {error}", options.method);
    let request = http::Request::builder().method(&*options.method).uri(path).body(()).map_err(wrong)?;
    let mut request = Request::from(request);
    for header in &options.headers {
        let (name, value) = parse_header(header).ok_or_else(|| format!("{header}: write it as NAME:VALUE"))?;
        request.headers_mut().append(name, value);
    }
    if !request.headers().contains_key(HOST) {
        let host = HeaderValue::from_str(authority).map_err(|error| format!("{authority}: {error}"))?;
        request.headers_mut().insert(HOST, host);
    }
    Ok(request)
}

fn parse_header(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}
