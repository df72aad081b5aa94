use std::fs;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::{Generation, LoadError, Source};
use crate::config::Config;
use crate::handler::{Action, Route};
use crate::http::MinRate;
use crate::name::HostPattern;
use crate::telemetry::Meters;
use crate::tls::self_signed_pem;

/// A folder with `shop.pem` for `shop.test` and `*.shop.test`, `other.pem` for `other.test`, and their keys.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for (file, names) in [("shop", &["shop.test", "*.shop.test"][..]), ("other", &["other.test"])] {
        let names: Vec<_> = names.iter().map(|name| HostPattern::parse(name).unwrap()).collect();
        let (certificate, key) = self_signed_pem(&names).unwrap();
        fs::write(folder.path().join(format!("{file}.pem")), certificate).unwrap();
        fs::write(folder.path().join(format!("{file}.key")), key).unwrap();
    }
    folder
}

fn source(folder: &Path) -> Source {
    Source::new(&folder.join("s.toml"), Arc::new(Meters::new())).unwrap()
}

fn assemble(source: &Source, folder: &Path, text: &str, before: Option<&Generation>) -> Result<Generation, String> {
    let config = Config::from_text(text, &folder.join("s.toml")).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
    source.assemble(&config, before).map_err(|error| match error {
        LoadError::Faults(faults) => faults.to_string().replace(&format!("{}/", folder.display()), ""),
        LoadError::Config(_) | LoadError::NotFile { .. } => panic!("{error}"),
    })
}

fn faults(text: &str) -> String {
    let folder = folder();
    assemble(&source(folder.path()), folder.path(), text, None).expect_err(text)
}

fn right(text: &str) {
    let folder = folder();
    if let Err(faults) = assemble(&source(folder.path()), folder.path(), text, None) {
        panic!("{faults}\n---\n{text}");
    }
}

const SHOP: &str = "tls.certificate = { certificate = \"shop.pem\", key = \"shop.key\" }";
const STORE: &str = "[[certificates]]\ncertificate = \"shop.pem\"\nkey = \"shop.key\"\n";

fn terminating(name: &str, domains: &str, certificate: &str) -> String {
    format!(
        "[[routes]]\nname = \"{name}\"\nmatch.ports = [443]\n{domains}\ntls.mode = \"terminate\"\n{certificate}\n\
         targets = [\"a.b:1\"]\n"
    )
}

