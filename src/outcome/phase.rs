super::vocabulary! {
    /// What a connection was doing when it ended.
    Phase {
        Accept = "accept": "Accepted, and nothing read from it yet.",
        ProxyHeader = "proxy_header": "Reading the PROXY protocol header.",
        Sniff = "sniff": "Learning what the client speaks.",
        Route = "route": "Choosing a route, and asking whether it admits the client.",
        Handshake = "handshake": "TLS handshake with the client.",
        Connect = "connect": "Connecting to a target.",
        UpstreamHandshake = "upstream_handshake": "TLS handshake with a target.",
        Relay = "relay": "Relaying bytes in both directions.",
        Serve = "serve": "Serving HTTP requests.",
    }
}
