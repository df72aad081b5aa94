use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::config::place::{Located, Place};
use crate::config::report::Report;

/// One kind of value: everything that reader, schema and documentation need to know of it.
pub(in crate::config) trait Kind: Sized {
    /// What a value of this kind is, with an article: `a duration such as "5s"`.
    fn expected() -> String;

    /// Reads a value, or reports why it is none.
    fn decode(value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<Self>;

    /// The JSON schema of the value.
    fn schema() -> Json;

    /// The value as the file would write it, for the documentation of a default.
    fn show(&self) -> Json;

    /// The keys inside of the value.
    fn keys() -> Vec<KeyDoc> {
        Vec::new()
    }
}

/// A key as it is documented.
#[derive(Clone, Debug)]
pub(in crate::config) struct KeyDoc {
    /// The key with those around it: `match.ports`.
    pub(in crate::config) path: String,
    /// What it is for.
    #[cfg_attr(not(test), expect(dead_code, reason = "the schema reads the same text at its source"))]
    pub(in crate::config) doc: String,
}

/// A kind that is written as a string.
pub(in crate::config) trait TextKind: Sized {
    /// What a value of this kind is, with an article.
    fn expected() -> String;

    /// Reads the text.
    fn parse(text: &str) -> Result<Self, Problem>;

    /// The text of the value.
    fn text(&self) -> String;

    /// Help for someone who wrote another type, such as a bare number.
    fn help_for(_value: &DeValue<'_>) -> Option<String> {
        None
    }

    /// The JSON schema of the text.
    fn text_schema() -> Json {
        json!({ "type": "string" })
    }
}

/// What is wrong with one value.
#[derive(Debug)]
pub(in crate::config) struct Problem {
    pub(in crate::config) message: String,
    pub(in crate::config) help: Option<String>,
}

impl Problem {
    pub(in crate::config) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    pub(in crate::config) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The two in one, where there is no place for each.
    pub(in crate::config) fn into_sentence(self) -> String {
        match self.help {
            Some(help) => format!("{}: {help}", self.message),
            None => self.message,
        }
    }

    pub(in crate::config) fn report(self, place: Place, report: &mut Report) {
        match self.help {
            Some(help) => report.fault_with_help(place, self.message, help),
            None => report.fault(place, self.message),
        }
    }
}

impl<T: TextKind> Kind for T {
    fn expected() -> String {
        T::expected()
    }

    fn decode(value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<Self> {
        let place = value.span().into();
        let parsed = match value.get_ref().as_str() {
            Some(text) => T::parse(text),
            None => {
                let problem = found(&T::expected(), value.get_ref());
                Err(Problem { help: T::help_for(value.get_ref()), ..problem })
            }
        };
        parsed.map_err(|problem| problem.report(place, report)).ok()
    }

    fn schema() -> Json {
        T::text_schema()
    }

    fn show(&self) -> Json {
        self.text().into()
    }
}

impl Kind for bool {
    fn expected() -> String {
        "true or false".into()
    }

    fn decode(value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<Self> {
        let read = value.get_ref().as_bool();
        if read.is_none() {
            found(&Self::expected(), value.get_ref()).report(value.span().into(), report);
        }
        read
    }

    fn schema() -> Json {
        json!({ "type": "boolean" })
    }

    fn show(&self) -> Json {
        (*self).into()
    }
}

/// The problem of a value that is of another type.
pub(in crate::config) fn found(expected: &str, value: &DeValue<'_>) -> Problem {
    let found = match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(true) => "true",
        DeValue::Boolean(false) => "false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Problem::new(format!("expected {expected}, found {found}"))
}

/// The value as a table, or a fault; `short` gives the table that someone meant who wrote a string.
pub(in crate::config) fn table_of<'v, 't>(
    expected: &str,
    short: Option<fn(&str) -> String>,
    value: &'v Spanned<DeValue<'t>>,
    report: &mut Report,
) -> Option<&'v DeTable<'t>> {
    let table = value.get_ref().as_table();
    if table.is_none() {
        let problem = found(expected, value.get_ref());
        let meant = value.get_ref().as_str().zip(short).map(|(text, short)| format!("write {}", short(text)));
        Problem { help: meant, ..problem }.report(value.span().into(), report);
    }
    table
}

/// What the file says at one key.
#[derive(Clone, Debug, Default)]
pub(in crate::config) enum Key<T> {
    /// Nothing.
    #[default]
    Absent,
    /// Something that is a fault, already reported: whoever needs the key must not report that it is missing.
    Faulty(Place),
    /// A value; with the place of the key itself.
    ///
    /// Boxed: a route has sixty keys and gives six, and a hundred thousand routes are read at once.
    Given(Place, Box<Located<T>>),
}

impl<T: Kind> Key<T> {
    /// Reads the value of a key.
    pub(in crate::config) fn decode(
        key: &Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
        report: &mut Report,
    ) -> Self {
        match T::decode(value, report) {
            Some(read) => Self::Given(key.span().into(), Box::new(Located::new(read, value.span().into()))),
            None => Self::Faulty(key.span().into()),
        }
    }
}

impl<T> Key<T> {
    /// The value with its place.
    pub(in crate::config) fn located(&self) -> Option<&Located<T>> {
        match self {
            Self::Absent | Self::Faulty(_) => None,
            Self::Given(_, located) => Some(located),
        }
    }

    /// The value.
    pub(in crate::config) fn value(&self) -> Option<&T> {
        self.located().map(|located| &located.value)
    }

    /// The place of the key, if the file has it.
    pub(in crate::config) fn written(&self) -> Option<Place> {
        match self {
            Self::Absent => None,
            Self::Faulty(key) | Self::Given(key, _) => Some(*key),
        }
    }
}

impl<T: Clone> Key<T> {
    /// What the file says here, or else there.
    pub(in crate::config) fn or(&self, base: &Self) -> Self {
        match self {
            Self::Absent => base.clone(),
            Self::Faulty(_) | Self::Given(..) => self.clone(),
        }
    }
}
