use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{route, valid};
use crate::config::{
    Action, AdminSocket, Certificate, ClientAuth, Limits, LoadBalancing, LogFormat, PassiveHealth, Place, ProxyVersion,
    Security, TargetPort, Timeouts, Tls, UpstreamProtocol,
};
use crate::net::AddressSet;
use crate::route::{Protocol, TlsHandling, TlsVersion};

const PLAIN: &str = "match.ports = [80]\ntargets = [\"a.b:1\"]";

#[test]
fn the_defaults_are_those_of_the_design() {
    let config = valid(&route(PLAIN));
    assert_eq!(config.server.workers, None);
    assert_eq!(config.server.max_connections, None);
    assert_eq!(config.server.shutdown_timeout, Duration::from_secs(30));
    assert_eq!(config.server.leak_check, Some(Duration::from_secs(10)));
    assert_eq!((config.log.level.as_str(), config.log.format, config.log.access), ("info", LogFormat::Text, true));
    assert_eq!(config.admin.socket, AdminSocket::Default("/run/smartproxy/admin.sock".into()));
    assert_eq!(config.admin.listen, None);
    let route = &config.routes[0];
    let seconds = Duration::from_secs;
    let timeouts = Timeouts {
        sniff: seconds(5),
        tls_handshake: seconds(10),
        connect: seconds(5),
        connect_total: seconds(15),
        idle: seconds(600),
        half_closed: seconds(60),
        linger: seconds(5),
        max_lifetime: None,
        request_head: seconds(10),
        keep_alive: seconds(75),
        response_head: seconds(60),
        body: seconds(60),
        tunnel: seconds(3600),
        upstream_keep_alive: seconds(30),
    };
    assert_eq!(route.timeouts, timeouts);
    assert_eq!(config.defaults.timeouts, timeouts);
    let limits = Limits {
        max_connections: None,
        max_connections_per_ip: None,
        max_request_body: None,
        max_request_head: 65_536,
        min_rate: None,
    };
    assert_eq!(route.limits, limits);
    let passive_health = PassiveHealth { failures: NonZeroU32::MIN, set_aside: seconds(10) };
    assert_eq!(route.passive_health, Some(passive_health));
    assert_eq!(
        route.security,
        Security {
            allow: None,
            block: AddressSet::default(),
            allow_is_own: false,
            block_is_own: false,
            basic_auth: None,
            forward_auth: None,
        }
    );
    assert!(route.trusted_proxies.is_empty());
    assert_eq!((route.rule.priority, route.rule.protocol, route.rule.tls), (0, Protocol::Http, TlsHandling::Plain));
    assert!(route.headers.request.is_empty() && route.headers.response.is_empty());
    let Action::Forward(forward) = &route.action else { panic!("{:?}", route.action) };
    assert_eq!(forward.load_balancing, LoadBalancing::RoundRobin);
    assert_eq!(forward.send_proxy_protocol, None);
    assert_eq!(forward.upstream_protocol, UpstreamProtocol::Http1);
    assert!(forward.preserve_host);
    assert_eq!((forward.targets[0].value.weight, forward.targets[0].value.backup), (1, false));
}

#[test]
fn a_route_overrides_the_defaults_key_by_key() {
    let defaults = "[defaults]\ntrusted_proxies = [\"10.0.0.0/8\"]\nsecurity = { allow = [\"10.0.0.0/8\"], block = [\"10.1.0.0/16\"] }\nlimits = { max_connections = 5, max_request_body = \"1MiB\" }\ntimeouts = { idle = \"1m\", max_lifetime = \"1h\" }\npassive_health = { failures = 3, set_aside = \"1m\" }\n";
    let own = "security.allow = [\"::1\"]\nlimits.max_connections = 0\ntimeouts.max_lifetime = \"0s\"\ntrusted_proxies = []\npassive_health.failures = 5";
    let config = valid(&format!("{defaults}{}", route(&format!("{PLAIN}\n{own}"))));
    let route = &config.routes[0];
    assert!(route.trusted_proxies.is_empty());
    assert!(config.defaults.trusted_proxies.contains("10.0.0.1".parse().unwrap()));
    let allow = route.security.allow.as_ref().unwrap();
    assert!(allow.contains("::1".parse().unwrap()) && !allow.contains("10.0.0.1".parse().unwrap()));
    assert!(route.security.block.contains("10.1.0.1".parse().unwrap()));
    assert_eq!(route.limits.max_connections, None);
    assert_eq!(route.limits.max_request_body.unwrap().get(), 1 << 20);
    assert_eq!((route.timeouts.idle, route.timeouts.max_lifetime), (Duration::from_secs(60), None));
    let failures = NonZeroU32::new(5).unwrap();
    assert_eq!(route.passive_health, Some(PassiveHealth { failures, set_aside: Duration::from_secs(60) }));
    let off = super::route(&format!("{PLAIN}\npassive_health.failures = 0"));
    assert_eq!(valid(&format!("{defaults}{off}")).routes[0].passive_health, None);
    assert_eq!(config.defaults.timeouts.max_lifetime, Some(Duration::from_secs(3600)));
}

