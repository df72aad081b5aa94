use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, HOST, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};

use super::answer::{Answer, text};
use super::limits::Limits;
use super::places::Places;
use crate::generation::{OperatorTls, Operators};
use crate::name::HostName;
use crate::net::ListenAddress;
use crate::server::Control;

/// The HTTP address: what it asks of those who come.
#[derive(Debug, Default)]
pub(super) struct Door {
    /// Whether hosts other than this one reach it.
    pub(super) exposed: bool,
    /// TLS as it was at the start. A reload may change its files, but never leave it out: nothing falls to a weaker policy.
    pub(super) tls: Option<OperatorTls>,
    pub(super) limits: Limits,
    pub(super) places: Arc<Places>,
}

impl Door {
    /// The door of an address that is listened on, under the generation that runs.
    pub(super) fn new(address: ListenAddress, control: &Control) -> Self {
        let tls = control.current().load().operators.tls.clone();
        let exposed = !address.ip().is_loopback();
        if exposed && tls.is_none() {
            tracing::warn!(%address, "the admin token crosses the network unencrypted; set [admin] tls");
        }
        Self { exposed, tls, limits: Limits::default(), places: Arc::default() }
    }

    /// TLS for who comes now: that of the running generation, or else what it was at the start.
    pub(super) fn tls(&self, control: &Control) -> Option<OperatorTls> {
        let first = self.tls.as_ref()?;
        Some(control.current().load().operators.tls.as_ref().unwrap_or(first).clone())
    }
}

/// Who has come to it.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub(super) from: IpAddr,
    /// Whether TLS has asked for a certificate, and got a good one.
    pub(super) certified: bool,
    pub(super) door: Arc<Door>,
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    /// Look at everything.
    Read,
    /// Look at everything, end connections, reload, and stop the daemon.
    Change,
}

impl May {
    /// The word for it in an answer.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Change => "change",
        }
    }
}

/// Why a request is not answered.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// Too many have come.
    TooMany(Duration),
    /// Too many wrong tokens have come.
    TooManyTokens(Duration),
    /// `Host` is not a name of this host.
    Host,
    /// No token is there.
    NoToken,
    /// The token is another one.
    WrongToken,
    /// A reload has taken away what guarded an address that others reach.
    Unguarded,
    /// A page of another site has asked.
    OtherSite,
}

impl Visitor {
    /// What the visitor may do with this request, or the answer that it gets instead.
    pub(super) fn admit<B>(&self, request: &Request<B>, operators: &Operators) -> Result<May, Box<Answer>> {
        self.judge(request, operators, Instant::now()).map_err(|refusal| Box::new(refusal.answer()))
    }

    fn judge<B>(&self, request: &Request<B>, operators: &Operators, now: Instant) -> Result<May, Refusal> {
        let (path, headers) = (request.uri().path(), request.headers());
        if is_probe(path) {
            // Cheap, and a supervisor that gets no answer restarts us.
            return Ok(May::Read);
        }
        self.door.limits.request(self.from, now).map_err(Refusal::TooMany)?;
        if path != METRICS && !is_ours(headers, operators) {
            // Else a page of any site could read this one under a name of its own that resolves here (DNS rebinding).
            return Err(Refusal::Host);
        }
        if self.door.exposed && !self.certified && operators.token.is_none() {
            return Err(Refusal::Unguarded);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) && is_from_another_site(headers) {
            return Err(Refusal::OtherSite);
        }
        let Some(token) = &operators.token else { return Ok(May::Read) };
        let Some(shown) = headers.get(AUTHORIZATION).and_then(bearer) else {
            // The page holds nothing yet: it asks for the token.
            let open = path == PAGE || path == METRICS && operators.public_metrics;
            return if open { Ok(May::Read) } else { Err(Refusal::NoToken) };
        };
        self.door.limits.may_show_token(self.from, now).map_err(Refusal::TooManyTokens)?;
        if token.is(shown) {
            return Ok(May::Change);
        }
        self.door.limits.wrong_token(self.from, now);
        tracing::info!(client = %self.from, "a wrong token was shown to the admin address");
        Err(Refusal::WrongToken)
    }
}

