use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use super::section::{Section, Sub};
use crate::config::report::Report;
use crate::config::value::{KeyDoc, Kind, OffWord, found};

/// A section that a route can do without where `[defaults]` has it.
#[derive(Clone, Debug)]
pub(in crate::config) enum OrOff<T> {
    /// Not here.
    Off,
    /// As it says.
    On(Sub<T>),
}

impl<T: Section> Kind for OrOff<T> {
    fn expected() -> String {
        "a table, or \"off\"".into()
    }

    fn decode(value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(_) => OffWord::decode(value, report).map(|OffWord::Off| Self::Off),
            DeValue::Table(_) => Sub::decode(value, report).map(Self::On),
            other => {
                found(&Self::expected(), other).report(value.span().into(), report);
                None
            }
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [OffWord::schema(), T::schema()] })
    }

    fn show(&self) -> Json {
        match self {
            Self::Off => OffWord::Off.show(),
            Self::On(section) => section.show(),
        }
    }

    fn keys() -> Vec<KeyDoc> {
        T::keys()
    }
}
