//! What the documents say is what the code says.

use std::fs;

use smartproxy::outcome::{Cause, Party, Phase};

use super::sources::root;

fn document(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rows of the README's table of endings are the code's vocabulary: none missing, none made up, none reworded.
#[test]
fn the_table_of_causes_is_the_codes_own() {
    let readme = document("README.md");
    let rows: Vec<_> = readme.lines().filter(|line| line.starts_with("| `")).collect();
    let row = |name: &str, meaning: &str| format!("| `{name}` | {meaning} |");
    let mut expected: Vec<_> = Cause::ALL.iter().map(|cause| row(cause.as_str(), cause.meaning())).collect();
    expected.extend(Phase::ALL.iter().map(|phase| row(phase.as_str(), phase.meaning())));
    expected.extend(Party::ALL.iter().map(|party| row(party.as_str(), party.meaning())));
    assert_eq!(rows, expected);
}

/// The first configuration that the README shows is the one that is installed and tested.
#[test]
fn the_first_configuration_is_the_one_that_is_shipped() {
    let quickstart = document("config/quickstart.toml");
    assert!(document("README.md").contains(&format!("```toml\n{quickstart}```")));
}

/// Every command of the program is in the README, and none that it has not.
#[test]
fn the_readme_lists_every_command() {
    use clap::CommandFactory;
    let readme = document("README.md");
    for command in smartproxy::cli::Arguments::command().get_subcommands() {
        assert!(
            readme.contains(&format!("smartproxy {}", command.get_name()))
                || readme.contains(&format!("| {}", command.get_name())),
            "{}",
            command.get_name()
        );
    }
}

/// Links to files of the tree, and to headings in them, lead somewhere.
#[test]
fn links_lead_somewhere() {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let docs = docs.map(|name| format!("docs/{}", name.to_string_lossy())).filter(|path| path.ends_with(".md"));
    for path in docs.chain(["README.md".to_owned(), "CONTRIBUTING.md".to_owned()]) {
        let text = document(&path);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let folder = root().join(&path).parent().unwrap().to_path_buf();
            let file = if file.is_empty() { root().join(&path) } else { folder.join(file) };
            assert!(file.exists(), "{path} links to {target}, which is not there");
            if !heading.is_empty() {
                let there = fs::read_to_string(&file).unwrap();
                let found = there.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == heading);
                assert!(found, "{path} links to {target}, and there is no such heading");
            }
        }
    }
}

/// The list at the top of the recipes has each of them, in their order.
#[test]
fn the_recipes_table_of_contents_is_its_headings() {
    let recipes = document("docs/recipes.md");
    let headings: Vec<_> = recipes.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let expected: Vec<_> = headings.iter().map(|heading| format!("- [{heading}](#{})", anchor(heading))).collect();
    let listed: Vec<_> = recipes.lines().filter(|line| line.starts_with("- [")).collect();
    assert_eq!(listed, expected);
}

/// The name that a heading has in a link.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|character| character.is_alphanumeric() || [' ', '-', '_'].contains(character));
    kept.map(|character| if character == ' ' { '-' } else { character }).collect()
}