/// The page's own path.
pub(super) const PAGE: &str = "/";

const METRICS: &str = "/metrics";

/// What tells no more than that the daemon lives, and is answered to anybody under any name.
fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// The secret of `Bearer` (RFC 6750 section 2.1); another scheme shows none.
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, secret) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| secret.trim_ascii())
}

/// Whether the request names this host: by address, as `localhost`, or by a name of the certificate that is shown.
fn is_ours(headers: &HeaderMap, operators: &Operators) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let is_covered = |tls: &OperatorTls| HostName::parse(bare).is_ok_and(|name| tls.certificate.covers(&name));
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok()
        || operators.tls.as_ref().is_some_and(is_covered)
}

/// Whether a browser says that the request was made by a page that is not ours. Other programs say nothing of it.
fn is_from_another_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return true;
    }
    // `scheme://host:port`, or `null`, against what stands in Host.
    let Some(origin) = headers.get(ORIGIN).map(HeaderValue::as_bytes) else { return false };
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    let own = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    own.is_none() || own != host
}

impl Refusal {
    fn answer(&self) -> Answer {
        match self {
            Self::TooMany(wait) => later(wait, "too many requests\n"),
            Self::TooManyTokens(wait) => later(wait, "too many wrong tokens\n"),
            Self::Host => {
                text(StatusCode::MISDIRECTED_REQUEST, "the Host header is neither an IP address nor localhost\n")
            }
            Self::NoToken => challenge("Bearer realm=\"smartproxy\"", "this needs the token of [admin]\n"),
            Self::WrongToken => {
                challenge("Bearer realm=\"smartproxy\", error=\"invalid_token\"", "this is not the token of [admin]\n")
            }
            Self::Unguarded => text(
                StatusCode::FORBIDDEN,
                "other hosts reach this address, and [admin] has no token and asks for no certificate any more\n",
            ),
            Self::OtherSite => text(StatusCode::FORBIDDEN, "the request comes from the page of another site\n"),
        }
    }
}

fn later(wait: &Duration, why: &'static str) -> Answer {
    let mut answer = text(StatusCode::TOO_MANY_REQUESTS, why);
    // Whole seconds (RFC 9110 section 10.2.3); a fraction begun is one.
    let seconds = wait.as_secs().saturating_add(1);
    answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    answer
}

