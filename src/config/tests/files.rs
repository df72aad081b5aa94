use std::path::Path;

use crate::config::file::Root;
use crate::config::value::Kind;
use crate::config::{Config, schema};

const REFERENCE: &str = include_str!("../../../config/smartproxy.toml");
const QUICKSTART: &str = include_str!("../../../config/quickstart.toml");
const SCHEMA: &str = include_str!("../../../config/smartproxy.schema.json");

fn load(text: &str) -> Config {
    Config::from_text(text, Path::new("smartproxy.toml")).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The rule by which the reference tells settings that are turned off from text, as it says itself.
const RULE: &str = "A line that begins with `#` and then anything but a blank is a setting";

/// The reference with every setting turned on.
fn turned_on() -> String {
    let line = |line: &'static str| match line.strip_prefix('#') {
        Some(setting) if setting.starts_with(|first: char| !first.is_whitespace()) => setting,
        Some(_) | None => line,
    };
    REFERENCE.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_quickstart_and_the_reference_load_as_they_stand() {
    assert_eq!(load(QUICKSTART).routes.len(), 1);
    assert_eq!(load(REFERENCE).routes.len(), 1);
}

#[test]
fn the_reference_says_at_its_top_how_a_setting_is_turned_on() {
    let top: Vec<_> = REFERENCE.lines().take_while(|line| line.starts_with('#')).collect();
    assert!(top.join("\n").contains(RULE));
    // What is on and what is off are told apart by the rule alone: there is no setting that only looks like text.
    let text = REFERENCE.lines().filter_map(|line| line.strip_prefix("# ").or(line.strip_prefix("#\t")));
    for line in text {
        let starts = line.trim_start();
        let key = starts.split(" = ").next().unwrap_or_default();
        let is_key = starts.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '.' || c == '_');
        assert!(!is_key && !starts.starts_with(['{', '[', ']']), "{line}");
    }
}

#[test]
fn the_reference_loads_with_every_setting_turned_on() {
    let config = load(&turned_on());
    let names: Vec<&str> = config.routes.iter().map(|route| &*route.rule.name).collect();
    assert_eq!(names, ["site", "api", "passthrough", "terminate", "reencrypt", "database", "to-https", "hello"]);
}

#[test]
fn what_the_reference_shows_as_defaults_are_the_defaults() {
    let (mut shown, defaults) = (load(&turned_on()), load(REFERENCE));
    shown.defaults.security.allow = None;
    assert_eq!(shown.defaults, defaults.defaults);
    assert_eq!(shown.server, defaults.server);
    assert_eq!(shown.log, defaults.log);
    assert_eq!(shown.admin.listen, defaults.admin.listen);
}

#[test]
fn the_reference_names_every_key() {
    let text = turned_on();
    for key in Root::keys() {
        let last = key.path.rsplit('.').next().unwrap();
        let named = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).any(|word| word == last);
        assert!(named, "{} is not in config/smartproxy.toml: {}", key.path, key.doc);
    }
}

#[test]
fn the_installed_schema_is_the_schema() {
    let fresh = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/config/smartproxy.schema.json"), &fresh).unwrap();
        return;
    }
    assert_eq!(SCHEMA, fresh, "run the tests with UPDATE_SCHEMA=1 to write it anew");
}

#[test]
fn every_schema_node_is_described_and_closed() {
    fn walk(node: &serde_json::Value, path: &str) {
        if let Some(properties) = node.get("properties").and_then(|properties| properties.as_object()) {
            assert_eq!(node.get("additionalProperties"), Some(&false.into()), "{path}");
            for (key, inner) in properties {
                assert!(inner.get("description").is_some(), "{path}.{key}");
                walk(inner, &format!("{path}.{key}"));
            }
        }
        if let Some(items) = node.get("items") {
            walk(items, path);
        }
    }
    walk(&schema(), "");
}
