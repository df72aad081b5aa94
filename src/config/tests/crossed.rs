use super::{faults, valid};

const TERMINATE: &str = "tls = { mode = \"terminate\", certificate = \"self-signed\" }";
const PASSTHROUGH: &str = "tls.mode = \"passthrough\"";

/// Two routes on ports of their own with lines of their own.
fn two(first_ports: &str, first: &str, second_ports: &str, second: &str) -> String {
    let route = |name: &str, ports: &str, lines: &str| {
        format!("[[routes]]\nname = \"{name}\"\nmatch.ports = {ports}\ntargets = [\"a.b:1\"]\n{lines}\n")
    };
    route("one", first_ports, first) + &route("two", second_ports, second)
}

#[test]
fn a_name_is_not_both_passed_through_and_terminated_on_one_address() {
    let passed = format!("match.domains = [\"b.c\", \"A.b.\"]\n{PASSTHROUGH}");
    let terminated = format!("match.domains = [\"x.c\", \"a.B\"]\n{TERMINATE}");
    let expected = "11:25: `a.b` on [::]:443 is both passed through and terminated
match.domains = [\"x.c\", \"a.B\"]
                        ^^^^^
help: the other is route `one` in line 2";
    assert_eq!(faults(&two("[443]", &passed, "[80, 443]", &terminated)), expected);
    valid(&two("[443]", &passed, "[8443]", &terminated));
    valid(&two("[443]", &passed, "[\"127.0.0.1:443\"]", &terminated));
    let wider = format!("match.domains = [\"*.b\"]\n{TERMINATE}");
    valid(&two("[443]", &passed, "[443]", &wider));
}

#[test]
fn a_range_of_ports_gives_one_fault_for_a_name() {
    let passed = format!("match.domains = [\"a.b\"]\n{PASSTHROUGH}");
    let terminated = format!("match.domains = [\"a.b\"]\n{TERMINATE}");
    let shown = faults(&two("[\"9000-9100\"]", &passed, "[\"9050-9150\"]", &terminated));
    assert_eq!(shown.matches("is both passed through and terminated").count(), 1, "{shown}");
    assert!(shown.contains("[::]:9050"), "{shown}");
}

#[test]
fn a_name_has_one_set_of_tls_settings_on_one_address() {
    let first = format!("match.domains = [\"a.b\"]\nmatch.path = \"/x/\"\n{TERMINATE}");
    for other in [
        "certificate = { certificate = \"a.pem\", key = \"a.key\" }",
        "certificate = \"self-signed\", min_version = \"1.3\"",
        "certificate = \"self-signed\", client_auth = { mode = \"required\", ca = \"ca.pem\" }",
    ] {
        let second = format!("match.domains = [\"a.b\"]\ntls = {{ mode = \"terminate\", {other} }}");
        let shown = faults(&two("[443]", &first, "[443]", &second));
        let expected =
            "13:1: `a.b` on [::]:443 has two TLS settings: certificate, min_version and client_auth must be the same\n";
        assert!(shown.starts_with(expected), "{shown}");
        valid(&two("[443]", &first, "[444]", &second));
    }
    // What leads to the target may differ: it is chosen request by request.
    let second =
        "match.domains = [\"a.b\"]\ntls = { mode = \"terminate-and-reencrypt\", certificate = \"self-signed\" }";
    valid(&two("[443]", &first, "[443]", second));
}

#[test]
fn the_same_files_written_at_two_places_are_the_same_settings() {
    let lines = "match.domains = [\"a.b\"]\ntls = { mode = \"terminate\", certificate = { certificate = \"a.pem\", key = \"a.key\" } }";
    valid(&two("[443]", &format!("match.path = \"/x/\"\n{lines}"), "[443]", lines));
}

#[test]
fn a_name_is_not_both_http_and_tcp_on_one_address() {
    let http = format!("match.domains = [\"a.b\"]\n{TERMINATE}");
    let tcp = format!("match.domains = [\"a.b\"]\nprotocol = \"tcp\"\n{TERMINATE}");
    let shown = faults(&two("[443]", &http, "[443]", &tcp));
    assert!(shown.contains("`a.b` on [::]:443 is both \"http\" and \"tcp\""), "{shown}");
    let shown = faults(&two("[443]", TERMINATE, "[443]", &format!("protocol = \"tcp\"\n{TERMINATE}")));
    assert!(shown.contains("a connection without a name on [::]:443 is both \"http\" and \"tcp\""), "{shown}");
}

#[test]
fn a_disabled_route_is_checked_but_takes_no_part() {
    let passed = format!("match.domains = [\"a.b\"]\n{PASSTHROUGH}\nenabled = false");
    let terminated = format!("match.domains = [\"a.b\"]\n{TERMINATE}");
    let config = valid(&two("[443]", &passed, "[443]", &terminated));
    assert_eq!(config.routes.len(), 1);
    assert_eq!((config.routes[0].rule.id.0, &*config.routes[0].rule.name), (0, "two"));
    let broken = format!("{passed}\npriority = \"high\"");
    assert!(faults(&two("[443]", &broken, "[443]", &terminated)).contains("expected a whole number"));
    let same_name = two("[1]", "enabled = false", "[2]", "").replace("two", "one");
    assert!(faults(&same_name).contains("the name `one` is taken"));
}

#[test]
fn an_address_of_a_disabled_route_only_is_not_listened_on() {
    let text = two("[80]", "", "[81]", "enabled = false");
    let addresses: Vec<String> =
        valid(&text).listeners.iter().map(|listener| listener.address.value.to_string()).collect();
    assert_eq!(addresses, ["[::]:80"]);
    assert!(faults(&format!("{text}[[listeners]]\naddress = 81")).contains("no route listens on [::]:81"));
}

#[test]
fn a_route_that_is_shadowed_on_each_of_its_addresses_is_a_fault() {
    let expected = "7:8: this route can never be reached: `one` takes everything first
name = \"two\"
       ^^^^^
help: make its `match` narrower than in line 2, or its `priority` higher";
    assert_eq!(faults(&two("[80, \"81-90\"]", "priority = 1", "[80, \"85-89\"]", "match.path = \"/x\"")), expected);
    // On port 91 it is reached.
    valid(&two("[\"80-90\"]", "priority = 1", "[\"90-91\"]", "match.path = \"/x\""));
}

/// A route of a name of its own at these ports, with lines of its own.
fn forwarding(name: &str, ports: &str, target: &str, lines: &str) -> String {
    format!("[[routes]]\nname = \"{name}\"\nmatch.ports = [{ports}]\ntargets = [\"{target}\"]\n{lines}\n")
}

#[test]
fn a_target_that_is_an_address_of_its_own_route_is_a_fault() {
    let expected = "4:12: the target localhost:8080 is an address of this route itself
targets = [\"localhost:8080\"]
           ^^^^^^^^^^^^^^^^
help: what is forwarded would come back for ever; name another server";
    assert_eq!(faults(&forwarding("a", "8080", "localhost:8080", "")), expected);
    for (ports, target, lines) in [
        ("8080", "127.0.0.1:8080", ""),
        ("8080", "127.9.9.9:8080", "protocol = \"tcp\""),
        ("8080", "[::1]:8080", ""),
        ("8080", "0.0.0.0:8080", ""),
        ("8080", "[::ffff:127.0.0.1]:8080", ""),
        ("8080", "app.localhost:8080", "preserve_host = false"),
        ("\"0.0.0.0:8080\"", "127.0.0.1:8080", ""),
        ("\"127.0.0.1:8080\"", "localhost:8080", ""),
        ("\"10.0.0.5:8080\"", "10.0.0.5:8080", ""),
        ("\"8000-8100\"", "localhost:8080", ""),
        ("80, 8080", "localhost:preserve", ""),
        ("8080", "localhost:8080", PASSTHROUGH),
        // One listener says that the address is this machine's, another has the port.
        ("8080, \"10.0.0.5:443\"", "10.0.0.5:8080", ""),
        ("8080", "localhost:8080", "match.domains = [\"a.b\", \"*.c\"]"),
    ] {
        let shown = faults(&forwarding("a", ports, target, lines));
        assert!(shown.contains("is an address of this route itself"), "{ports} {target}: {shown}");
    }
    for (ports, target, lines) in [
        ("8080", "127.0.0.1:8081", ""),
        ("8080", "10.0.0.5:8080", ""),
        ("8080", "a.b:8080", ""),
        ("\"127.0.0.1:8080\"", "127.0.0.2:8080", ""),
        ("\"10.0.0.5:8080\"", "127.0.0.1:8080", ""),
        ("\"0.0.0.0:8080\"", "[::1]:8080", ""),
        ("0", "127.0.0.1:8080", ""),
        // What leaves in the clear does not come back to a route that takes TLS.
        ("8443", "127.0.0.1:8443", TERMINATE),
        // Nor what leaves from here to one that takes others' only.
        ("8080", "127.0.0.1:8080", "match.client_ips = [\"10.0.0.0/8\"]"),
        ("8080", "127.0.0.1:8080", "enabled = false\n[[routes]]\nname = \"b\"\nmatch.ports = [1]\nrespond = {}"),
    ] {
        valid(&forwarding("a", ports, target, lines));
    }
}

#[test]
fn a_target_that_leads_back_over_other_routes_is_a_fault() {
    let three = |last: &str| {
        forwarding("a", "8080", "127.0.0.1:8081", "")
            + &forwarding("b", "8081", "127.0.0.1:8082", "")
            + &forwarding("c", "8082", last, "")
    };
    let shown = faults(&three("127.0.0.1:8080"));
    assert_eq!(shown.matches("leads back to this route").count(), 3, "{shown}");
    assert!(shown.contains("4:12: the target 127.0.0.1:8081 leads back"), "{shown}");
    assert!(shown.contains("help: route `b` in line 7 takes it there"), "{shown}");
    valid(&three("127.0.0.1:9"));
    // Only those of the circle are named, not who leads into it.
    let shown = faults(&three("127.0.0.1:8081"));
    assert_eq!(shown.matches("leads back to this route").count(), 2, "{shown}");
    // Passed through by name at one port, ended at another: that is how a name is told apart.
    let split = forwarding("split", "443", "127.0.0.1:8443", &format!("match.domains = [\"a.b\"]\n{PASSTHROUGH}"))
        + &forwarding("end", "8443", "127.0.0.1:80", TERMINATE)
        + &forwarding("web", "80", "10.0.0.1:80", "");
    valid(&split);
    // The system gives a connection to the nearest of two listeners, and that one's routes lead elsewhere.
    let narrow =
        |target| forwarding("wide", "80", "127.0.0.1:80", "") + &forwarding("near", "\"127.0.0.1:80\"", target, "");
    valid(&narrow("10.0.0.1:80"));
    assert!(faults(&narrow("[::1]:80")).contains("leads back"));
    // Each names a host of its own: nothing comes back.
    let named = |name: &str| format!("match.domains = [\"{name}\"]");
    let apart =
        forwarding("x", "80", "127.0.0.1:81", &named("x.a")) + &forwarding("y", "81", "127.0.0.1:80", &named("y.a"));
    valid(&apart);
    assert!(faults(&apart.replace("x.a", "*.a")).contains("leads back"));
}

#[test]
fn as_many_routes_as_are_followed_are_followed_and_one_more_is_not() {
    let pairs = |count: usize| {
        let named = |index| format!("match.domains = [\"h{index}.a\"]");
        let pair = |index| {
            forwarding(&format!("x{index}"), "80", "127.0.0.1:81", &named(index))
                + &forwarding(&format!("y{index}"), "81", "127.0.0.1:80", &named(index))
        };
        (0..count).map(pair).collect::<String>()
    };
    let most = crate::config::resolve::comeback::FOLLOWED_MAX;
    assert_eq!(super::load(&pairs(most / 2)).unwrap_err().iter().count(), most);
    valid(&pairs(most / 2 + 1));
}

#[test]
fn the_operators_pages_have_an_address_of_their_own() {
    let with =
        |listen: &str, ports: &str| format!("[admin]\nlisten = \"{listen}\"\n{}", forwarding("a", ports, "a.b:1", ""));
    let expected = "2:10: 127.0.0.1:9900 cannot be listened on: route `a` has [::]:9900
listen = \"127.0.0.1:9900\"
         ^^^^^^^^^^^^^^^^
help: give one of the two another port; the route is in line 4";
    assert_eq!(faults(&with("127.0.0.1:9900", "80, 9900")), expected);
    for (listen, ports) in [
        ("127.0.0.1:9900", "\"127.0.0.1:9900\""),
        ("127.0.0.1:9900", "\"0.0.0.0:9900\""),
        ("0.0.0.0:9900", "\"127.0.0.1:9900\""),
        ("[::]:9900", "\"127.0.0.1:9900\""),
        ("[::1]:9900", "\"9000-9999\""),
    ] {
        assert!(faults(&with(listen, ports)).contains("cannot be listened on"), "{listen} {ports}");
    }
    for (listen, ports) in [
        ("127.0.0.1:9900", "9901"),
        ("127.0.0.1:9900", "\"127.0.0.2:9900\""),
        ("[::1]:9900", "\"0.0.0.0:9900\""),
        ("127.0.0.1:0", "0"),
    ] {
        valid(&with(listen, ports));
    }
}
