use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;

use smartproxy::outcome::Cause;

use super::alone::{cut, drained, out_of_descriptors};
use super::upstream::{Upstream, echo, http, serving, silent, silent_after_end};
use super::{answered, echoed, found, released};
use crate::harness::{CERTIFICATES, End, HELLO, HOST, Peer, Proxy, Refusing, Target, UNREACHABLE, Unanswering, Way};

/// After five seconds.
const MIN_RATE: &str = "limits.min_rate = \"1KiB\"";

/// Where the proof of a cause is.
pub(super) enum Proof {
    /// A route in the daemon that all such causes share.
    Route(Route),
    /// A daemon of its own.
    Alone(fn()),
    /// Not here, for this reason.
    Elsewhere(&'static str),
}

/// A route, and what a client does on it.
pub(super) struct Route {
    pub(super) way: Way,
    pub(super) more: &'static str,
    /// Lines before the routes: a listener's.
    pub(super) listener: &'static str,
    pub(super) target: Arc<Upstream>,
    /// Kind of the line, phase and party.
    pub(super) line: (&'static str, &'static str, &'static str),
    pub(super) act: fn(&Proxy, SocketAddr),
}

/// A route on which a client meets the cause.
fn route(
    way: Way,
    more: &'static str,
    target: Upstream,
    line: (&'static str, &'static str, &'static str),
    act: fn(&Proxy, SocketAddr),
) -> Proof {
    Proof::Route(Route { way, more, listener: "", target: Arc::new(target), line, act })
}

/// The same, at a listener with PROXY headers.
fn announced(listener: &'static str, party: &'static str, act: fn(&Proxy, SocketAddr)) -> Proof {
    let target = Arc::new(echo());
    Proof::Route(Route { way: Way::Tcp, more: "", listener, target, line: ("connection", "proxy_header", party), act })
}

/// A cause that nothing here reaches does not compile; one that is not reached fails.
pub(super) fn proof(cause: Cause) -> Proof {
    let relay = |party| ("connection", "relay", party);
    let request = |phase, party| ("request", phase, party);
    match cause {
        Cause::Finished => route(Way::Tcp, "", echo(), relay("client"), |_, address| {
            let mut client = Peer::connect(address);
            echoed(&mut client);
            client.finish();
            released(client);
        }),
        Cause::Reset => route(Way::Tcp, "", echo(), relay("client"), |_, address| {
            let mut client = Peer::connect(address);
            echoed(&mut client);
            client.reset();
        }),
        Cause::Empty => route(Way::Passthrough, "", silent(), ("connection", "sniff", "client"), |_, address| {
            drop(Peer::connect(address));
        }),
        Cause::ClosedEarly => route(Way::Passthrough, "", silent(), ("connection", "sniff", "client"), |_, address| {
            Peer::connect(address).send(&HELLO[..50]);
        }),
        Cause::Blocked => {
            let more = "security = { block = [\"127.0.0.0/8\"] }";
            route(Way::TerminateTcp, more, silent(), ("connection", "route", "proxy"), |_, address| {
                let mut client = Peer::connect(address);
                client.send_what_is_taken(&HELLO);
                released(client);
            })
        }
        Cause::Unauthenticated => {
            let more = "security.basic_auth.file = \"users.htpasswd\"";
            route(Way::TerminateHttp, more, http(), request("route", "client"), |_, address| {
                let mut client = Way::TerminateHttp.silent_client(address);
                client.request(HOST, "/");
                answered(client, 401);
            })
        }
        Cause::Denied => Proof::Alone(crate::inquiries::who_is_denied_gets_the_answer_of_the_server_that_was_asked),
        Cause::AuthenticationBusy => {
            Proof::Alone(crate::passwords::a_flood_of_passwords_is_turned_down_and_holds_up_nothing)
        }
        Cause::RouteConnectionLimit => one_too_many("limits.max_connections = 1"),
        Cause::ClientConnectionLimit => one_too_many("limits.max_connections_per_ip = 1"),
        Cause::ProxyHeaderMissing => {
            announced("trusted = [\"127.0.0.0/8\"], required = true", "client", |_, address| {
                let mut client = Peer::connect(address);
                client.send_what_is_taken(b"GET / HTTP/1.1\r\n\r\n");
                released(client);
            })
        }
        Cause::ProxyHeaderMalformed => {
            announced("trusted = [\"127.0.0.0/8\"], required = true", "client", |_, address| {
                let mut client = Peer::connect(address);
                client.send_what_is_taken(b"PROXY TCP4 not an address\r\n");
                released(client);
            })
        }
        Cause::ProxyHeaderUntrusted => {
            announced("trusted = [\"192.0.2.0/24\"], required = true", "client", |_, address| {
                let mut client = Peer::connect(address);
                client.send_what_is_taken(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n");
                released(client);
            })
        }
        Cause::SniffTimeout => {
            let more = "timeouts.sniff = \"200ms\"";
            route(Way::Passthrough, more, silent(), ("connection", "sniff", "client"), |_, address| {
                released(Peer::connect(address));
            })
        }
        Cause::HelloMalformed => {
            route(Way::Passthrough, "", silent(), ("connection", "sniff", "client"), |_, address| {
                let mut client = Peer::connect(address);
                // A handshake that begins with a ServerHello.
                client.send_what_is_taken(&[22, 3, 1, 0, 4, 2, 0, 0, 0]);
                released(client);
            })
        }
        Cause::HelloTooLarge => {
            route(Way::Passthrough, "", silent(), ("connection", "sniff", "client"), |_, address| {
                let mut client = Peer::connect(address);
                // Not long, but in one record more than may be.
                let mut records = vec![22, 3, 1, 0, 4, 1, 0, 0xff, 0xff];
                records.extend([22, 3, 1, 0, 1, 0].repeat(smartproxy::sniff::RECORDS_MAX));
                client.send_what_is_taken(&records);
                released(client);
            })
        }
        Cause::NoRoute => {
            let more = "match.domains = [\"elsewhere.test\"]";
            route(Way::Passthrough, more, silent(), ("connection", "route", "proxy"), |_, address| {
                let mut client = Peer::connect(address);
                client.send(&HELLO);
                released(client);
            })
        }
        Cause::TlsExpected => route(Way::TerminateTcp, "", echo(), ("connection", "route", "client"), |_, address| {
            let mut client = Peer::connect(address);
            client.request(HOST, "/");
            let answer = client.message();
            assert!(answer.status() == 400 && answer.text().contains("use https://"), "{answer:?}");
            released(client);
        }),
        Cause::NoCertificate => {
            route(Way::TerminateTcp, "", silent(), ("connection", "handshake", "proxy"), |_, address| {
                let refused = Peer::connect(address).try_tls("uncovered.test", &CERTIFICATES.client(&[]));
                assert!(refused.err().unwrap().to_string().contains("UnrecognisedName"));
            })
        }
        Cause::Misdirected => route(Way::TerminateHttp, "", http(), request("route", "client"), |_, address| {
            let mut client = Way::TerminateHttp.silent_client(address);
            client.request("uncovered.test", "/");
            answered(client, 421);
        }),
        Cause::HandshakeFailed => {
            let more = "tls.min_version = \"1.3\"";
            route(Way::TerminateTcp, more, silent(), ("connection", "handshake", "client"), |_, address| {
                let old = CERTIFICATES.client_of(&[&rustls::version::TLS12]);
                assert!(Peer::connect(address).try_tls(HOST, &old).is_err());
            })
        }
        Cause::HandshakeTimeout => {
            let more = "timeouts.tls_handshake = \"300ms\"";
            route(Way::TerminateTcp, more, silent(), ("connection", "handshake", "client"), |_, address| {
                let mut client = Peer::connect(address);
                client.send(&HELLO);
                released(client);
            })
        }
        Cause::ClientCertificate => {
            let more = "tls.client_auth = { mode = \"required\", ca = \"ca.pem\" }";
            route(Way::TerminateTcp, more, echo(), ("connection", "handshake", "client"), |_, address| {
                // In TLS 1.3 the client is done before the server has judged it.
                if let Ok(client) = Peer::connect(address).try_tls(HOST, &CERTIFICATES.client(&[])) {
                    released(client);
                }
            })
        }
        Cause::NoTarget => Proof::Elsewhere(
            "the configuration refuses a route without targets, so nothing outside reaches it yet; \
             upstream::connect's unit tests show it",
        ),
        Cause::ResolveFailed => {
            let target = Upstream::At("no-such-name.invalid:80");
            route(Way::Http, "", target, request("connect", "target"), |_, address| {
                answered(Way::Http.client(address), 502);
            })
        }
        Cause::Refused => {
            let target = Upstream::Refusing(Refusing::new());
            route(Way::Http, "", target, request("connect", "target"), |_, address| {
                answered(Way::Http.client(address), 502);
            })
        }
        Cause::Unreachable => {
            let target = Upstream::At(UNREACHABLE);
            route(Way::Tcp, "", target, ("connection", "connect", "target"), |_, address| {
                released(Peer::connect(address));
            })
        }
        Cause::ConnectTimeout => {
            let target = Upstream::Unanswering(Unanswering::new());
            let more = "timeouts.connect = \"300ms\"";
            route(Way::Tcp, more, target, ("connection", "connect", "target"), |_, address| {
                released(Peer::connect(address));
            })
        }
        Cause::ConnectFailed => {
            // A link-local address says nothing without its link: EINVAL.
            let target = Upstream::At("[fe80::1]:80");
            route(Way::Tcp, "", target, ("connection", "connect", "target"), |_, address| {
                released(Peer::connect(address));
            })
        }
        Cause::OutOfDescriptors => Proof::Alone(out_of_descriptors),
        Cause::UpstreamTls => {
            let target = Upstream::Target(Target::tls_echo(CERTIFICATES.stranger()));
            route(Way::ReencryptTcp, "", target, ("connection", "upstream_handshake", "target"), |_, address| {
                released(Way::ReencryptTcp.client(address));
            })
        }
        Cause::UpstreamTlsTimeout => {
            let more = "timeouts.tls_handshake = \"700ms\"";
            route(Way::ReencryptTcp, more, silent(), ("connection", "upstream_handshake", "target"), |_, address| {
                released(Way::ReencryptTcp.client(address));
            })
        }
        Cause::IdleTimeout => route(Way::Tcp, "timeouts.idle = \"300ms\"", echo(), relay("proxy"), |_, address| {
            let mut client = Peer::connect(address);
            echoed(&mut client);
            released(client);
        }),
        Cause::HalfClosedTimeout => {
            let more = "timeouts.half_closed = \"300ms\"";
            route(Way::Tcp, more, silent_after_end(), relay("proxy"), |_, address| {
                let mut client = Peer::connect(address);
                client.finish();
                released(client);
            })
        }
        Cause::LingerTimeout => Proof::Alone(crate::backpressure::linger_timeout),
        Cause::LifetimeReached => {
            route(Way::Tcp, "timeouts.max_lifetime = \"300ms\"", echo(), relay("proxy"), |_, address| {
                let mut client = Peer::connect(address);
                echoed(&mut client);
                released(client);
            })
        }
        Cause::KeepAliveTimeout => {
            let more = "timeouts.keep_alive = \"300ms\"";
            route(Way::Http, more, http(), ("connection", "serve", "proxy"), |_, address| {
                let mut client = Peer::connect(address);
                assert_eq!(client.get(HOST, "/").status(), 200);
                released(client);
            })
        }
        Cause::RequestHeadTimeout => {
            let more = "timeouts.request_head = \"300ms\"";
            route(Way::Http, more, http(), ("connection", "serve", "client"), |_, address| {
                let mut client = Peer::connect(address);
                client.send(b"GET / HTTP/1.1\r\nho");
                released(client);
            })
        }
        Cause::RequestHeadSlow => {
            route(Way::Http, MIN_RATE, http(), ("connection", "serve", "client"), |_, address| {
                let mut client = Peer::connect(address);
                client.send(b"GET / HTTP/1.1\r\nho");
                assert_eq!(client.message().status(), 408);
                released(client);
            })
        }
        Cause::RequestBodySlow => route(Way::Http, MIN_RATE, silent(), request("serve", "client"), |_, address| {
            let mut client = Peer::connect(address);
            client.send(b"POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 100\r\n\r\nonly this");
            answered(client, 408);
        }),
        Cause::ResponseSlow => {
            let target = serving(|mut peer| {
                peer.message();
                peer.send(b"HTTP/1.1 200 OK\r\n\r\n");
                while std::io::Write::write_all(&mut peer, &[b'x'; 64 * 1024]).is_ok() {}
            });
            // What the client's kernel has room for counts as taken: a rate for which that is little.
            let more = "limits.min_rate = \"16MiB\"";
            route(Way::Http, more, target, request("serve", "client"), |proxy, address| {
                let client = Way::Http.client(address);
                found(&proxy.line_of(client.ends()), Cause::ResponseSlow, "serve", "client");
            })
        }
        Cause::Looped => route(Way::Http, "", http(), request("serve", "client"), |_, address| {
            let mut client = Peer::connect(address);
            let via = ["1.1 smartproxy"; 8].join(", ");
            client.send(format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nvia: {via}\r\n\r\n").as_bytes());
            answered(client, 508);
        }),
        Cause::RequestHeadTooLarge => {
            let more = "limits.max_request_head = \"8KiB\"";
            route(Way::Http, more, http(), ("connection", "serve", "client"), |_, address| {
                let mut client = Peer::connect(address);
                client.send(b"GET / HTTP/1.1\r\nhost: shop.test\r\nx: ");
                client.send_what_is_taken(&[b'x'; 9000]);
                client.send_what_is_taken(b"\r\n\r\n");
                assert_eq!(client.message().status(), 431);
                released(client);
            })
        }
        Cause::RequestBodyTooLarge => {
            let more = "limits.max_request_body = \"1KiB\"";
            route(Way::Http, more, http(), request("serve", "client"), |_, address| {
                let mut client = Peer::connect(address);
                client.send(b"POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 1025\r\n\r\n");
                assert_eq!(client.message().status(), 413);
                released(client);
            })
        }
        Cause::RequestMalformed => route(Way::Http, "", http(), ("connection", "serve", "client"), |_, address| {
            let mut client = Peer::connect(address);
            client.send(b"GET / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: ten\r\n\r\n");
            assert_eq!(client.message().status(), 400);
            released(client);
        }),
        Cause::ResponseHeadTimeout => {
            let more = "timeouts.response_head = \"300ms\"";
            route(Way::Http, more, silent(), request("serve", "target"), |_, address| {
                answered(Way::Http.client(address), 504);
            })
        }
        Cause::ResponseMalformed => {
            let target = serving(|mut peer| {
                peer.message();
                peer.send(b"220 this is not HTTP\r\n\r\n");
                peer.rest();
            });
            route(Way::Http, "", target, request("serve", "target"), |_, address| {
                answered(Way::Http.client(address), 502);
            })
        }
        Cause::NoWebsockets => {
            let target = serving(|mut peer| {
                // An empty SETTINGS frame: it speaks HTTP/2, and nothing of extended CONNECT.
                peer.send(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
                peer.rest();
            });
            route(Way::Http, "upstream_protocol = \"h2c\"", target, request("serve", "target"), |_, address| {
                let mut client = Way::Http.silent_client(address);
                let ask = format!(
                    "GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
                );
                client.send(ask.as_bytes());
                answered(client, 502);
            })
        }
        Cause::TargetClosed => {
            let target = serving(|mut peer| {
                peer.message();
                peer.finish();
                peer.rest();
            });
            route(Way::Http, "", target, request("serve", "target"), |_, address| {
                answered(Way::Http.client(address), 502);
            })
        }
        Cause::BodyTimeout => {
            let target = serving(|mut peer| {
                peer.message();
                peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this");
                peer.rest();
            });
            route(Way::Http, "timeouts.body = \"300ms\"", target, request("serve", "target"), |_, address| {
                released(Way::Http.client(address));
            })
        }
        Cause::TunnelTimeout => {
            let target = serving(|mut peer| {
                peer.message();
                peer.send(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
                let mut bytes = [0; 4];
                let _ = peer.read_exact(&mut bytes);
                peer.send(&bytes);
                peer.rest();
            });
            route(Way::Http, "timeouts.tunnel = \"300ms\"", target, request("relay", "proxy"), |_, address| {
                let mut client = Peer::connect(address);
                client.send(b"GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
                assert!(client.head().starts_with("HTTP/1.1 101 "));
                echoed(&mut client);
                released(client);
            })
        }
        Cause::ProtocolError => route(Way::TerminateTcp, "", echo(), relay("client"), |_, address| {
            let mut client = Way::TerminateTcp.client(address);
            echoed(&mut client);
            // A record that nobody has encrypted.
            std::io::Write::write_all(&mut client.tcp(), &[23, 3, 3, 0, 40].repeat(20)).unwrap();
            released(client);
        }),
        Cause::Drained => Proof::Alone(drained),
        Cause::Cut => Proof::Alone(cut),
        Cause::Killed => route(Way::Tcp, "", echo(), relay("operator"), |proxy, address| {
            let mut client = Peer::connect(address);
            echoed(&mut client);
            let mine = client.ends();
            let live = proxy.connections().into_iter().find(|live| mine.are_of(live)).unwrap();
            let output = proxy.command(&["kill", &live["id"].to_string()]).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            assert_eq!(client.end(), End::Reset);
        }),
        Cause::Internal => Proof::Elsewhere(
            "no input is known to make the proxy panic, and one that did would be mended; \
             connection::guard's unit tests drop a guard in a panic",
        ),
    }
}

fn one_too_many(more: &'static str) -> Proof {
    route(Way::Tcp, more, echo(), ("connection", "route", "proxy"), |_, address| {
        let mut first = Peer::connect(address);
        echoed(&mut first);
        released(Peer::connect(address));
        first.finish();
        released(first);
    })
}
