//! Why `match` answers no, in the words of the configuration.

use std::fmt::Write;

use super::question::Question;
use crate::config::{Config, Route};

/// Which list of the route's `security` keeps the client out, and whose it is.
pub(super) fn by_which_list(question: &Question, route: &Route) -> Option<String> {
    let security = &route.security;
    let whose = |own: bool| if own { format!("route {}", route.rule.name) } else { "[defaults]".to_owned() };
    let client = question.from;
    let mut why = match &security.allow {
        _ if security.block.contains(client) => {
            format!("{client} is in security.block of {}", whose(security.block_is_own))
        }
        Some(allow) if !allow.contains(client) => {
            format!("{client} is not in security.allow of {}", whose(security.allow_is_own))
        }
        // Nobody has the unspecified address: it is in no list.
        Some(_) | None => return None,
    };
    if question.from_is_assumed {
        why.push_str("; say with --from where the client comes from, which is assumed to be this host");
    }
    Some(why)
}

/// That nothing listens on the port, and where something does or would.
pub(super) fn nowhere(port: u16, config: &Config) -> String {
    let mut ports: Vec<u16> = config.listeners.iter().map(|listener| listener.address.value.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let (noun, ports) = (if ports.len() == 1 { "port" } else { "ports" }, ports.join(", "));
    let mut text = format!("no route listens on port {port}; those that there are listen on {noun} {ports}");
    for route in &config.disabled {
        if route.addresses.iter().any(|address| address.port() == port) {
            // Writing to a String cannot fail.
            let _ = write!(text, "; {} would, but is {OFF}", route.name);
        }
    }
    text
}

/// What a disabled route has to do with anything.
pub(super) const OFF: &str = "off (enabled = false)";
