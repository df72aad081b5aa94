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

/// Links to files of the tree lead somewhere.
#[test]
fn links_lead_somewhere() {
    for path in ["README.md", "CONTRIBUTING.md", "docs/operations.md", "docs/architecture.md", "docs/performance.md"] {
        let text = document(path);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !target.starts_with("http") && !target.starts_with('#') {
                let folder = root().join(path).parent().unwrap().to_path_buf();
                assert!(folder.join(target).exists(), "{path} links to {target}, which is not there");
            }
        }
    }
}
