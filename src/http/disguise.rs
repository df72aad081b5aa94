use http::header::HeaderName;

use crate::head::Headers;

/// Removes every field of this name, and those that a CGI-like target cannot tell from it: it reads `_` and `-` as the same.
pub(super) fn remove_alike(headers: &mut Headers, name: &HeaderName) {
    let same = |other: &HeaderName| {
        let bytes = || other.as_str().bytes().zip(name.as_str().bytes());
        let fold = |byte: u8| if byte == b'_' { b'-' } else { byte };
        other.as_str().len() == name.as_str().len() && bytes().all(|(one, two)| fold(one) == fold(two))
    };
    headers.remove_where(same);
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_reads_the_same_goes_and_nothing_else() {
        let mut headers = Headers::new();
        for name in ["remote-user", "remote_user", "remote-users", "x-remote-user", "remote.user", "remote-groups"] {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("root"));
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("again"));
        }
        remove_alike(&mut headers, &HeaderName::from_static("remote-user"));
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        left.dedup();
        assert_eq!(left, ["remote-groups", "remote-users", "remote.user", "x-remote-user"]);
        remove_alike(&mut headers, &HeaderName::from_static("x_remote-user"));
        assert!(!headers.contains_key("x-remote-user"));
    }
}
