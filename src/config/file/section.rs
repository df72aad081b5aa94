use std::ops::Deref;

use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::{DeString, DeValue};

use crate::config::place::Located;
use crate::config::report::Report;
use crate::config::value::{Key, KeyDoc, Kind, nearest};

/// A table with known keys.
pub(in crate::config) trait Section: Kind + Default + 'static {
    /// Its own keys.
    const NAMES: &'static [&'static str];

    /// What a value of the key is, if it is one of its own.
    fn kind_of(key: &str) -> Option<String>;

    /// What is written here, or else there, key by key.
    fn over(&self, base: &Self) -> Self;

    /// A section in which nothing is written.
    fn empty() -> &'static Self;
}

/// A section that is seldom written, kept out of line: a file has many routes, and each has room for every key.
#[derive(Clone, Debug)]
pub(in crate::config) struct Sub<T>(Box<T>);

impl<T> Deref for Sub<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Section> Kind for Sub<T> {
    fn expected() -> String {
        T::expected()
    }

    fn decode(value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<Self> {
        T::decode(value, report).map(|section| Self(Box::new(section)))
    }

    fn schema() -> Json {
        T::schema()
    }

    fn show(&self) -> Json {
        self.0.show()
    }

    fn keys() -> Vec<KeyDoc> {
        T::keys()
    }
}

/// A section that may be absent, as one that says nothing.
pub(in crate::config) fn or_empty<T: Section>(key: &Key<Sub<T>>) -> &T {
    key.value().map_or_else(|| T::empty(), |section| &section.0)
}

/// Declares a section once: from this come the mirror of the text, its decoder, its schema and its list of keys.
///
/// `key: Kind,` may be absent; `key: Kind [required],` may not; `key: Kind = default,` also gets a method of the key's
/// name that gives the value or the default. `(short function)` after the section's name gives the table that someone meant
/// who wrote a string.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $section:ident $((short $short:path))? {
            $( $(#[doc = $doc:literal])+ $field:ident: $kind:ty $([$required:ident])? $(= $default:expr)?, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default)]
        pub(in crate::config) struct $section {
            $( $(#[doc = $doc])+ pub(in crate::config) $field: $crate::config::value::Key<$kind>, )+
        }

        impl $section {
            $($(
                /// The value, or the default.
                pub(in crate::config) fn $field(&self) -> $kind {
                    self.$field.value().cloned().unwrap_or_else(|| $default)
                }
            )?)+
        }

        impl $crate::config::file::section::Section for $section {
            const NAMES: &'static [&'static str] =
                &[$( $crate::config::file::section::key_name(stringify!($field)) ),+];

            fn kind_of(key: &str) -> Option<String> {
                $(
                    if key == $crate::config::file::section::key_name(stringify!($field)) {
                        return Some(<$kind as $crate::config::value::Kind>::expected());
                    }
                )+
                None
            }

            fn over(&self, base: &Self) -> Self {
                Self { $( $field: self.$field.or(&base.$field), )+ }
            }

            fn empty() -> &'static Self {
                static EMPTY: std::sync::OnceLock<$section> = std::sync::OnceLock::new();
                EMPTY.get_or_init(Self::default)
            }
        }

        impl $crate::config::value::Kind for $section {
            fn expected() -> String {
                "a table".into()
            }

            fn decode(
                value: &toml::Spanned<toml::de::DeValue<'_>>,
                report: &mut $crate::config::report::Report,
            ) -> Option<Self> {
                use $crate::config::file::section::{key_name, unknown_key};
                let short: Option<fn(&str) -> String> = None$(.or(Some($short)))?;
                let table = $crate::config::value::table_of(&Self::expected(), short, value, report)?;
                let mut section = Self::default();
                for (key, value) in table {
                    let name: &str = key.get_ref();
                    $(
                        if name == key_name(stringify!($field)) {
                            section.$field = $crate::config::value::Key::decode(key, value, report);
                            continue;
                        }
                    )+
                    let near = unknown_key::<Self>(key, report);
                    $(
                        if near == Some(key_name(stringify!($field))) && section.$field.written().is_none() {
                            section.$field = $crate::config::value::Key::Faulty(key.span().into());
                        }
                    )+
                }
                $($( $crate::config::file::section::missing(stringify!($required), stringify!($field), &section.$field, value, report); )?)+
                Some(section)
            }

            fn schema() -> serde_json::Value {
                use $crate::config::file::section::{Described, described, key_name, object};
                object(vec![$( Described {
                    key: key_name(stringify!($field)),
                    required: [$(stringify!($required))?].contains(&"required"),
                    node: described(
                        &[$($doc),+],
                        <$kind as $crate::config::value::Kind>::schema(),
                        None$(.or(Some(<$kind as $crate::config::value::Kind>::show(&$default))))?,
                    ),
                } ),+])
            }

            fn show(&self) -> serde_json::Value {
                serde_json::Value::Null
            }

            fn keys() -> Vec<$crate::config::value::KeyDoc> {
                use $crate::config::file::section::{key_docs, key_name};
                let mut keys = Vec::new();
                $( key_docs::<$kind>(key_name(stringify!($field)), &[$($doc),+], &mut keys); )+
                keys
            }
        }
    };
}

pub(in crate::config) use section;

/// The key of a field: its name, without what Rust needs in front of a word of its own.
pub(in crate::config) const fn key_name(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// Reports a key that no one knows, with the one that was meant. Gives the section's key that it belongs to, which is
/// then not missing: one error is one fault.
pub(in crate::config) fn unknown_key<S: Section>(
    key: &Spanned<DeString<'_>>,
    report: &mut Report,
) -> Option<&'static str> {
    let name: &str = key.get_ref();
    let message = format!("unknown key `{}`", name.escape_debug());
    let keys = S::keys();
    // `ports` in a route is `match.ports`.
    let inner = keys.iter().find(|doc| doc.path.rsplit_once('.').is_some_and(|(_, last)| last == name));
    let near = nearest(name, S::NAMES.iter().copied()).or(inner.map(|doc| doc.path.as_str()));
    let is_list_of_tables = |near: &str| S::kind_of(near).is_some_and(|kind| kind == "a list, each a table");
    let help = match near {
        Some(near) if is_list_of_tables(near) => format!("did you mean `[[{near}]]`?"),
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the keys here are {}", S::NAMES.join(", ")),
    };
    report.fault_with_help(key.span().into(), message, help);
    let first = near?.split('.').next()?;
    S::NAMES.iter().copied().find(|known| *known == first)
}

/// Reports a required key that is not there.
pub(in crate::config) fn missing<T>(
    _required: &'static str,
    field: &'static str,
    key: &Key<T>,
    section: &Spanned<DeValue<'_>>,
    report: &mut Report,
) {
    if key.written().is_none() {
        report.missing(section.span().into(), format!("`{}` is missing", key_name(field)));
    }
}

/// A key in the schema.
pub(in crate::config) struct Described {
    pub(in crate::config) key: &'static str,
    pub(in crate::config) required: bool,
    pub(in crate::config) node: Json,
}

/// A schema node with its description and its default.
pub(in crate::config) fn described(doc: &[&str], mut node: Json, default: Option<Json>) -> Json {
    if let Some(object) = node.as_object_mut() {
        object.insert("description".into(), joined(doc).into());
        if let Some(default) = default {
            object.insert("default".into(), default);
        }
    }
    node
}

/// The schema of a table with these keys and no others.
pub(in crate::config) fn object(keys: Vec<Described>) -> Json {
    let required: Vec<Json> = keys.iter().filter(|key| key.required).map(|key| key.key.into()).collect();
    let properties: Map<String, Json> = keys.into_iter().map(|key| (key.key.into(), key.node)).collect();
    let mut node = serde_json::json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if let Some(node) = node.as_object_mut()
        && !required.is_empty()
    {
        node.insert("required".into(), required.into());
    }
    node
}

/// Adds a key and those inside of it to a list.
pub(in crate::config) fn key_docs<T: Kind>(key: &'static str, doc: &[&str], keys: &mut Vec<KeyDoc>) {
    keys.push(KeyDoc { path: key.into(), doc: joined(doc) });
    keys.extend(T::keys().into_iter().map(|inner| KeyDoc { path: format!("{key}.{}", inner.path), ..inner }));
}

fn joined(doc: &[&str]) -> String {
    doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// The values of a list that may be absent.
pub(in crate::config) fn listed<T>(key: &Key<Vec<Located<T>>>) -> &[Located<T>] {
    key.value().map_or(&[], Vec::as_slice)
}
