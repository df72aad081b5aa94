use rustls::CertificateError;
use rustls::pki_types::UnixTime;
use x509_parser::time::ASN1Time;

/// How many names of a target's certificate are told: an operator needs to see which it is, and a target may send hundreds.
const NAMES_TOLD_MAX: usize = 4;

/// How long a name may be of which that much is told; RFC 1035 section 2.3.4 allows 255 bytes.
const NAME_TOLD_MAX: usize = 255;

/// What is wrong with a target's certificate, and where that is put right, in words for the operator.
pub(super) fn verdict(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(error) = error else {
        return "the target shows no certificate".to_owned();
    };
    match error {
        CertificateError::Expired => "the target's certificate has expired; renew it on the target".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the target's certificate expired{}; renew it on the target", on(*not_after))
        }
        CertificateError::NotValidYet => {
            "the target's certificate is not valid yet; are the clocks of both hosts right?".to_owned()
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!(
                "the target's certificate becomes valid only{}; are the clocks of both hosts right?",
                on(*not_before)
            )
        }
        CertificateError::NotValidForName => {
            "the target's certificate is for another name; tls.upstream.server_name says under which it is verified"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "the target's certificate is for {}, not for {}; tls.upstream.server_name says under which name it is verified",
            names(presented),
            expected.to_str()
        ),
        CertificateError::UnknownIssuer => {
            "no authority that is trusted here has signed the target's certificate; tls.upstream.ca names who is trusted \
             (without it the system's roots), and the target has to send its whole chain"
                .to_owned()
        }
        // The library says which: it adds to these.
        _ => "the target's certificate does not verify".to_owned(),
    }
}

/// The names of a certificate, as the library writes them: `DnsName("a.example")`, `IpAddress(192.0.2.1)`.
fn names(presented: &[String]) -> String {
    if presented.is_empty() {
        return "no name at all".to_owned();
    }
    let mut told: Vec<String> = presented.iter().take(NAMES_TOLD_MAX).map(|name| bare(name)).collect();
    let more = presented.len().saturating_sub(NAMES_TOLD_MAX);
    if more > 0 {
        told.push(format!("{more} more"));
    }
    match told.pop() {
        Some(last) if !told.is_empty() => format!("{} and {last}", told.join(", ")),
        Some(only) => only,
        None => String::new(),
    }
}

fn bare(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_kind, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"').chars().take(NAME_TOLD_MAX).collect()
}

/// The day, if it is one that a calendar has.
fn on(time: UnixTime) -> String {
    let time = i64::try_from(time.as_secs()).ok().and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
    time.map(|time| format!(" on {}", time.to_datetime().date())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::ServerName;

    use super::*;

    fn said(error: CertificateError) -> String {
        verdict(&rustls::Error::InvalidCertificate(error))
    }

    fn misnamed(presented: &[String]) -> String {
        let expected = ServerName::try_from("api.internal").unwrap();
        said(CertificateError::NotValidForNameContext { expected, presented: presented.to_vec() })
    }

    #[test]
    fn a_time_that_no_calendar_has_is_left_out() {
        let of = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expired = |not_after| said(CertificateError::ExpiredContext { time: of(0), not_after });
        assert_eq!(
            expired(of(1_700_000_000)),
            "the target's certificate expired on 2023-11-14; renew it on the target"
        );
        assert_eq!(expired(of(u64::MAX)), "the target's certificate expired; renew it on the target");
    }

    #[test]
    fn of_many_names_a_few_are_told_and_the_rest_is_counted() {
        let name = |number: usize| format!("DnsName(\"{number}.test\")");
        let starts = |count: usize, words: &str| {
            let said = misnamed(&(1..=count).map(name).collect::<Vec<_>>());
            assert!(
                said.starts_with(&format!("the target's certificate is for {words}, not for api.internal; ")),
                "{said}"
            );
        };
        starts(0, "no name at all");
        starts(1, "1.test");
        starts(2, "1.test and 2.test");
        starts(NAMES_TOLD_MAX, "1.test, 2.test, 3.test and 4.test");
        starts(NAMES_TOLD_MAX + 1, "1.test, 2.test, 3.test, 4.test and 1 more");
        assert!(misnamed(&["IpAddress(192.0.2.1)".to_owned()]).contains("is for 192.0.2.1, not for"));
        let long = misnamed(&[format!("DnsName(\"{}\")", "x".repeat(NAME_TOLD_MAX + 1))]);
        assert!(long.contains(&format!(" {}, not for", "x".repeat(NAME_TOLD_MAX))), "{long}");
    }

    #[test]
    fn what_has_no_words_of_its_own_is_left_to_the_library() {
        assert_eq!(said(CertificateError::BadEncoding), "the target's certificate does not verify");
        assert_eq!(verdict(&rustls::Error::NoCertificatesPresented), "the target shows no certificate");
    }
}