#[test]
fn tls_settings_and_paths_are_relative_to_the_file_and_know_their_place() {
    let text = route(
        "match.ports = [443]\ntargets = [\"a.b:1\"]\ntls.mode = \"terminate-and-reencrypt\"
tls.certificate = { certificate = \"a.pem\", key = \"/k/a.key\" }\ntls.min_version = \"1.3\"
tls.client_auth = { mode = \"optional\", ca = \"tls/ca.pem\" }
tls.upstream = { server_name = \"api.internal\", client_certificate = { certificate = \"c.pem\", key = \"c.key\" } }",
    );
    let config = valid(&text);
    let Tls::TerminateAndReencrypt(server, upstream) = &config.routes[0].tls else { panic!() };
    let Certificate::Files(files) = &server.certificate else { panic!() };
    assert_eq!(files.certificate.value, PathBuf::from("/etc/smartproxy/a.pem"));
    assert_eq!(files.key.value, PathBuf::from("/k/a.key"));
    assert_eq!(server.min_version, TlsVersion::Tls13);
    assert!(
        matches!(&server.client_auth, ClientAuth::Optional(ca) if ca.value == Path::new("/etc/smartproxy/tls/ca.pem"))
    );
    assert!(upstream.verify && upstream.ca.is_none());
    assert_eq!(upstream.server_name.as_ref().unwrap().to_string(), "api.internal");
    assert!(upstream.client_certificate.is_some());
    let fault = config.fault(&files.key.place, "no such file");
    let expected = "/etc/smartproxy/s.toml:6:50: no such file
tls.certificate = { certificate = \"a.pem\", key = \"/k/a.key\" }
                                                 ^^^^^^^^^^";
    assert_eq!(fault.to_string(), expected);
}

#[test]
fn a_fault_about_a_place_outside_of_the_text_is_at_its_end() {
    let config = valid(&route(PLAIN));
    let fault = config.fault(&Place { start: u32::MAX, end: 0 }, "x");
    assert_eq!((fault.line, fault.column), (5, 1));
}

#[test]
fn everything_a_forwarding_route_can_say_arrives() {
    let config = valid(&route(
        "priority = -3\nmatch = { ports = [0, \"127.0.0.1:0\", \"9000-9001\"], domains = [\"*.B.c\"], client_ips = [\"10.0.0.0/8\"], path = \"/a/\", methods = [\"GET\"], headers = { X-A = \"1\" } }
targets = [\"a.b:preserve\", { host = \"::1\", port = 9, weight = 256, backup = true }]
load_balancing.algorithm = \"ip-hash\"\nsend_proxy_protocol = \"v1\"\npreserve_host = false
headers.request = { set = { Authorization = \"secret\" }, add = { a = \"b\" }, remove = [\"C\"] }",
    ));
    let route = &config.routes[0];
    assert_eq!(route.rule.priority, -3);
    let addresses: Vec<String> = route.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["[::]:0", "127.0.0.1:0", "[::]:9000", "[::]:9001"]);
    assert_eq!(config.listeners.len(), 4);
    assert_eq!(route.rule.domains[0].to_string(), "*.b.c");
    assert!(route.rule.client_ips.as_ref().unwrap().contains("10.2.3.4".parse().unwrap()));
    assert_eq!(route.rule.headers[0].0, "x-a");
    let Action::Forward(forward) = &route.action else { panic!() };
    let targets: Vec<String> = forward.targets.iter().map(|target| target.value.to_string()).collect();
    assert_eq!(targets, ["a.b:preserve", "[::1]:9"]);
    assert_eq!(forward.targets[0].value.port, TargetPort::Preserve);
    assert_eq!((forward.targets[1].value.weight, forward.targets[1].value.backup), (256, true));
    assert_eq!(forward.load_balancing, LoadBalancing::IpHash);
    assert_eq!((forward.send_proxy_protocol, forward.preserve_host), (Some(ProxyVersion::V1), false));
    assert_eq!(route.headers.request.remove[0], "c");
    assert!(!format!("{config:?}").contains("secret"), "a secret is printed");
}

#[test]
fn a_passed_through_route_carries_bytes() {
    let config = valid(&route(&format!("{PLAIN}\ntls.mode = \"passthrough\"\nmatch.alpn = [\"h2\"]")));
    let rule = &config.routes[0].rule;
    assert_eq!((rule.tls, rule.protocol, rule.alpn[0].as_ref()), (TlsHandling::Passthrough, Protocol::Tcp, &b"h2"[..]));
}

#[test]
fn a_listener_takes_its_settings_from_its_entry() {
    let text =
        route(PLAIN) + "[[listeners]]\naddress = 80\nproxy_protocol = { trusted = [\"10.0.0.0/8\"], required = false }";
    let config = valid(&text);
    let setting = config.listeners[0].proxy_protocol.as_ref().unwrap();
    assert!(setting.trusted.contains("10.0.0.1".parse().unwrap()) && !setting.required);
}

#[test]
fn the_admin_socket_can_be_off_or_elsewhere() {
    let socket = |line: &str| valid(&format!("[admin]\n{line}\n{}", route(PLAIN))).admin.socket;
    assert_eq!(socket("socket = \"\""), AdminSocket::Off);
    assert!(
        matches!(socket("socket = \"a.sock\""), AdminSocket::At(at) if at.value == Path::new("/etc/smartproxy/a.sock"))
    );
    // Written out, even the usual path is one that someone wants.
    assert!(matches!(socket("socket = \"/run/smartproxy/admin.sock\""), AdminSocket::At(_)));
}

#[test]
fn a_route_that_moved_in_the_file_is_equal_to_what_it_was() {
    let (before, after) = (valid(&route(PLAIN)), valid(&format!("# moved\n{}", route(PLAIN))));
    assert_eq!(before.routes[0].action, after.routes[0].action);
    assert_eq!(before.listeners, after.listeners);
}
