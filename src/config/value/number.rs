use http::StatusCode;
use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use super::kind::{Kind, found};
use crate::config::report::Report;

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Whole<const MIN: u32, const MAX: u32>(pub(in crate::config) u32);

impl<const MIN: u32, const MAX: u32> Kind for Whole<MIN, MAX> {
    fn expected() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }

    fn decode(value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<Self> {
        let number = integer::<u32>(value.get_ref()).filter(|number| (MIN..=MAX).contains(number));
        reported(number, &Self::expected(), value, report).map(Self)
    }

    fn schema() -> Json {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }

    fn show(&self) -> Json {
        self.0.into()
    }
}

/// A whole number of either sign.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Signed(pub(in crate::config) i32);

impl Kind for Signed {
    fn expected() -> String {
        format!("a whole number from {} to {}", i32::MIN, i32::MAX)
    }

    fn decode(value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<Self> {
        reported(integer(value.get_ref()), &Self::expected(), value, report).map(Self)
    }

    fn schema() -> Json {
        json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX })
    }

    fn show(&self) -> Json {
        self.0.into()
    }
}

/// The status of a redirect (RFC 9110 section 15.4).
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct RedirectStatus(pub(in crate::config) StatusCode);

impl RedirectStatus {
    const ALL: [StatusCode; 5] = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
}

impl Kind for RedirectStatus {
    fn expected() -> String {
        "301, 302, 303, 307 or 308".into()
    }

    fn decode(value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<Self> {
        let number = integer::<u16>(value.get_ref());
        let status = Self::ALL.into_iter().find(|status| Some(status.as_u16()) == number);
        reported(status, &Self::expected(), value, report).map(Self)
    }

    fn schema() -> Json {
        json!({ "enum": Self::ALL.map(|status| status.as_u16()) })
    }

    fn show(&self) -> Json {
        self.0.as_u16().into()
    }
}

/// The integer that a value holds, if it fits.
pub(in crate::config) fn integer<N: TryFrom<i64>>(value: &DeValue<'_>) -> Option<N> {
    let integer = value.as_integer()?;
    let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok()?;
    N::try_from(number).ok()
}

fn reported<T>(read: Option<T>, expected: &str, value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<T> {
    if read.is_none() {
        match value.get_ref().as_integer() {
            Some(number) => report.fault(value.span().into(), format!("expected {expected}, found {number}")),
            None => found(expected, value.get_ref()).report(value.span().into(), report),
        }
    }
    read
}
