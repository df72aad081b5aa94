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
