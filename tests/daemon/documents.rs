//! What the documents tell people to write is what the program takes: every configuration in them is checked by it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{BINARY, FILE, USERS, certificate_for, folder_with};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page: the README and what is in `docs/`.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    pages.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    pages
}

/// A configuration that a page shows.
struct Example {
    place: String,
    text: String,
}

/// Every block of TOML of every page. Each is a whole configuration, or else nobody could try it.
fn examples() -> Vec<Example> {
    let mut examples = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            if line == "```toml" {
                let block: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
                let place = format!("{}:{}", page.file_name().unwrap().to_string_lossy(), number + 2);
                examples.push(Example { place, text: block.join("\n") + "\n" });
            }
        }
    }
    examples
}

/// All that stands between quotation marks.
fn named(example: &Example) -> impl Iterator<Item = &str> {
    example.text.split('"').skip(1).step_by(2)
}

/// A folder with the configuration and, under the names that it gives them, certificates, keys and pages.
fn folder(example: &Example) -> TempDir {
    let folder = folder_with("");
    fs::write(folder.path().join(FILE), &example.text).unwrap();
    let domains = example.text.lines().filter_map(|line| line.split_once("domains = [")?.1.split(']').next());
    let asked = example.text.lines().filter_map(|line| line.strip_prefix("# https://")?.split(['/', ':', ' ']).next());
    let names: Vec<&str> = domains.flat_map(|list| list.split('"').skip(1).step_by(2)).chain(asked).collect();
    let (certificate, key) = certificate_for(&names);
    fs::write(folder.path().join("server.pem"), certificate).unwrap();
    fs::write(folder.path().join("server.key"), key).unwrap();
    for name in named(example).filter(|name| name.ends_with(".htpasswd")) {
        fs::write(folder.path().join(name), USERS).unwrap();
    }
    for name in named(example).filter(|name| [".html", ".json"].iter().any(|end| name.ends_with(end))) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "{status} {request_id}").unwrap();
    }
    for name in named(example).filter(|name| name.ends_with(".pem") || name.ends_with(".key")) {
        assert!(!name.starts_with('/'), "{}: {name} is not beside the configuration", example.place);
        let made = if name.ends_with(".key") { "server.key" } else { "server.pem" };
        let authority = ["ca.pem", "clients.pem"].iter().any(|end| name.ends_with(end));
        let made = if authority { "ca.pem" } else { made };
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(folder.path().join(made), path).unwrap();
    }
    let strings = example.text.split('"').skip(1).step_by(2);
    for name in strings.filter(|name| name.ends_with(".token")) {
        let path = folder.path().join(name);
        fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    folder
}

fn run(folder: &TempDir, arguments: &[&str]) -> (Option<i32>, String) {
    let file = folder.path().join(FILE);
    let output = Command::new(BINARY).args(arguments).arg("-c").arg(file).env("NO_COLOR", "1").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn every_configuration_in_the_documents_is_right() {
    let examples = examples();
    assert!(examples.len() > 20, "only {} blocks were found", examples.len());
    for example in &examples {
        let (code, said) = run(&folder(example), &["check"]);
        assert_eq!(code, Some(0), "{}\n{said}\n{}", example.place, example.text);
        // Whether this machine has the folder of the default socket, and this user low ports, is not the example's fault.
        let elsewhere = ["no admin socket: the folder /run/smartproxy", "this user may not listen on port"];
        let warnings = said.lines().filter(|line| !elsewhere.iter().any(|what| line.contains(what))).count();
        assert_eq!(warnings, 1, "{}: no warnings either\n{said}", example.place);
    }
}

/// A comment such as "# http://localhost/api/ goes to `api`" in an example is what `smartproxy match` says.
#[test]
fn what_the_documents_say_of_where_a_request_goes_is_where_it_goes() {
    let mut said = 0;
    for example in examples() {
        let folder = folder(&example);
        for line in example.text.lines() {
            let Some((what, route)) = line.strip_prefix("# ").and_then(|line| line.split_once(" goes to `")) else {
                continue;
            };
            let route = route.split('`').next().unwrap();
            let (code, answer) = run(&folder, &["match"].into_iter().chain(what.split(' ')).collect::<Vec<_>>());
            assert_eq!(code, Some(0), "{}: {line}\n{answer}", example.place);
            assert!(answer.contains(&format!("route {route} takes it")), "{}: {line}\n{answer}", example.place);
            said += 1;
        }
    }
    assert!(said > 5, "only {said} were found");
}

/// Each key in the tables of the page for people who come from other proxies is a key of the configuration.
#[test]
fn every_key_that_stands_for_another_proxys_is_a_key() {
    let schema = fs::read_to_string(root().join("config/smartproxy.schema.json")).unwrap();
    let mut known = BTreeSet::new();
    collect(&serde_json::from_str(&schema).unwrap(), "", &mut known);
    let page = fs::read_to_string(root().join("docs/coming-from.md")).unwrap();
    let mut seen = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        // The second column is ours; a bar inside of a cell is escaped.
        let row = row.replace("\\|", "/");
        let ours = row.split('|').nth(2).unwrap_or_default();
        for code in ours.split('`').skip(1).step_by(2) {
            let key = code.split([' ', '=']).next().unwrap_or_default();
            let is_key = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
            if key.is_empty() || !key.chars().all(is_key) || code.starts_with("smartproxy ") {
                continue;
            }
            let found = known.iter().any(|path| path == key || path.ends_with(&format!(".{key}")));
            assert!(found, "{key} is no key: {row}");
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} keys were found");
}

/// Adds the path of every key in the schema, without what tells a list or an alternative.
fn collect(node: &Value, path: &str, known: &mut BTreeSet<String>) {
    let properties = node["properties"].as_object();
    for (name, inner) in properties.into_iter().flatten() {
        let path = format!("{path}.{name}");
        known.insert(path.trim_start_matches('.').to_owned());
        collect(inner, &path, known);
    }
    for inner in node["anyOf"].as_array().into_iter().flatten().chain(node.get("items")) {
        collect(inner, path, known);
    }
}
