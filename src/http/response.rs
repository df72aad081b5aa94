use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{StatusCode, Version};

use super::exchange::Exchange;
use super::forward::Forwarding;
use super::hop;
use crate::head::ResponseParts;

/// Why an answer of a target is not handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("the target's answer gives its length twice, or in two ways")]
    Framing,
    #[error("the target switches protocols without having been asked")]
    Unasked,
}

/// Turns the head that a target sent into the head that the client gets.
///
/// # Errors
/// The target's: its answer is ambiguous, and what follows it cannot be trusted either.
pub(super) fn prepare(
    parts: &mut ResponseParts,
    asked_to_upgrade: bool,
    exchange: &Exchange,
    forwarding: &Forwarding<'_>,
) -> Result<(), Refused> {
    let received = parts.version;
    clean(parts, asked_to_upgrade)?;
    if let Some(via) = &forwarding.forwarded.via {
        via.add(&mut parts.headers, received);
    }
    forwarding.response_headers.apply(&mut parts.headers, exchange, forwarding.tls);
    Ok(())
}

/// What does not depend on the route.
fn clean(parts: &mut ResponseParts, asked_to_upgrade: bool) -> Result<(), Refused> {
    check_framing(parts)?;
    let protocol = if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let protocol = hop::upgrade(&parts.headers).filter(|_| asked_to_upgrade);
        Some(protocol.ok_or(Refused::Unasked)?)
    } else {
        None
    };
    // The client is answered in its own version, whatever stands here; a target's 1.0 would only forbid chunks.
    parts.version = Version::HTTP_11;
    hop::remove(&mut parts.headers);
    if let Some(protocol) = protocol {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, protocol);
    }
    Ok(())
}

fn check_framing(parts: &ResponseParts) -> Result<(), Refused> {
    let headers = &parts.headers;
    let mut codings = headers.get_all(TRANSFER_ENCODING);
    let mut lengths = headers.get_all(CONTENT_LENGTH);
    let (coding, length) = (codings.next(), lengths.next());
    let repeated = codings.next().is_some() || lengths.next().is_some();
    let chunked = coding.is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"));
    let number = length.is_none_or(|value| !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit));
    if repeated || !chunked || !number || (coding.is_some() && length.is_some()) {
        return Err(Refused::Framing);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn prepared(status: u16, fields: &[(&str, &str)], asked: bool) -> Result<ResponseParts, Refused> {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let mut parts = response.body(()).unwrap().into_parts().0.into();
        clean(&mut parts, asked).map(|()| parts)
    }

    #[test]
    fn ambiguous_answers_are_refused() {
        for fields in [
            &[("content-length", "1"), ("content-length", "1")][..],
            &[("content-length", "1"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("content-length", "1, 1")],
        ] {
            assert_eq!(prepared(200, fields, false).unwrap_err(), Refused::Framing, "{fields:?}");
        }
        let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
        assert_eq!(prepared(101, &upgrade, false).unwrap_err(), Refused::Unasked);
        assert_eq!(prepared(101, &[], true).unwrap_err(), Refused::Unasked);
        assert_eq!(prepared(101, &upgrade, true).unwrap().headers.len(), 2);
        assert!(prepared(200, &[("connection", "x-one"), ("x-one", "1")], false).unwrap().headers.is_empty());
    }
}
