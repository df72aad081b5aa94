use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use super::kind::{KeyDoc, Kind, found, table_of};
use crate::config::place::Located;
use crate::config::report::Report;

/// Values, each with its place. A faulty one is reported and left out.
pub(in crate::config) type List<T> = Vec<Located<T>>;

impl<T: Kind> Kind for List<T> {
    fn expected() -> String {
        format!("a list, each {}", T::expected())
    }

    fn decode(value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<Self> {
        let Some(array) = value.get_ref().as_array() else {
            let help = match (value.get_ref(), T::expected().as_str()) {
                (DeValue::Table(_), "a table") => "there may be several: write its header in double brackets, [[...]]",
                _ => "put it in [ ]",
            };
            found("a list", value.get_ref()).help(help).report(value.span().into(), report);
            return None;
        };
        let mut list = Self::with_capacity(array.len());
        let mut faulty = false;
        for element in array.iter() {
            match T::decode(element, report) {
                Some(read) => list.push(Located::new(read, element.span().into())),
                None => faulty = true,
            }
        }
        // A list of which nothing is left is not an empty list.
        if faulty && list.is_empty() { None } else { Some(list) }
    }

    fn schema() -> Json {
        json!({ "type": "array", "items": T::schema() })
    }

    fn show(&self) -> Json {
        self.iter().map(|located| located.value.show()).collect()
    }

    fn keys() -> Vec<KeyDoc> {
        T::keys()
    }
}

/// A table whose keys are the writer's own, such as header names; each with its place.
#[derive(Clone, Debug)]
pub(in crate::config) struct Table<T>(pub(in crate::config) Vec<(Located<String>, Located<T>)>);

impl<T: Kind> Kind for Table<T> {
    fn expected() -> String {
        format!("a table, each value {}", T::expected())
    }

    fn decode(value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<Self> {
        let table = table_of("a table", None, value, report)?;
        let mut entries = Vec::with_capacity(table.len());
        for (key, value) in table {
            if let Some(read) = T::decode(value, report) {
                let key = Located::new(key.get_ref().to_string(), key.span().into());
                entries.push((key, Located::new(read, value.span().into())));
            }
        }
        Some(Self(entries))
    }

    fn schema() -> Json {
        json!({ "type": "object", "additionalProperties": T::schema() })
    }

    fn show(&self) -> Json {
        let entries = self.0.iter().map(|(key, value)| (key.value.clone(), value.value.show()));
        Json::Object(entries.collect())
    }
}
