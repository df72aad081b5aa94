use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ACCEPT_RANGES, AGE, AUTHORIZATION, CACHE_CONTROL, CONNECTION,
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, DATE, ETAG, EXPECT, EXPIRES, HOST,
    HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION, ORIGIN, PRAGMA, RANGE, REFERER, SERVER,
    SET_COOKIE, STRICT_TRANSPORT_SECURITY, TE, TRANSFER_ENCODING, UPGRADE, UPGRADE_INSECURE_REQUESTS, USER_AGENT, VARY,
    VIA,
};

/// A field's name; none if it has a byte that no name has, or no byte at all.
pub(super) fn field_name(name: &[u8]) -> Option<HeaderName> {
    common(name).or_else(|| HeaderName::from_bytes(name).ok())
}

/// The names that come most, as HTTP/1.1 writes them and as HTTP/2 does: to compare whole names is several times cheaper than
/// to check and fold their letters (measured: `docs/performance.md`).
const fn common(name: &[u8]) -> Option<HeaderName> {
    Some(match name {
        b"Accept" | b"accept" => ACCEPT,
        b"Accept-Encoding" | b"accept-encoding" => ACCEPT_ENCODING,
        b"Accept-Language" | b"accept-language" => ACCEPT_LANGUAGE,
        b"Accept-Ranges" | b"accept-ranges" => ACCEPT_RANGES,
        b"Age" | b"age" => AGE,
        b"Authorization" | b"authorization" => AUTHORIZATION,
        b"Cache-Control" | b"cache-control" => CACHE_CONTROL,
        b"Connection" | b"connection" => CONNECTION,
        b"Content-Encoding" | b"content-encoding" => CONTENT_ENCODING,
        b"Content-Language" | b"content-language" => CONTENT_LANGUAGE,
        b"Content-Length" | b"content-length" => CONTENT_LENGTH,
        b"Content-Type" | b"content-type" => CONTENT_TYPE,
        b"Cookie" | b"cookie" => COOKIE,
        b"Date" | b"date" => DATE,
        b"ETag" | b"etag" => ETAG,
        b"Expect" | b"expect" => EXPECT,
        b"Expires" | b"expires" => EXPIRES,
        b"Host" | b"host" => HOST,
        b"If-Modified-Since" | b"if-modified-since" => IF_MODIFIED_SINCE,
        b"If-None-Match" | b"if-none-match" => IF_NONE_MATCH,
        b"Last-Modified" | b"last-modified" => LAST_MODIFIED,
        b"Location" | b"location" => LOCATION,
        b"Origin" | b"origin" => ORIGIN,
        b"Pragma" | b"pragma" => PRAGMA,
        b"Range" | b"range" => RANGE,
        b"Referer" | b"referer" => REFERER,
        b"Server" | b"server" => SERVER,
        b"Set-Cookie" | b"set-cookie" => SET_COOKIE,
        b"Strict-Transport-Security" | b"strict-transport-security" => STRICT_TRANSPORT_SECURITY,
        b"TE" | b"te" => TE,
        b"Transfer-Encoding" | b"transfer-encoding" => TRANSFER_ENCODING,
        b"Upgrade" | b"upgrade" => UPGRADE,
        b"Upgrade-Insecure-Requests" | b"upgrade-insecure-requests" => UPGRADE_INSECURE_REQUESTS,
        b"User-Agent" | b"user-agent" => USER_AGENT,
        b"Vary" | b"vary" => VARY,
        b"Via" | b"via" => VIA,
        b"Keep-Alive" | b"keep-alive" => HeaderName::from_static("keep-alive"),
        b"Proxy-Connection" | b"proxy-connection" => HeaderName::from_static("proxy-connection"),
        b"Sec-Fetch-Dest" | b"sec-fetch-dest" => HeaderName::from_static("sec-fetch-dest"),
        b"Sec-Fetch-Mode" | b"sec-fetch-mode" => HeaderName::from_static("sec-fetch-mode"),
        b"Sec-Fetch-Site" | b"sec-fetch-site" => HeaderName::from_static("sec-fetch-site"),
        b"X-Forwarded-For" | b"x-forwarded-for" => HeaderName::from_static("x-forwarded-for"),
        b"X-Forwarded-Host" | b"x-forwarded-host" => HeaderName::from_static("x-forwarded-host"),
        b"X-Forwarded-Port" | b"x-forwarded-port" => HeaderName::from_static("x-forwarded-port"),
        b"X-Forwarded-Proto" | b"x-forwarded-proto" => HeaderName::from_static("x-forwarded-proto"),
        b"X-Real-Ip" | b"X-Real-IP" | b"x-real-ip" => HeaderName::from_static("x-real-ip"),
        b"X-Request-Id" | b"X-Request-ID" | b"x-request-id" => HeaderName::from_static("x-request-id"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_most_is_named_as_everything_else_is() {
        let lower = [
            "accept",
            "accept-encoding",
            "accept-language",
            "accept-ranges",
            "age",
            "authorization",
            "cache-control",
            "connection",
            "content-encoding",
            "content-language",
            "content-length",
            "content-type",
            "cookie",
            "date",
            "etag",
            "expect",
            "expires",
            "host",
            "if-modified-since",
            "if-none-match",
            "last-modified",
            "location",
            "origin",
            "pragma",
            "range",
            "referer",
            "server",
            "set-cookie",
            "strict-transport-security",
            "te",
            "transfer-encoding",
            "upgrade",
            "upgrade-insecure-requests",
            "user-agent",
            "vary",
            "via",
            "keep-alive",
            "proxy-connection",
            "sec-fetch-dest",
            "sec-fetch-mode",
            "sec-fetch-site",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-proto",
            "x-real-ip",
            "x-request-id",
        ];
        for name in lower {
            let upper =
                name.split('-').map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect::<Vec<_>>().join("-");
            for spelling in [name, &upper] {
                let found = common(spelling.as_bytes()).or_else(|| common(name.as_bytes()));
                assert_eq!(found, HeaderName::from_bytes(spelling.as_bytes()).ok(), "{spelling}");
                assert_eq!(field_name(spelling.as_bytes()), found);
            }
            assert_eq!(field_name(name.to_ascii_uppercase().as_bytes()).unwrap(), name);
            assert_eq!(common(format!("{name}x").as_bytes()), None);
        }
        assert_eq!(field_name(b"x-other").unwrap(), "x-other");
        assert_eq!(field_name(b""), None);
        assert_eq!(field_name(b"a b"), None);
    }
}
