use http::StatusCode;

use super::policy::{HstsSub, LimitsSection, PassiveHealthSection, SecuritySection, TimeoutsSection};
use super::section::{Sub, section};
use super::tls::TlsSection;
use crate::config::resolved::Target;
use crate::config::value::{
    Algorithm, Alpn, FilePath, HeaderText, List, MethodName, Network, PortSpec, ProtocolWord, ProxyHeader, Pseudonym,
    RedirectStatus, Signed, Table, Text, UpstreamWord, Version, Whole,
};
use crate::name::{HostPattern, PathPattern, PathPrefix};

section! {
    /// `[[routes]]`.
    RouteTable {
        /// Unique; appears in logs and metrics.
        name: Text [required],
        /// Whether the route is used; it is checked either way.
        enabled: bool = true,
        /// Higher goes first; then the more specific; then the order of the file.
        priority: Signed = Signed(0),
        /// What the route takes.
        r#match: Sub<MatchSection>,
        /// http, or tcp for plain or decrypted bytes that are relayed untouched.
        protocol: ProtocolWord = ProtocolWord::Http,
        /// What is done with TLS; absent = no TLS.
        tls: Sub<TlsSection>,
        /// Where to forward to.
        targets: List<Target>,
        /// How a target is chosen.
        load_balancing: Sub<LoadBalancingSection>,
        /// The PROXY header that stands in front of each connection to a target; absent = none.
        send_proxy_protocol: ProxyHeader,
        /// Answers with a redirect, instead of targets.
        redirect: Sub<RedirectSection>,
        /// Answers with a fixed response, instead of targets.
        respond: Sub<RespondSection>,
        /// How the path of a forwarded request is changed: one of strip_prefix, replace_prefix and set.
        rewrite: Sub<RewriteSection>,
        /// Headers that are changed on the way.
        headers: Sub<HeadersSection>,
        /// What HTTP targets are spoken to in.
        upstream_protocol: UpstreamWord = UpstreamWord::Http1,
        /// Whose X-Forwarded-*, Forwarded and X-Request-Id are believed; absent = what [defaults] says.
        trusted_proxies: List<Network>,
        /// Our name in Via, of requests and responses; "" = no Via; absent = what [defaults] says.
        via: Pseudonym,
        /// Whether Host reaches the target as the client sent it.
        preserve_host: bool = true,
        /// Whether error answers name their cause; absent = what [defaults] says.
        show_cause: bool,
        /// Files that stand in the place of our own error answers, by status; others = those of [defaults].
        error_pages: Table<FilePath>,
        /// Strict-Transport-Security, on a route that terminates TLS; absent = what [defaults] says.
        hsts: HstsSub,
        /// Which clients are let in.
        security: Sub<SecuritySection>,
        /// Named limits.
        limits: Sub<LimitsSection>,
        /// Times without progress.
        timeouts: Sub<TimeoutsSection>,
        /// When a target that cannot be connected to is set aside.
        passive_health: Sub<PassiveHealthSection>,
    }
}

section! {
    /// `match` of a route.
    MatchSection {
        /// Where to listen: a port (every address, IPv6 and IPv4), an address with a port, or a range of ports.
        ports: List<PortSpec> [required],
        /// Host names, by SNI and by Host; *. stands for one label, **. for one or more; absent = any.
        domains: List<HostPattern>,
        /// Networks that the client comes from; absent = any.
        client_ips: List<Network>,
        /// TLS versions, one of which the client offers; absent = any.
        tls_versions: List<Version>,
        /// ALPN protocols, one of which the client offers; absent = any.
        alpn: List<Alpn>,
        /// The request's path: a prefix if it ends in a slash, otherwise exact; {id} is one segment, a final {*rest} the rest.
        path: PathPattern,
        /// The request's method; absent = any but CONNECT, which only a route that names it takes.
        methods: List<MethodName>,
        /// Headers that the request has, each with this value.
        headers: Table<HeaderText>,
    }
}

section! {
    /// `load_balancing`.
    LoadBalancingSection (short Algorithm::as_section) {
        /// round-robin, random, least-connections or ip-hash.
        algorithm: Algorithm = Algorithm::RoundRobin,
        /// What hash looks at (not built yet).
        key: Text,
    }
}

section! {
    /// `rewrite`.
    RewriteSection {
        /// Takes this beginning of the path away, and tells the target in X-Forwarded-Prefix.
        strip_prefix: PathPrefix,
        /// Puts another beginning in the place of this one.
        replace_prefix: Sub<ReplaceSection>,
        /// Takes this path instead, with {path}, {host} and {route}; the query stays.
        set: Text,
    }
}

section! {
    /// `replace_prefix`.
    ReplaceSection {
        /// The beginning that the request's path has.
        from: PathPrefix [required],
        /// The one that the target's path has.
        to: PathPrefix [required],
    }
}

section! {
    /// `redirect`.
    RedirectSection {
        /// The new location, with {host}, {path}, {path_and_query}, {route} and {request_id}.
        to: Text [required],
        /// 301, 302, 303, 307 or 308.
        status: RedirectStatus = RedirectStatus(StatusCode::PERMANENT_REDIRECT),
    }
}

section! {
    /// `respond`.
    RespondSection {
        /// 200 to 599.
        status: Whole<200, 599> = Whole(200),
        /// The body, with the placeholders of headers; braces around anything else are its own.
        body: Text = Text(String::new()),
        /// Headers of the response.
        headers: Table<HeaderText> = Table(Vec::new()),
    }
}

section! {
    /// `headers`.
    HeadersSection {
        /// On the way to the target.
        request: Sub<EditsSection>,
        /// On the way to the client.
        response: Sub<EditsSection>,
    }
}

section! {
    /// `headers.request` and `headers.response`.
    EditsSection {
        /// Replaces every value of each header; with {client_ip}, {host}, {request_id}, {route}, {tls_version}, {sni} and {user}.
        set: Table<HeaderText> = Table(Vec::new()),
        /// Adds a value to each header.
        add: Table<HeaderText> = Table(Vec::new()),
        /// Takes each header away.
        remove: List<Text> = Vec::new(),
    }
}
