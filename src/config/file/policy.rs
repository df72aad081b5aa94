use std::time::Duration;

use super::or_off::OrOff;
use super::section::{Sub, section};
use super::tls::UpstreamSection;
use crate::config::resolved::Target;
use crate::config::value::{
    AskedPath, FilePath, List, Network, Pseudonym, Realm, Size, Table, Text, Time, TimeOrOff, Whole,
};

section! {
    /// `[defaults]`.
    DefaultsSection {
        /// Whose X-Forwarded-*, Forwarded and X-Request-Id are believed.
        trusted_proxies: List<Network> = Vec::new(),
        /// Our name in Via, of requests and responses (RFC 9110 section 7.6.3); "" = no Via.
        via: Pseudonym = Pseudonym("smartproxy".into()),
        /// Whether error answers name their cause; the access log does either way.
        show_cause: bool = false,
        /// Files that stand in the place of our own error answers, by status: "502", "4xx", "5xx".
        error_pages: Table<FilePath>,
        /// Strict-Transport-Security of routes that terminate TLS; absent = none.
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
    /// `passive_health`.
    PassiveHealthSection {
        /// How many connections to a target have to fail in a row for it to be set aside; 0 = never.
        failures: Whole<0, { u32::MAX }> = Whole(1),
        /// How long it is then tried only where no other target is left.
        set_aside: Time = Time(Duration::from_secs(10)),
    }
}

/// `hsts`, where it may be absent.
pub(in crate::config) type HstsSub = Sub<HstsSection>;

section! {
    /// `hsts` (RFC 6797).
    HstsSection {
        /// How long browsers come by TLS only, "365d" for instance; "0s" makes them forget.
        max_age: TimeOrOff [required],
        /// Whether that holds for every name below this one, too.
        include_subdomains: bool = false,
        /// Whether browsers may carry the name in their own list; hard to take back.
        preload: bool = false,
    }
}

section! {
    /// `security`.
    SecuritySection {
        /// Only these clients; absent = all.
        allow: List<Network>,
        /// Not these clients, even if allowed.
        block: List<Network> = Vec::new(),
        /// A user name and password (RFC 7617) that each request has to show; "off" = none, whatever [defaults] says.
        basic_auth: OrOff<BasicAuthSection>,
        /// Another server that is asked first about each request; "off" = none, whatever [defaults] says.
        forward_auth: OrOff<ForwardAuthSection>,
    }
}

section! {
    /// `security.forward_auth`.
    ForwardAuthSection {
        /// Whom to ask.
        targets: List<Target> [required],
        /// The path, with a query if need be, that it is asked by GET.
        path: AskedPath [required],
        /// Headers of its answer that the request gets; what the client sends under these names never goes on.
        copy_headers: List<Text> = Vec::new(),
        /// TLS to it, as `tls.upstream`; absent = none.
        tls: Sub<UpstreamSection>,
    }
}

section! {
    /// `security.basic_auth`.
    BasicAuthSection {
        /// The users, one "name:hash" a line, as `htpasswd -B` writes them: bcrypt, or argon2 as a PHC string.
        file: FilePath [required],
        /// What browsers show beside their question.
        realm: Realm = Realm("restricted".into()),
    }
}

section! {
    /// `limits`.
    LimitsSection {
        /// Live client connections; 0 = no limit.
        max_connections: Whole<0, { u32::MAX }> = Whole(0),
        /// Live client connections of one address; 0 = no limit.
        max_connections_per_ip: Whole<0, { u32::MAX }> = Whole(0),
        /// Size of a request's body; "0" = no limit.
        max_request_body: Size = Size(0),
        /// Size of a request's head, "8KiB" to "1MiB".
        max_request_head: Size = Size(64 * 1024),
        /// What a client has to send or take a second on average, while it is waited for, after 5 s and over 30 s; "0" = any.
        min_rate: Size = Size(0),
    }
}

section! {
    /// `timeouts`.
    TimeoutsSection {
        /// From accept until PROXY header and ClientHello or request preface are complete.
        sniff: Time = Time(Duration::from_secs(5)),
        /// Either side's TLS handshake.
        tls_handshake: Time = Time(Duration::from_secs(10)),
        /// One attempt to connect to a target.
        connect: Time = Time(Duration::from_secs(5)),
        /// All attempts to connect, over all addresses and targets.
        connect_total: Time = Time(Duration::from_secs(15)),
        /// A relayed connection without a byte in either direction.
        idle: Time = Time(Duration::from_mins(10)),
        /// One side has finished and the other moves no byte.
        half_closed: Time = Time(Duration::from_mins(1)),
        /// Our last bytes reaching a peer that stopped reading.
        linger: Time = Time(Duration::from_secs(5)),
        /// The whole connection; "0s" = for ever.
        max_lifetime: TimeOrOff = TimeOrOff(None),
        /// From the first byte of a request to the end of its head.
        request_head: Time = Time(Duration::from_secs(10)),
        /// An idle HTTP client connection between requests.
        keep_alive: Time = Time(Duration::from_secs(75)),
        /// From the request sent to the response's head.
        response_head: Time = Time(Duration::from_secs(60)),
        /// A request or response body without progress.
        body: Time = Time(Duration::from_secs(60)),
        /// An upgraded connection (WebSocket, CONNECT) without a byte.
        tunnel: Time = Time(Duration::from_hours(1)),
        /// An idle pooled connection to a target.
        upstream_keep_alive: Time = Time(Duration::from_secs(30)),
    }
}
