/// Rows of a table that are shown unless a query says how many: a page of some hundred KiB.
pub(super) const ROWS_SHOWN: usize = 1_000;

/// Names, addresses and the like that are shown of one row; how many there are is said beside them.
pub(super) const NAMES_SHOWN_MAX: usize = 16;

/// How many rows are wanted, by a query that may say `limit` and nothing else; or what is wrong with it, in a sentence.
pub(super) fn limit(query: &str) -> Result<Option<usize>, String> {
    let mut limit = None;
    for (key, value) in pairs(query) {
        limit = Some(if key == "limit" { rows(&value)? } else { return Err("the query may be limit=NUMBER".into()) });
    }
    Ok(limit)
}

/// The value of a `limit`.
pub(super) fn rows(value: &str) -> Result<usize, String> {
    value.parse().map_err(|_| "limit is a number of rows".into())
}

/// The pairs of a query, decoded (RFC 3986 section 2.1). What is no pair, or no text once decoded, is left as it stands: it
/// then is no word that anybody knows.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key), decoded(value))
    })
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let code = behind.first_chunk::<2>().filter(|_| *first == b'%');
        let value = code.and_then(|[high, low]| Some((hex(*high)? << 4) | hex(*low)?));
        bytes.push(value.unwrap_or(*first));
        rest = if value.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_what_is_no_code_stays() {
        let pairs: Vec<_> =
            pairs("client=10.0.0.0%2F8&target=%5b::1%5D%3A80&&odd=%&odd=%4&odd=%zz&odd=%FF&alone").collect();
        let expected = [
            ("client", "10.0.0.0/8"),
            ("target", "[::1]:80"),
            ("odd", "%"),
            ("odd", "%4"),
            ("odd", "%zz"),
            ("odd", "%FF"),
            ("alone", ""),
        ];
        assert_eq!(pairs, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
