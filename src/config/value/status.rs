use std::ops::RangeInclusive;

use super::kind::Problem;
use super::suggest::nearest;

/// Reads the statuses that an error page is for: `404`, or `4xx` and `5xx` for all of a class.
pub(in crate::config) fn error_statuses(text: &str) -> Result<RangeInclusive<u16>, Problem> {
    let wrong = || Problem::new(format!("\"{}\" is not the status of an error", text.escape_debug()));
    match text {
        "4xx" => Ok(400..=499),
        "5xx" => Ok(500..=599),
        _ => match text.parse::<u16>() {
            Ok(status) if (400..=599).contains(&status) && text.len() == 3 => Ok(status..=status),
            Ok(_) | Err(_) => Err(match nearest(text, ["4xx", "5xx"]) {
                Some(near) => wrong().help(format!("did you mean `{near}`?")),
                None => wrong().help("write a status from \"400\" to \"599\", \"4xx\" or \"5xx\""),
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_or_a_class_of_errors_is_read_and_nothing_else() {
        assert_eq!(error_statuses("400").unwrap(), 400..=400);
        assert_eq!(error_statuses("599").unwrap(), 599..=599);
        assert_eq!(error_statuses("5xx").unwrap(), 500..=599);
        for text in ["399", "600", "0404", "+404", "3xx", "5XX", "*", "", "502 "] {
            assert!(error_statuses(text).is_err(), "{text}");
        }
    }
}
