use std::time::Duration;

use super::section::{Sub, section};
use crate::config::value::{
    AddressOrOff, FilePath, List, LogForm, LogLevel, MaskSpec, Network, PathOrOff, PortSpec, SocketPath, Text, Time,
    TimeOrOff, TokenOrOff, Whole,
};
use crate::telemetry::QueryMask;

/// Where the client commands find the daemon that was started without saying otherwise.
pub(in crate::config) const ADMIN_SOCKET: &str = "/run/smartproxy/admin.sock";

section! {
    /// `[server]`.
    ServerSection {
        /// Worker threads; 0 = one per core available to the process.
        workers: Whole<0, 1024> = Whole(0),
        /// Live client connections of the process; 0 = 45 % of the file-descriptor limit.
        max_connections: Whole<0, { u32::MAX }> = Whole(0),
        /// After SIGTERM: how long draining may take before what is left is cut.
        shutdown_timeout: Time = Time(Duration::from_secs(30)),
        /// How often the daemon looks for what has leaked; "0s" = never.
        leak_check: TimeOrOff = TimeOrOff(Some(Duration::from_secs(10))),
    }
}

section! {
    /// `[log]`.
    LogSection {
        /// error, warn, info, debug or trace, or tracing filter directives.
        level: LogLevel = LogLevel("info".into()),
        /// text for people, json for machines.
        format: LogForm = LogForm::Text,
        /// One line per TCP connection and per HTTP request, at its end.
        access: bool = true,
        /// Parameters of a query whose values are kept out of the access log, or "all".
        mask_query: MaskSpec = MaskSpec(QueryMask::Nothing),
        /// Headers of each request that the access log holds, "user-agent" for instance.
        headers: List<Text> = Vec::new(),
    }
}

section! {
    /// `[admin]`.
    AdminSection {
        /// The Unix socket of the client commands, mode 0660; "" = off.
        socket: SocketPath = SocketPath(ADMIN_SOCKET.into()),
        /// The address of the HTTP pages: metrics, health, connections and the dashboard; "" = off.
        listen: AddressOrOff = AddressOrOff(None),
        /// The file of the token that opens the HTTP address, and without which it changes nothing; "" = none.
        token_file: PathOrOff = PathOrOff(String::new()),
        /// The token itself, in the place of its file; "" = none.
        token: TokenOrOff = TokenOrOff(None),
        /// Whether /metrics is answered without the token.
        public_metrics: bool = false,
        /// TLS of the HTTP address.
        tls: Sub<AdminTlsSection>,
    }
}

section! {
    /// `tls` of `[admin]`.
    AdminTlsSection {
        /// PEM file of the full chain, leaf first.
        certificate: FilePath [required],
        /// PEM file of the private key.
        key: FilePath [required],
        /// PEM file of the authorities one of which must have signed the operator's certificate; absent = none is asked for.
        client_ca: FilePath,
    }
}

section! {
    /// `[[listeners]]`.
    ListenerTable {
        /// The address as a route writes it: "0.0.0.0:443", or 443 for every address.
        address: PortSpec [required],
        /// A PROXY header stands in front of each connection.
        proxy_protocol: Sub<ProxyProtocolSection>,
    }
}

section! {
    /// `proxy_protocol` of a listener.
    ProxyProtocolSection {
        /// The peers whose header is believed.
        trusted: List<Network> [required],
        /// Whether a connection without a header is refused.
        required: bool = true,
    }
}
