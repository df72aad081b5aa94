use super::{Protocol, RouteId};

/// When a connection to an address can be routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listening {
    /// At once: the client's address alone decides, so a server that speaks first is never waited out.
    AtAccept,
    /// After the first bytes of the client are understood.
    Sniff,
}

/// What becomes of a connection, before anything is answered to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// TLS is relayed unread by this route.
    Passthrough(RouteId),
    /// TLS ends here.
    Terminate {
        /// The route whose TLS settings serve the handshake; with [`Protocol::Tcp`], also the one that takes the
        /// connection.
        leading: RouteId,
        /// What is spoken inside.
        protocol: Protocol,
    },
    /// No TLS.
    Plain {
        /// With [`Protocol::Tcp`], the route that takes the connection; with [`Protocol::Http`], the one whose settings
        /// hold until a request has its own.
        leading: RouteId,
        /// What is spoken.
        protocol: Protocol,
    },
    /// No route takes it.
    NoRoute,
}
