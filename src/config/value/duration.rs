use std::time::Duration;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::kind::{Problem, TextKind};
use super::suggest::nearest;

/// The longest duration that a key may have: a year. More could overflow a clock (`Instant` plus `Duration` panics).
pub(in crate::config) const DURATION_MAX: Duration = Duration::from_hours(365 * 24);

/// The units, with their milliseconds, largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A duration that is not zero.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Time(pub(in crate::config) Duration);

/// A duration, or `"0s"` for off.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct TimeOrOff(pub(in crate::config) Option<Duration>);

impl TextKind for Time {
    fn expected() -> String {
        "a duration such as \"500ms\", \"5s\", \"10m\", \"1h\" or \"30d\"".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let duration = parse(text)?;
        if duration.is_zero() {
            return Err(Problem::new("this duration cannot be zero"));
        }
        Ok(Self(duration))
    }

    fn text(&self) -> String {
        text(self.0)
    }

    fn help_for(value: &DeValue<'_>) -> Option<String> {
        help_for(value)
    }

    fn text_schema() -> Json {
        json!({ "type": "string", "pattern": "^[0-9]*[1-9][0-9]*(ms|s|m|h|d)$" })
    }
}

impl TextKind for TimeOrOff {
    fn expected() -> String {
        "a duration such as \"5s\" or \"1h\", or \"0s\" for off".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        parse(text).map(|duration| Self(Some(duration).filter(|duration| !duration.is_zero())))
    }

    fn text(&self) -> String {
        text(self.0.unwrap_or_default())
    }

    fn help_for(value: &DeValue<'_>) -> Option<String> {
        help_for(value)
    }

    fn text_schema() -> Json {
        json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" })
    }
}

/// Reads a duration as the configuration writes it, for the command line.
///
/// # Errors
/// What is wrong with the text, and what to write instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    parse(text).map_err(Problem::into_sentence)
}

fn parse(text: &str) -> Result<Duration, Problem> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let wrong = || Problem::new(format!("\"{}\" is not a duration", text.escape_debug()));
    if number.is_empty() {
        return Err(wrong().help("write a whole number and a unit: \"500ms\", \"5s\", \"10m\", \"1h\" or \"30d\""));
    }
    if unit.is_empty() {
        return Err(wrong().help(format!("write the unit: \"{number}s\" or \"{number}ms\"")));
    }
    let Some((_, milliseconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        let units = UNITS.iter().map(|(name, _)| *name);
        let near = nearest(unit, units).filter(|near| near.eq_ignore_ascii_case(unit));
        return Err(match near {
            Some(near) => wrong().help(format!("did you mean `{number}{near}`?")),
            None => wrong().help("write one whole number and one unit of ms, s, m, h or d"),
        });
    };
    let total = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*milliseconds));
    match total.map(Duration::from_millis) {
        Some(duration) if duration <= DURATION_MAX => Ok(duration),
        Some(_) | None => Err(Problem::new("the longest duration is a year, \"365d\"")),
    }
}

fn text(duration: Duration) -> String {
    let total = duration.as_millis();
    if total == 0 {
        return "0s".into();
    }
    let whole = UNITS.iter().find(|(_, milliseconds)| total.is_multiple_of(u128::from(*milliseconds)));
    let (unit, milliseconds) = whole.copied().unwrap_or(("ms", 1));
    format!("{}{unit}", total / u128::from(milliseconds))
}

fn help_for(value: &DeValue<'_>) -> Option<String> {
    let number = value.as_integer()?.as_str();
    Some(format!("write the unit: \"{number}s\" or \"{number}ms\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_read_and_written_back() {
        for (text, seconds) in
            [("500ms", 0.5), ("5s", 5.0), ("10m", 600.0), ("1h", 3600.0), ("90s", 90.0), ("2d", 172_800.0)]
        {
            let time = Time::parse(text).unwrap();
            assert!((time.0.as_secs_f64() - seconds).abs() < f64::EPSILON);
            assert_eq!(time.text(), text);
        }
        assert_eq!(TimeOrOff::parse("0s").unwrap().0, None);
        assert_eq!(TimeOrOff(None).text(), "0s");
    }

    #[test]
    fn the_longest_duration_is_taken_and_one_millisecond_more_is_not() {
        assert_eq!(Time::parse("8760h").unwrap().0, DURATION_MAX);
        assert_eq!(Time::parse("365d").unwrap().0, DURATION_MAX);
        assert!(Time::parse("366d").is_err());
        assert!(Time::parse(&format!("{}ms", DURATION_MAX.as_millis() + 1)).is_err());
        assert!(Time::parse("99999999999999999999h").is_err());
        assert!(Time::parse("18446744073709551615h").is_err());
    }

    #[test]
    fn what_is_not_one_number_and_one_unit_is_refused() {
        for text in ["", "s", "5", "5 s", "1.5s", "1h30m", "-1s", "5S", "5sec", "0s"] {
            assert!(Time::parse(text).is_err(), "{text}");
        }
    }
}
