//! The page of metrics and the dashboard are the program's own.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use smartproxy::telemetry::{Meters, MetricKind};

use super::sources::root;

/// The rows of the table are the catalogue of the code: none missing, none made up, none reworded.
/// `UPDATE_METRICS=1 cargo test --test tidy metrics` writes them anew.
#[test]
fn the_table_of_metrics_is_the_codes_own() {
    let meters = Meters::new();
    let rows: Vec<String> = meters
        .catalogue()
        .iter()
        .map(|info| {
            let labels = info.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
            format!("| `{}` | {} | {labels} | {} |", info.name, info.kind.as_str(), info.help)
        })
        .collect();
    let path = root().join("docs/metrics.md");
    let page = fs::read_to_string(&path).unwrap();
    let is_row = |line: &&str| line.starts_with("| `");
    if std::env::var_os("UPDATE_METRICS").is_some() {
        let head = "| metric | kind | labels | what it says |\n| --- | --- | --- | --- |\n";
        let without: String = page.lines().filter(|line| !is_row(line)).map(|line| format!("{line}\n")).collect();
        fs::write(&path, without.replace(head, &format!("{head}{}\n", rows.join("\n")))).unwrap();
        return;
    }
    let found: Vec<&str> = page.lines().filter(is_row).collect();
    assert_eq!(found, rows);
}

/// Every name of ours that a query asks for is a series that there is, with the labels that it is asked by.
#[test]
fn what_the_dashboard_asks_for_is_there() {
    let text = fs::read_to_string(root().join("config/grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut queries = Vec::new();
    collect(&dashboard, &mut queries);
    assert!(queries.len() > 20, "only {} queries were found", queries.len());
    let meters = Meters::new();
    let series: BTreeSet<String> = meters
        .catalogue()
        .iter()
        .flat_map(|info| match info.kind {
            MetricKind::Histogram => ["_bucket", "_sum", "_count"].map(|end| format!("{}{end}", info.name)).to_vec(),
            MetricKind::Counter | MetricKind::Gauge => vec![info.name.to_owned()],
        })
        .collect();
    let mut asked = BTreeSet::new();
    for query in &queries {
        let words = query.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        let names: Vec<&str> =
            words.filter(|word| word.starts_with("smartproxy_") || word.starts_with("process_")).collect();
        assert!(!names.is_empty(), "{query} asks for nothing of ours");
        for name in names {
            assert!(series.contains(name), "{query} asks for {name}, which is not there");
            asked.insert(name.to_owned());
        }
    }
    assert!(asked.len() > 25, "{asked:?}");
}

/// What a dashboard of Grafana has to have to be imported: a title, a place for each panel, a query and an own number.
#[test]
fn the_dashboard_can_be_imported() {
    let text = fs::read_to_string(root().join("config/grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(dashboard["title"], "smartproxy");
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36);
    assert_eq!(dashboard["id"], Value::Null, "Grafana gives it a number of its own");
    let inputs = dashboard["__inputs"].as_array().unwrap();
    assert_eq!((&inputs[0]["name"], &inputs[0]["pluginId"]), (&"DS_PROMETHEUS".into(), &"prometheus".into()));
    let mut numbers = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(numbers.insert(panel["id"].as_u64().unwrap()), "{panel} has another's number");
        let place = &panel["gridPos"];
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| place[side].as_u64().unwrap());
        assert!(x + w <= 24 && w > 0 && h > 0, "{panel} is beside the grid");
        for cell in (x..x + w).flat_map(|column| (y..y + h).map(move |line| (column, line))) {
            assert!(taken.insert(cell), "{panel} stands on another one");
        }
        if panel["type"] == "row" {
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], "${DS_PROMETHEUS}");
        assert!(!panel["title"].as_str().unwrap().is_empty());
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{panel} asks for nothing");
    }
}

/// Every expression of the dashboard and of the page is one that Prometheus can read: its own tool has nothing to say.
#[test]
fn what_is_asked_is_sound_in_the_language_of_prometheus() {
    let text = fs::read_to_string(root().join("config/grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut queries = Vec::new();
    collect(&dashboard, &mut queries);
    let page = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let asked = page.split("## What to ask").nth(1).unwrap();
    let expressions = asked.lines().filter_map(|line| line.strip_prefix("| ")?.split('`').nth(1));
    let variables = ["$job", "$instance", "$route"];
    let rules: Vec<Value> = queries
        .iter()
        .filter(|query| !query.starts_with("label_values("))
        .map(|query| query.replace("$__rate_interval", "5m"))
        .map(|query| variables.iter().fold(query, |query, variable| query.replace(variable, ".*")))
        .chain(expressions.map(ToOwned::to_owned))
        .enumerate()
        .map(|(number, expr)| serde_json::json!({ "record": format!("r:{number}"), "expr": expr }))
        .collect();
    assert!(rules.len() > 50, "only {} expressions were found", rules.len());
    // JSON is YAML.
    let file = tempfile::NamedTempFile::new().unwrap();
    let groups = serde_json::json!({ "groups": [{ "name": "all", "rules": rules }] });
    fs::write(file.path(), groups.to_string()).unwrap();
    match std::process::Command::new("promtool").args(["check", "rules"]).arg(file.path()).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => assert!(std::env::var_os("CI").is_none(), "promtool (of Debian's package prometheus): {error}"),
    }
}

/// Every query, wherever it stands.
fn collect<'a>(node: &'a Value, queries: &mut Vec<&'a str>) {
    match node {
        Value::Object(fields) => {
            for (name, inner) in fields {
                match inner.as_str() {
                    Some(text) if name == "expr" || (name == "query" && text.contains("smartproxy_")) => {
                        queries.push(text)
                    }
                    Some(_) | None => collect(inner, queries),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|inner| collect(inner, queries)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
