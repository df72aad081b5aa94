use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use super::kind::{Kind, found};
use super::list::List;
use super::scalar::Text;
use crate::config::report::Report;
use crate::telemetry::QueryMask;

/// `log.mask_query`: the names of parameters, or all of them.
#[derive(Clone, Debug)]
pub(in crate::config) struct MaskSpec(pub(in crate::config) QueryMask);

impl Kind for MaskSpec {
    fn expected() -> String {
        "a list of parameters such as [\"token\"], or \"all\"".into()
    }

    fn decode(value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) if &**text == "all" => Some(Self(QueryMask::All)),
            DeValue::Array(_) => names(&List::<Text>::decode(value, report)?, report).map(Self),
            other => {
                let help = "write \"all\", or the names in [ ]";
                found(&Self::expected(), other).help(help).report(value.span().into(), report);
                None
            }
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "enum": ["all"] }, List::<Text>::schema()] })
    }

    fn show(&self) -> Json {
        match &self.0 {
            QueryMask::Nothing => json!([]),
            QueryMask::Names(names) => json!(names),
            QueryMask::All => "all".into(),
        }
    }
}

fn names(list: &List<Text>, report: &mut Report) -> Option<QueryMask> {
    let mut names = Vec::with_capacity(list.len());
    for text in list {
        let name = text.value.0.as_str();
        if name.is_empty() || name.contains(['&', '=', ';', '%', '[', '?', '#']) || name.trim() != name {
            let help = "write it decoded and alone: \"token\" is also meant by %74oken= and token[]=";
            report.fault_with_help(text.place, format!("\"{}\" is not a parameter", name.escape_debug()), help);
            return None;
        }
        names.push(name.to_ascii_lowercase().into());
    }
    Some(if names.is_empty() { QueryMask::Nothing } else { QueryMask::Names(names) })
}
