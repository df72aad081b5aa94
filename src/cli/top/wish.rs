use crate::cli::connections::percent_encoded;
use crate::config::{parse_duration, parse_network, parse_size};
use crate::connection::State;

/// What the user has typed to narrow the list of connections, as the pairs of a query: words such as `route=shop`,
/// `client=10.0.0.0/8`, `older=5m`, `bytes=1MiB`; a word alone is a network, a state, a route that there is, or else a
/// target.
///
/// # Errors
/// What is not understood.
pub(super) fn query_of(text: &str, routes: &[&str]) -> Result<String, String> {
    let mut query = String::new();
    for word in text.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or_else(|| (guessed(word, routes), word));
        let pair = match key {
            "route" | "target" => format!("{key}={}", percent_encoded(value)),
            "client" => format!("client={}", percent_encoded(&parse_network(value)?.to_string())),
            "state" if is_state(value) => format!("state={value}"),
            "state" => return Err(format!("no state is called {value}")),
            "older" | "younger" => format!("{key}_seconds={}", parse_duration(value)?.as_secs_f64()),
            "bytes" => format!("bytes={}", parse_size(value)?),
            "id" => format!("id={}", value.parse::<u64>().map_err(|_| format!("{value} is no connection's number"))?),
            _ => return Err("the filters are route, client, target, state, older, younger, bytes and id".into()),
        };
        query.push('&');
        query.push_str(&pair);
    }
    Ok(query)
}

fn guessed(word: &str, routes: &[&str]) -> &'static str {
    if routes.contains(&word) {
        "route"
    } else if is_state(word) {
        "state"
    } else if parse_network(word).is_ok() {
        "client"
    } else {
        "target"
    }
}

fn is_state(word: &str) -> bool {
    State::ALL.iter().any(|state| state.as_str() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_filters_and_what_is_none_is_said() {
        let routes = ["shop"];
        for (text, query) in [
            ("", ""),
            ("shop", "&route=shop"),
            ("relaying", "&state=relaying"),
            ("10.0.0.0/8 older=5m", "&client=10.0.0.0%2F8&older_seconds=300"),
            ("10.1.2.3", "&client=10.1.2.3%2F32"),
            ("app.internal:80", "&target=app.internal%3A80"),
            ("bytes=1KiB id=7", "&bytes=1024&id=7"),
        ] {
            assert_eq!(query_of(text, &routes).as_deref(), Ok(query), "{text}");
        }
        for text in ["colour=red", "client=10.1.2.3/8", "state=gone", "older=5", "bytes=1", "id=x"] {
            assert!(query_of(text, &routes).is_err(), "{text}");
        }
    }
}
