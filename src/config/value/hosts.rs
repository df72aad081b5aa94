use std::net::IpAddr;

use super::kind::{Problem, TextKind};
use crate::config::resolved::Host;
use crate::name::{HostName, HostPattern, InvalidHostName, InvalidHostPattern, PathPattern};

impl TextKind for HostPattern {
    fn expected() -> String {
        "a host name such as \"shop.example.com\" or \"*.example.com\"".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        Self::parse(text).map_err(|why| {
            let problem = Problem::new(format!("\"{}\" is not a host pattern: {why}", text.escape_debug()));
            match why {
                InvalidHostPattern::Star if ["*", "**"].contains(&text) => {
                    problem.help("leave `domains` out to take every name")
                }
                InvalidHostPattern::Name(InvalidHostName::Character) => help_for_character(problem, text),
                InvalidHostPattern::Star | InvalidHostPattern::Name(_) => problem,
            }
        })
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

fn help_for_character(problem: Problem, text: &str) -> Problem {
    if text.contains("://") {
        return problem.help("write the host name alone, without scheme and path");
    }
    match text.split_once(':') {
        Some((name, _)) if !text.starts_with('[') => {
            problem.help(format!("write \"{}\" alone; ports belong in `match.ports`", name.escape_debug()))
        }
        Some(_) | None => problem,
    }
}

impl TextKind for Host {
    fn expected() -> String {
        "a host name or an IP address".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>()
            && (bare.is_none() || address.is_ipv6())
        {
            return Ok(Self::Address(address));
        }
        HostName::parse(text)
            .map(Self::Name)
            .map_err(|why| Problem::new(format!("\"{}\" is not a host name or an address: {why}", text.escape_debug())))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl TextKind for PathPattern {
    fn expected() -> String {
        "a path such as \"/api/\" or \"/users/{id}\"".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        Self::parse(text)
            .map_err(|why| Problem::new(format!("\"{}\" is not a path pattern: {why}", text.escape_debug())))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}
