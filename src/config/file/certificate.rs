use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use super::section::section;
use crate::config::report::Report;
use crate::config::value::{CertificateWord, FilePath, KeyDoc, Kind, found};

section! {
    /// A certificate and its key.
    CertificateTable {
        /// PEM file of the full chain, leaf first.
        certificate: FilePath [required],
        /// PEM file of the private key.
        key: FilePath [required],
    }
}

/// `tls.certificate`: a word or the files.
#[derive(Clone, Debug)]
pub(in crate::config) enum CertificateSpec {
    /// One that is made.
    Word(CertificateWord),
    /// One in files.
    Files(CertificateTable),
}

impl Kind for CertificateSpec {
    fn expected() -> String {
        "\"self-signed\" or { certificate = \"FILE\", key = \"FILE\" }".into()
    }

    fn decode(value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(_) => CertificateWord::decode(value, report).map(Self::Word),
            DeValue::Table(_) => CertificateTable::decode(value, report).map(Self::Files),
            other => {
                found(&Self::expected(), other).report(value.span().into(), report);
                None
            }
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [CertificateWord::schema(), CertificateTable::schema()] })
    }

    fn show(&self) -> Json {
        match self {
            Self::Word(word) => word.show(),
            Self::Files(files) => files.show(),
        }
    }

    fn keys() -> Vec<KeyDoc> {
        CertificateTable::keys()
    }
}