#[test]
fn each_domain_that_the_routes_own_certificate_does_not_cover_is_named_at_its_place() {
    let domains =
        "match.domains = [\"shop.test\", \"www.shop.test\", \"a.b.shop.test\", \"other.test\", \"*.shop.test\"]";
    let expected = "s.toml:4:48: the route's certificate does not cover `a.b.shop.test`
match.domains = [\"shop.test\", \"www.shop.test\", \"a.b.shop.test\", \"other.test\", \"*.shop.test\"]
                                               ^^^^^^^^^^^^^^^
help: it is for `shop.test`, `*.shop.test`, `localhost`
s.toml:4:65: the route's certificate does not cover `other.test`
match.domains = [\"shop.test\", \"www.shop.test\", \"a.b.shop.test\", \"other.test\", \"*.shop.test\"]
                                                                ^^^^^^^^^^^^
help: it is for `shop.test`, `*.shop.test`, `localhost`";
    assert_eq!(faults(&terminating("one", domains, SHOP)), expected);
    right(&terminating("one", "match.domains = [\"shop.test\", \"**.shop.test\"]", SHOP));
    right(&terminating("one", "", SHOP));
    right(&terminating("one", "match.domains = [\"shop.test\", \"**.x.test\"]", "tls.certificate = \"self-signed\""));
}

#[test]
fn an_error_page_of_the_largest_size_is_read_and_one_byte_more_is_not() {
    let folder = folder();
    let text = "[defaults]\nerror_pages = { \"5xx\" = \"page.html\" }\n\
                [[routes]]\nname = \"a\"\nmatch.ports = [80]\ntargets = [\"a.b:1\"]\n";
    let mut page = vec![b'x'; usize::try_from(super::pages::ERROR_PAGE_SIZE_MAX).unwrap()];
    fs::write(folder.path().join("page.html"), &page).unwrap();
    assemble(&source(folder.path()), folder.path(), text, None).unwrap();
    page.push(b'x');
    fs::write(folder.path().join("page.html"), &page).unwrap();
    let faults = assemble(&source(folder.path()), folder.path(), text, None).unwrap_err();
    assert!(faults.starts_with("s.toml:2:25: page.html: the file is larger than 262144 bytes\n"), "{faults}");
}

#[test]
fn the_addresses_of_the_same_routes_share_one_table() {
    let folder = folder();
    let route = |name: &str, ports: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\nmatch.ports = {ports}\nmatch.domains = [\"{name}.test\"]\ntargets = [\"a.b:1\"]\n"
        )
    };
    let text = route("one", "[\"8000-8002\"]") + &route("two", "[8002]");
    let generation = assemble(&source(folder.path()), folder.path(), &text, None).unwrap();
    let [first, second, third] = generation.sites.values().collect::<Vec<_>>()[..] else { panic!("{generation:?}") };
    assert!(Arc::ptr_eq(&first.table, &second.table) && !Arc::ptr_eq(&first.table, &third.table));
    assert_eq!((first.table.in_order().count(), third.table.in_order().count()), (1, 2));
    assert_ne!(first.address, second.address);
}

#[test]
fn each_domain_that_no_certificate_covers_is_named_for_each_route_that_has_it() {
    let text = STORE.to_owned()
        + &terminating("one", "match.domains = [\"www.shop.test\", \"other.test\"]", "")
        + &terminating("two", "match.domains = [\"other.test\"]\nmatch.path = \"/x/\"", "");
    let shown = faults(&text);
    assert_eq!(shown.matches("no certificate covers `other.test`").count(), 2, "{shown}");
    assert!(shown.starts_with("s.toml:7:35: ") && shown.contains("\ns.toml:14:18: "), "{shown}");
    right(&(STORE.replace("shop", "other") + &text));
    // Who has its own is not served from the list.
    right(
        &(STORE.to_owned() + &terminating("one", "match.domains = [\"other.test\"]", &SHOP.replace("shop", "other"))),
    );
}

#[test]
fn a_file_that_cannot_be_had_is_a_fault_at_its_own_place_and_the_only_one() {
    let expected = "s.toml:3:7: none.key: the file does not exist
key = \"none.key\"
      ^^^^^^^^^^";
    let routes = terminating("one", "match.domains = [\"shop.test\"]", "")
        + &terminating("two", "match.domains = [\"other.test\"]\ntls.min_version = \"1.3\"", "");
    assert_eq!(faults(&(STORE.replace("shop.key", "none.key") + &routes)), expected);
    let expected = "s.toml:2:15: none.pem: the file does not exist
certificate = \"none.pem\"
              ^^^^^^^^^^";
    assert_eq!(faults(&(STORE.replace("shop.pem", "none.pem") + &routes)), expected);
    let shown = faults(&(STORE.replace("shop", "none") + &routes));
    let places: Vec<_> = shown.lines().filter(|line| line.starts_with("s.toml:")).collect();
    assert_eq!(
        places,
        ["s.toml:2:15: none.pem: the file does not exist", "s.toml:3:7: none.key: the file does not exist"]
    );
    // That two do not belong together is said once, at the certificate.
    let shown = faults(&(STORE.replace("shop.key", "other.key") + &routes));
    assert_eq!(shown.matches("s.toml:").count(), 1, "{shown}");
    assert!(shown.starts_with("s.toml:2:15: shop.pem: the certificate does not belong to"), "{shown}");
    // Two routes with the same pair: once.
    let own = SHOP.replace("shop.key", "none.key");
    let twice = terminating("one", "match.domains = [\"shop.test\"]", &own)
        + &terminating("two", "match.domains = [\"www.shop.test\"]", &own);
    let shown = faults(&twice);
    assert!(shown.starts_with("s.toml:6:53: none.key: the file does not exist"), "{shown}");
    assert_eq!(shown.matches("s.toml:").count(), 1, "{shown}");
    // A file with both, of which the key is missing.
    let shown = faults(&(STORE.replace("shop.key", "shop.pem") + &routes));
    assert_eq!(shown.matches("s.toml:").count(), 1, "{shown}");
    assert!(shown.starts_with("s.toml:3:7: shop.pem: there is no private key"), "{shown}");
}

#[test]
fn as_many_faults_as_are_allowed_are_shown_and_the_rest_are_counted() {
    let text = |count: usize| {
        let domains: Vec<_> = (0..count).map(|index| format!("\"n{index}.test\"")).collect();
        terminating("one", &format!("match.domains = [{}]", domains.join(", ")), SHOP)
    };
    let most = crate::config::FAULTS_MAX;
    assert!(!faults(&text(most)).contains("more"));
    assert!(faults(&text(most + 1)).ends_with("and 1 more"));
}

#[test]
fn a_route_and_a_target_that_are_away_for_a_while_go_on_where_they_were_while_somebody_uses_them() {
    let folder = folder();
    let source = source(folder.path());
    let with = |name: &str, target: &str| {
        format!("[[routes]]\nname = \"{name}\"\nmatch.ports = [80]\ntargets = [\"{target}\"]\n")
    };
    let first = assemble(&source, folder.path(), &with("one", "a.b:1"), None).unwrap();
    let slot = first.routes[0].admission.admit("10.0.0.1".parse().unwrap()).unwrap();
    // A connection to the target holds it too.
    let target = source.targets.find_or_make(&key("a.b", 1), |_| panic!("it is known"));
    let second = assemble(&source, folder.path(), &with("two", "a.b:2"), Some(&first)).unwrap();
    drop(first);
    let third = assemble(&source, folder.path(), &with("one", "a.b:1"), Some(&second)).unwrap();
    assert_eq!(third.routes[0].admission.load.live(), 1, "the connection of before is counted");
    assert!(Arc::ptr_eq(&target, &source.targets.find_or_make(&key("a.b", 1), |_| panic!("it is known"))));
    drop(slot);
    assert_eq!(third.routes[0].admission.load.live(), 0);
    drop((second, target));
    // What nobody uses is forgotten: of "two", nothing is left.
    let fourth = assemble(&source, folder.path(), &with("one", "a.b:1"), Some(&third)).unwrap();
    assert_eq!((fourth.number, source.loads.len(), source.targets.len()), (4, 1, 1));
}

fn key(host: &str, port: u16) -> crate::upstream::TargetKey {
    use crate::upstream::{TargetHost, TargetKey, TargetPort};
    TargetKey { host: TargetHost::Name(crate::name::HostName::parse(host).unwrap()), port: TargetPort::Fixed(port) }
}

#[test]
fn a_self_signed_certificate_stays_the_same_while_it_is_used_and_is_forgotten_then() {
    let folder = folder();
    let source = source(folder.path());
    let load = |index: usize, before: Option<&Generation>| {
        let domains = format!("match.domains = [\"kept.test\"]\nmatch.path = \"/{index}\"");
        let gone =
            terminating("gone", &format!("match.domains = [\"n{index}.test\"]"), "tls.certificate = \"self-signed\"");
        let text = terminating("kept", &domains, "tls.certificate = \"self-signed\"") + &gone;
        assemble(&source, folder.path(), &text, before).unwrap()
    };
    let kept = || {
        let names = [HostPattern::parse("kept.test").unwrap()];
        source.self_signed.find_or_make(&names[..], |_| panic!("it is known"))
    };
    let mut generation = load(0, None);
    let first = Arc::downgrade(&kept());
    for index in 1..20 {
        generation = load(index, Some(&generation));
    }
    assert!(first.upgrade().is_some_and(|first| Arc::ptr_eq(&first, &kept())));
    // The one that is kept, that of the last generation, and that of the one before, which was in use while the last was made.
    assert!(source.self_signed.len() <= 3, "{}", source.self_signed.len());
}

#[test]
fn each_timeout_and_limit_reaches_the_part_that_keeps_it() {
    let names = [
        "sniff",
        "tls_handshake",
        "connect",
        "connect_total",
        "idle",
        "half_closed",
        "linger",
        "max_lifetime",
        "request_head",
        "keep_alive",
        "response_head",
        "body",
        "tunnel",
        "upstream_keep_alive",
    ];
    // Each has a number of seconds of its own, from 1 on.
    let lines: String = (1..).zip(names).map(|(number, name)| format!("timeouts.{name} = \"{number}s\"\n")).collect();
    let limits = "limits = { max_connections = 5, max_connections_per_ip = 6, max_request_body = \"7B\", max_request_head = \"9KiB\", min_rate = \"3B\" }";
    let text = format!("[[routes]]\nname = \"one\"\nmatch.ports = [80]\ntargets = [\"a.b:1\"]\n{lines}{limits}\n");
    let folder = folder();
    let generation = assemble(&source(folder.path()), folder.path(), &text, None).unwrap();
    let (route, site) = (&generation.routes[0], generation.sites.values().next().unwrap());
    let Action::Forward(forward) = &route.action else { panic!("{:?}", route.action) };
    let (relay, inside, outside) = (&route.relay, &route.http.connection, &route.http.timeouts);
    let kept = [
        (site.sniff, "sniff"),
        (site.linger, "linger"),
        (route.handshake, "tls_handshake"),
        (forward.timeouts.tls_handshake, "tls_handshake"),
        (forward.timeouts.connect, "connect"),
        (forward.timeouts.connect_total, "connect_total"),
        (relay.idle, "idle"),
        (relay.half_closed, "half_closed"),
        (relay.linger, "linger"),
        (relay.max_lifetime.unwrap(), "max_lifetime"),
        (inside.request_head, "request_head"),
        (inside.keep_alive, "keep_alive"),
        (inside.body, "body"),
        (inside.linger, "linger"),
        (inside.max_lifetime.unwrap(), "max_lifetime"),
        (outside.response_head, "response_head"),
        (outside.body, "body"),
        (outside.tunnel, "tunnel"),
        (outside.linger, "linger"),
        (outside.upstream_keep_alive, "upstream_keep_alive"),
    ];
    for (duration, name) in kept {
        let number = names.iter().position(|known| *known == name).unwrap() as u64 + 1;
        assert_eq!(duration.as_secs(), number, "{name}");
    }
    assert!(names.iter().all(|name| kept.iter().any(|(_, kept)| kept == name)), "each is kept somewhere");
    let admission = &route.admission;
    assert_eq!((admission.max_connections, admission.max_connections_per_ip), (5, 6));
    assert_eq!((route.http.max_request_body, inside.max_request_head), (Some(7), 9 * 1024));
    assert_eq!(inside.min_rate, NonZeroU64::new(3).map(MinRate::new));
}

#[test]
fn a_policy_towards_targets_is_shared_by_equals_and_kept_over_a_reload() {
    let folder = folder();
    let source = source(folder.path());
    let reencrypting = |name: &str, upstream: &str| {
        terminating(name, &format!("match.domains = [\"{name}.test\"]"), "tls.certificate = \"self-signed\"")
            .replace("\"terminate\"", "\"terminate-and-reencrypt\"")
            + &format!("tls.upstream = {upstream}\n")
    };
    let text = reencrypting("a", "{ verify = false, server_name = \"x.test\" }")
        + &reencrypting("b", "{ verify = false, server_name = \"x.test\" }")
        + &reencrypting("c", "{ verify = false, server_name = \"y.test\" }")
        + &reencrypting("d", "{ ca = \"shop.pem\", server_name = \"x.test\" }")
        + &reencrypting(
            "e",
            "{ verify = false, server_name = \"x.test\", client_certificate = { certificate = \"shop.pem\", key = \"shop.key\" } }",
        );
    let classes = |generation: &Generation| -> Vec<u64> {
        let class = |route: &Arc<Route>| match &route.action {
            Action::Forward(forward) => forward.pool_class.0,
            Action::Redirect(_) | Action::Respond(_) => 0,
        };
        generation.routes.iter().map(class).collect()
    };
    let first = assemble(&source, folder.path(), &text, None).unwrap();
    assert_eq!(classes(&first), [1, 1, 2, 3, 4]);
    let second = assemble(&source, folder.path(), &text, Some(&first)).unwrap();
    assert_eq!(classes(&second), classes(&first), "pooled connections and sessions stay good");
    drop((first, second));
    let third = assemble(&source, folder.path(), &text, None).unwrap();
    assert_eq!(classes(&third), [5, 5, 6, 7, 8], "a class is never used again");
}

#[test]
fn what_needs_a_restart_is_named_until_file_and_process_agree() {
    let folder = folder();
    let source = source(folder.path());
    let route = "[[routes]]\nname = \"a\"\nmatch.ports = [80]\nrespond = {}\n";
    let first = assemble(&source, folder.path(), route, None).unwrap();
    assert_eq!(first.needs_restart(), None);
    let said = |settings: &str| {
        let text = format!("{settings}\n{route}");
        assemble(&source, folder.path(), &text, Some(&first)).unwrap().needs_restart().unwrap_or_default()
    };
    let one = |key: &str| format!("{key} is read at start only: restart for its change to count");
    assert_eq!(said("server.workers = 3"), one("[server] workers"));
    assert_eq!(said("log.level = \"debug\""), one("[log]"));
    assert_eq!(said("admin.socket = \"\""), one("[admin] socket"));
    assert_eq!(said("admin.listen = \"127.0.0.1:9900\""), one("[admin] listen"));
    let tls = "tls = { certificate = \"shop.pem\", key = \"shop.key\" }";
    assert_eq!(
        said(&format!("server.workers = 3\nlog.access = false\n[admin]\nlisten = \"127.0.0.1:9900\"\n{tls}")),
        "[server] workers, [log], [admin] listen and whether there is [admin] tls are read at start only: restart for \
         their changes to count"
    );
    assert_eq!(said("server.shutdown_timeout = \"1s\""), "");
}

#[test]
fn a_token_that_everybody_on_the_host_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.path().join("admin.token");
    fs::write(&path, "0123456789abcdef".repeat(2)).unwrap();
    let text = "admin.token_file = \"admin.token\"\n[[routes]]\nname = \"a\"\nmatch.ports = [80]\nrespond = {}\n";
    for (mode, open) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let warnings = assemble(&source(folder.path()), folder.path(), text, None).unwrap().warnings;
        let said = format!(
            "{}: every user of this host can read the token, which opens kill, reload and drain; `chmod 600` it",
            path.display()
        );
        assert_eq!(warnings, if open { vec![said] } else { vec![] }, "{mode:o}");
    }
}
