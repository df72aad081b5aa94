super::vocabulary! {
    /// Why a connection or a request ended.
    Cause {
        Finished = "finished": "Both sides ended in order.",
        Reset = "reset": "The party reset its connection (TCP RST); it was passed on as a reset.",
        Empty = "empty": "The client closed without having sent a byte, as port checks do.",
        ClosedEarly = "closed_early": "The party closed before it had sent enough to go on.",
        Blocked = "blocked": "`security` refuses the client's address.",
        Unauthenticated = "unauthenticated": "The client showed no user name and password, or not the right ones, for `security.basic_auth` (401).",
        AuthenticationBusy = "authentication_busy": "Too many passwords were waiting to be verified for `security.basic_auth`, or there was no memory for it (503).",
        Denied = "denied": "The server that `security.forward_auth` asks denies the request; its answer went to the client.",
        RouteConnectionLimit = "route_connection_limit": "The route has `limits.max_connections` connections.",
        ClientConnectionLimit = "client_connection_limit": "The client's address has `limits.max_connections_per_ip` connections on the route.",
        ProxyHeaderMissing = "proxy_header_missing": "The listener requires a PROXY header and the client sent none.",
        ProxyHeaderMalformed = "proxy_header_malformed": "The PROXY header is not well formed, or longer than allowed.",
        ProxyHeaderUntrusted = "proxy_header_untrusted": "The listener requires a PROXY header and the client is not among `trusted`.",
        SniffTimeout = "sniff_timeout": "`timeouts.sniff` passed before the client had shown what it speaks.",
        HelloMalformed = "hello_malformed": "The TLS ClientHello is not well formed.",
        HelloTooLarge = "hello_too_large": "The TLS ClientHello is longer than 64 KiB.",
        NoRoute = "no_route": "No route matches.",
        TlsExpected = "tls_expected": "Plain HTTP came to an address whose routes all take TLS (400).",
        NoCertificate = "no_certificate": "The route terminates TLS, and no certificate covers the server name.",
        Misdirected = "misdirected": "The request's host is not covered by the connection's certificate or TLS settings (421).",
        HandshakeFailed = "handshake_failed": "The TLS handshake with the client failed.",
        HandshakeTimeout = "handshake_timeout": "`timeouts.tls_handshake` passed during the handshake with the client.",
        ClientCertificate = "client_certificate": "The client showed no certificate, or one that `tls.client_auth` does not accept.",
        NoTarget = "no_target": "The route has no target that could be tried.",
        ResolveFailed = "resolve_failed": "The target's name could not be resolved.",
        Refused = "refused": "The target refused the connection (ECONNREFUSED).",
        Unreachable = "unreachable": "No way to the party (EHOSTUNREACH, ENETUNREACH), or it no longer answers (ETIMEDOUT during a relay).",
        ConnectTimeout = "connect_timeout": "`timeouts.connect` or `timeouts.connect_total` passed before a target answered.",
        ConnectFailed = "connect_failed": "Connecting to the target failed in another way; the log has the system's error.",
        OutOfDescriptors = "out_of_descriptors": "The proxy had no file descriptor or memory left for the target's socket.",
        UpstreamTls = "upstream_tls": "The TLS handshake with the target failed; its certificate did not verify, for instance.",
        UpstreamTlsTimeout = "upstream_tls_timeout": "`timeouts.tls_handshake` passed during the handshake with the target.",
        IdleTimeout = "idle_timeout": "`timeouts.idle` passed without a byte in either direction.",
        HalfClosedTimeout = "half_closed_timeout": "One side had finished and `timeouts.half_closed` passed without a byte from the other.",
        LingerTimeout = "linger_timeout": "The party did not take our last bytes within `timeouts.linger`.",
        LifetimeReached = "lifetime_reached": "`timeouts.max_lifetime` passed.",
        KeepAliveTimeout = "keep_alive_timeout": "`timeouts.keep_alive` passed without another request.",
        RequestHeadTimeout = "request_head_timeout": "`timeouts.request_head` passed before the request's head was complete.",
        RequestHeadSlow = "request_head_slow": "The request's head came more slowly than `limits.min_rate` (408).",
        RequestHeadTooLarge = "request_head_too_large": "The request's head is longer than `limits.max_request_head` (431).",
        RequestBodySlow = "request_body_slow": "The request's body came more slowly than `limits.min_rate` (408).",
        RequestBodyTooLarge = "request_body_too_large": "The request's body is longer than `limits.max_request_body` (413).",
        RequestMalformed = "request_malformed": "The request is not valid HTTP, or is ambiguous (400).",
        Looped = "looped": "The request has come through proxies of our `via` name too often: it goes in circles (508).",
        ResponseHeadTimeout = "response_head_timeout": "`timeouts.response_head` passed before the target answered (504).",
        ResponseMalformed = "response_malformed": "The target's answer is not valid HTTP (502).",
        NoWebsockets = "no_websockets": "The target speaks HTTP/2, and takes no WebSockets over it (502).",
        TargetClosed = "target_closed": "The target closed before its answer was complete (502).",
        BodyTimeout = "body_timeout": "`timeouts.body` passed without progress of a request's or response's body.",
        ResponseSlow = "response_slow": "The client took the response more slowly than `limits.min_rate`.",
        TunnelTimeout = "tunnel_timeout": "`timeouts.tunnel` passed without a byte on an upgraded connection.",
        ProtocolError = "protocol_error": "The party broke the protocol that it speaks (HTTP/2 or TLS) after it had begun well.",
        Drained = "drained": "Ended in order, because the proxy stops or the route was removed.",
        Cut = "cut": "Cut at `server.shutdown_timeout`, or by a second signal.",
        Killed = "killed": "Ended by `smartproxy kill`.",
        Internal = "internal": "A fault of the proxy's own (a panic); the log has the place. Please report it.",
    }
}

impl Cause {
    /// Whether a connection that ended so, without having reached a target, has failed.
    ///
    /// The others are what ends a connection that had nothing to ask for.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Finished | Self::Empty | Self::KeepAliveTimeout | Self::Drained)
    }
}
