use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::kind::{Problem, TextKind};

/// The units with their bytes, largest first.
const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A number of bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Size(pub(in crate::config) u64);

impl TextKind for Size {
    fn expected() -> String {
        "a size such as \"64KiB\", \"1MiB\" or \"0\"".into()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        if text == "0" {
            return Ok(Self(0));
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let wrong = || Problem::new(format!("\"{}\" is not a size", text.escape_debug()));
        if number.is_empty() {
            return Err(wrong().help("write a whole number and a unit: \"512B\", \"64KiB\", \"1MiB\" or \"1GiB\""));
        }
        if unit.is_empty() {
            return Err(wrong().help(format!("write the unit: \"{number}B\" or \"{number}KiB\"")));
        }
        let Some((_, bytes)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(match meant(unit) {
                Some(near) => wrong().help(format!("did you mean `{number}{near}`?")),
                None => wrong().help("write one whole number and one unit of B, KiB, MiB or GiB"),
            });
        };
        let total = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*bytes));
        total.map(Self).ok_or_else(|| Problem::new("this size is too large"))
    }

    fn text(&self) -> String {
        if self.0 == 0 {
            return "0".into();
        }
        let whole = UNITS.iter().find(|(_, bytes)| self.0.is_multiple_of(*bytes));
        let (unit, bytes) = whole.copied().unwrap_or(("B", 1));
        format!("{}{unit}", self.0 / bytes)
    }

    fn help_for(value: &DeValue<'_>) -> Option<String> {
        let number = value.as_integer()?.as_str();
        Some(if number == "0" {
            "write \"0\"".into()
        } else {
            format!("write the unit: \"{number}B\" or \"{number}KiB\"")
        })
    }

    fn text_schema() -> Json {
        json!({ "type": "string", "pattern": "^(0|[0-9]+(B|KiB|MiB|GiB))$" })
    }
}

/// The unit that a person means who writes `k`, `KB`, `mb` or `mib`.
fn meant(unit: &str) -> Option<&'static str> {
    let first = unit.chars().next()?.to_ascii_lowercase();
    let rest = unit.get(1..)?.to_ascii_lowercase();
    if !["", "b", "ib"].contains(&rest.as_str()) {
        return None;
    }
    UNITS.iter().map(|(name, _)| *name).find(|name| name.to_ascii_lowercase().starts_with(first))
}

/// Reads a size as the configuration writes it, for the command line.
///
/// # Errors
/// What is wrong with the text, and what to write instead.
pub fn parse_size(text: &str) -> Result<u64, String> {
    Size::parse(text).map(|Size(bytes)| bytes).map_err(Problem::into_sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_read_and_written_back() {
        for (text, bytes) in [("0", 0), ("512B", 512), ("64KiB", 65_536), ("1MiB", 1 << 20), ("3GiB", 3 << 30)] {
            let size = Size::parse(text).unwrap();
            assert_eq!((size.0, size.text().as_str()), (bytes, text));
        }
    }

    #[test]
    fn a_size_that_is_none_is_refused_with_what_was_meant() {
        for (text, help) in [
            ("64k", "did you mean `64KiB`?"),
            ("64KB", "did you mean `64KiB`?"),
            ("1mib", "did you mean `1MiB`?"),
            ("64", "write the unit: \"64B\" or \"64KiB\""),
            ("1 MiB", "write one whole number and one unit of B, KiB, MiB or GiB"),
        ] {
            assert_eq!(Size::parse(text).unwrap_err().help.as_deref(), Some(help), "{text}");
        }
        assert!(Size::parse("17179869184GiB").is_err());
        assert!(Size::parse("18446744073709551615B").is_ok());
        assert!(Size::parse("1\u{e9}b").is_err());
    }
}