fn challenge(scheme: &'static str, why: &'static str) -> Answer {
    let mut answer = text(StatusCode::UNAUTHORIZED, why);
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::OperatorToken;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn visitor(exposed: bool) -> Visitor {
        let door = Arc::new(Door { exposed, ..Door::default() });
        Visitor { from: IpAddr::from([127, 0, 0, 1]), certified: false, door }
    }

    fn with_token(public_metrics: bool) -> Operators {
        Operators { token: Some(OperatorToken::new(SECRET)), public_metrics, tls: None }
    }

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header(HOST, "localhost:9900");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn only_an_address_or_localhost_is_a_host_of_the_page() {
        let with = |host: &str| {
            let request = Request::builder().header(HOST, host).body(()).unwrap();
            is_ours(request.headers(), &Operators::default())
        };
        for host in ["127.0.0.1:9900", "localhost", "LOCALHOST:1", "[::1]:9900", "[::1]", "10.0.0.1"] {
            assert!(with(host), "{host}");
        }
        for host in ["evil.example", "evil.example:9900", "localhost.evil.example", "", ":9900", "127.0.0.1.evil"] {
            assert!(!with(host), "{host}");
        }
        assert!(!is_ours(Request::new(()).headers(), &Operators::default()));
    }

    #[test]
    fn without_a_token_who_reaches_it_reads_and_none_changes_anything() {
        let (visitor, operators) = (visitor(false), Operators::default());
        let judge = |request: Request<()>| visitor.judge(&request, &operators, Instant::now());
        assert_eq!(judge(request("GET", "/connections", &[])), Ok(May::Read));
        let with_token = format!("Bearer {SECRET}");
        assert_eq!(judge(request("POST", "/reload", &[("authorization", &with_token)])), Ok(May::Read));
        assert_eq!(judge(request("GET", "/", &[("host", "evil.example")])), Err(Refusal::Host));
    }

    #[test]
    fn with_a_token_all_but_the_probes_and_the_empty_page_asks_for_it() {
        let (visitor, operators) = (visitor(false), with_token(false));
        let now = Instant::now();
        for path in ["/healthz", "/readyz", "/"] {
            assert_eq!(visitor.judge(&request("GET", path, &[]), &operators, now), Ok(May::Read), "{path}");
        }
        for path in ["/metrics", "/status", "/connections", "/routes", "/history", "/nothing", "/reload"] {
            assert_eq!(visitor.judge(&request("GET", path, &[]), &operators, now), Err(Refusal::NoToken), "{path}");
        }
        assert_eq!(visitor.judge(&request("GET", "/metrics", &[]), &with_token(true), now), Ok(May::Read));
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let right = format!("{scheme} {SECRET}");
            let post = request("POST", "/reload", &[("authorization", &right)]);
            assert_eq!(visitor.judge(&post, &operators, now), Ok(May::Change));
        }
        // A cookie or another scheme is no token.
        let basic = format!("Basic {SECRET}");
        let cookie = format!("token={SECRET}");
        for other in [("authorization", basic.as_str()), ("cookie", &cookie)] {
            assert_eq!(visitor.judge(&request("POST", "/reload", &[other]), &operators, now), Err(Refusal::NoToken));
        }
    }

    #[test]
    fn wrong_tokens_are_refused_and_then_not_even_looked_at() {
        let (visitor, operators) = (visitor(false), with_token(false));
        let now = Instant::now();
        let showing = |secret: &str| request("GET", "/status", &[("authorization", &format!("Bearer {secret}"))]);
        for _ in 0..10 {
            assert_eq!(visitor.judge(&showing("x"), &operators, now), Err(Refusal::WrongToken));
        }
        let refused = visitor.judge(&showing(SECRET), &operators, now).unwrap_err();
        assert_eq!(refused, Refusal::TooManyTokens(Duration::from_secs(3)));
        let answer = refused.answer();
        assert_eq!((answer.status().as_u16(), answer.headers().get(RETRY_AFTER).unwrap().as_bytes()), (429, &b"4"[..]));
        let later = now + Duration::from_secs(4);
        assert_eq!(visitor.judge(&showing(SECRET), &operators, later), Ok(May::Change));
    }

    #[test]
    fn an_address_that_others_reach_answers_nobody_when_a_reload_takes_its_token_away() {
        let (visitor, none) = (visitor(true), Operators::default());
        let now = Instant::now();
        for path in ["/", "/metrics", "/status"] {
            assert_eq!(visitor.judge(&request("GET", path, &[]), &none, now), Err(Refusal::Unguarded));
        }
        assert_eq!(visitor.judge(&request("GET", "/healthz", &[]), &none, now), Ok(May::Read));
        let certified = Visitor { certified: true, ..visitor };
        assert_eq!(certified.judge(&request("GET", "/status", &[]), &none, now), Ok(May::Read));
    }

    #[test]
    fn a_page_of_another_site_changes_nothing_whatever_it_shows() {
        let (visitor, operators) = (visitor(false), with_token(false));
        let right = format!("Bearer {SECRET}");
        let post = |headers: &[(&str, &str)]| {
            let headers = [headers, &[("authorization", right.as_str())]].concat();
            visitor.judge(&request("POST", "/reload", &headers), &operators, Instant::now())
        };
        for own in [
            &[][..],
            &[("origin", "http://localhost:9900"), ("sec-fetch-site", "same-origin")],
            &[("origin", "https://localhost:9900")],
            &[("sec-fetch-site", "none")],
        ] {
            assert_eq!(post(own), Ok(May::Change), "{own:?}");
        }
        for other in [
            &[("origin", "http://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "http://localhost:9901")],
            &[("origin", "http://localhost:9900"), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
        ] {
            assert_eq!(post(other), Err(Refusal::OtherSite), "{other:?}");
        }
    }
}
