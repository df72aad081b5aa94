use serde_json::{Value as Json, json};

use super::file::Root;
use super::value::Kind;

/// The JSON Schema (draft 2020-12) of a configuration file, for editors.
///
/// It comes from the same definitions as the decoder; what holds across keys only the decoder knows.
#[must_use]
pub fn schema() -> Json {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "smartproxy configuration",
    });
    if let (Some(schema), Json::Object(root)) = (schema.as_object_mut(), Root::schema()) {
        schema.extend(root);
    }
    schema
}
