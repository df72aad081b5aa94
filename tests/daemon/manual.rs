//! The manual page and the completions: every command and every option is there, and readers can read them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::CommandFactory;
use smartproxy::cli::{Arguments, ExitStatus};
use tempfile::TempDir;

use crate::harness::BINARY;

fn printed(arguments: &[&str]) -> String {
    let output = Command::new(BINARY).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether this machine has the program.
fn found(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("skipped in part: this machine has no {program}");
    }
    found
}

/// Each command of the definitions, with its long options and the names of its arguments.
fn commands() -> Vec<(String, Vec<String>, Vec<String>)> {
    let mut program = Arguments::command();
    program.build();
    let own = program.get_subcommands().filter(|command| command.get_name() != "help");
    own.map(|command| {
        let options = command.get_arguments().filter_map(|one| Some(format!("--{}", one.get_long()?))).collect();
        let values = command.get_positionals().map(|one| one.get_value_names().unwrap()[0].to_string()).collect();
        (command.get_name().to_owned(), options, values)
    })
    .collect()
}

#[test]
fn the_manual_page_has_every_command_option_exit_code_signal_and_file() {
    let page = printed(&["man"]);
    let plain = page.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "");
    let (_, described) = plain.split_once("\n.SH COMMANDS\n").unwrap();
    let all = commands();
    assert!(all.len() >= 14, "{all:?}");
    for (command, options, values) in all {
        let (_, rest) =
            described.split_once(&format!(".SS smartproxy {command}\n")).unwrap_or_else(|| panic!("{command}"));
        let own = rest.split("\n.S").next().unwrap();
        // The terms of the list are the lines after `.TP`.
        let terms: Vec<_> = own.split(".TP\n").skip(1).filter_map(|term| term.lines().next()).collect();
        for option in options {
            let named = |term: &&str| term.split([' ', ',']).any(|word| word == option);
            assert!(terms.iter().any(named), "{command} {option}\n{own}");
        }
        for value in values {
            let named = |term: &&str| term.trim_matches(['<', '>', '[', ']']) == value;
            assert!(terms.iter().any(named), "{command} {value}\n{own}");
        }
    }
    for status in ExitStatus::ALL {
        assert!(plain.contains(&format!("\n{}\n{}\n", status.code(), status.meaning())), "{status:?}");
    }
    for part in [
        "\nSIGHUP\n",
        "\nSIGTERM, SIGINT\n",
        "/etc/smartproxy/smartproxy.toml",
        "/run/smartproxy/admin.sock",
        "\nNO_COLOR\n",
        ".SH EXIT STATUS",
        ".SH FILES",
        ".SH ENVIRONMENT",
    ] {
        assert!(plain.contains(part), "{part} is missing");
    }
    if found("groff") {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("smartproxy.1");
        fs::write(&file, &page).unwrap();
        let output = Command::new("groff").args(["-man", "-Tascii", "-ww", "-z"]).arg(&file).output().unwrap();
        let warnings = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && warnings.is_empty(), "{warnings}");
    }
}

#[test]
fn each_command_has_a_page_of_its_own_with_every_option() {
    for (command, options, values) in commands() {
        let page = printed(&["man", &command]);
        let plain = page.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "");
        assert!(plain.starts_with(".ie") && plain.contains(&format!(".TH smartproxy-{command} 1")), "{plain}");
        for part in options.iter().chain(&values) {
            assert!(plain.contains(part.as_str()), "{command} {part}\n{plain}");
        }
        assert!(plain.contains("smartproxy(1)"), "{plain}");
        if found("groff") {
            let folder = TempDir::new().unwrap();
            let file = folder.path().join("page.1");
            fs::write(&file, &page).unwrap();
            let output = Command::new("groff").args(["-man", "-Tascii", "-ww", "-z"]).arg(&file).output().unwrap();
            let warnings = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && warnings.is_empty(), "{command}: {warnings}");
        }
    }
    let output = Command::new(BINARY).args(["man", "tpo"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(64) && errors.contains("did you mean `top`?"), "{errors}");
}

#[test]
fn the_completions_of_each_shell_have_every_command_and_option() {
    for shell in ["bash", "zsh", "fish"] {
        let text = printed(&["completions", shell]);
        for (command, options, _) in commands() {
            assert!(text.contains(&command), "{shell}: {command}");
            for option in options {
                let written = if shell == "fish" { format!("-l {}", &option[2..]) } else { option.clone() };
                assert!(text.contains(&written), "{shell}: {command} {option}");
            }
        }
        assert!(text.contains("half_closed"), "{shell} knows the states");
        if found(shell) {
            let folder = TempDir::new().unwrap();
            let file = folder.path().join("completions");
            fs::write(&file, &text).unwrap();
            // -n: read, and run nothing.
            let output = Command::new(shell).arg("-n").arg(&file).output().unwrap();
            assert!(output.status.success(), "{shell}: {output:?}");
        }
    }
}

#[test]
fn bash_completes_commands_options_and_values() {
    if !found("bash") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("completions");
    fs::write(&file, printed(&["completions", "bash"])).unwrap();
    for (words, expected) in [
        (&["dr"][..], "drain"),
        (&["connections", "--ro"], "--route"),
        (&["connections", "--state", "rel"], "relaying"),
        (&["drain", "--no"], "--no-wait"),
        (&["completions", "zs"], "zsh"),
    ] {
        let line = words.join(" ");
        let (current, before) = match words {
            [.., before, current] => (*current, *before),
            [current] => (*current, "smartproxy"),
            [] => unreachable!(),
        };
        let script = format!(
            "source {}; COMP_WORDS=(smartproxy {line}); COMP_CWORD={}; _smartproxy smartproxy '{current}' '{before}'; \
             echo \"${{COMPREPLY[@]}}\"",
            file.display(),
            words.len()
        );
        let output = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.trim(), expected, "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_package_installs_the_program_with_its_own_manual_pages_and_completions() {
    if !found("dpkg-deb") {
        return;
    }
    let (made, root) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    // A debug build is large, and need not become small.
    let mut package = Command::new(tree.join(".ci/package"));
    let output = package.arg(BINARY).arg(made.path()).env("DPKG_DEB_COMPRESSOR_TYPE", "none").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = made.path().join(concat!("smartproxy_", env!("CARGO_PKG_VERSION"), ".deb"));
    let unpacked = Command::new("dpkg-deb").arg("-x").arg(&file).arg(root.path()).status().unwrap();
    assert!(unpacked.success());
    let at = |path: &str| root.path().join(path);
    let unzipped = |path: &str| {
        let output = Command::new("gzip").arg("-dc").arg(at(path)).output().unwrap();
        assert!(output.status.success(), "{path}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(unzipped("usr/share/man/man1/smartproxy.1.gz"), printed(&["man"]));
    for (command, ..) in commands() {
        let page = unzipped(&format!("usr/share/man/man1/smartproxy-{command}.1.gz"));
        assert_eq!(page, printed(&["man", &command]), "{command}");
    }
    for (shell, path) in [
        ("bash", "usr/share/bash-completion/completions/smartproxy"),
        ("zsh", "usr/share/zsh/vendor-completions/_smartproxy"),
        ("fish", "usr/share/fish/vendor_completions.d/smartproxy.fish"),
    ] {
        assert_eq!(fs::read_to_string(at(path)).unwrap(), printed(&["completions", shell]), "{shell}");
    }
    for (path, own) in [
        ("usr/lib/systemd/system/smartproxy.service", "config/smartproxy.service"),
        ("etc/smartproxy/smartproxy.toml", "config/smartproxy.toml"),
        ("usr/share/doc/smartproxy/docs/operations.md", "docs/operations.md"),
        ("usr/share/doc/smartproxy/config/grafana.json", "config/grafana.json"),
    ] {
        assert_eq!(fs::read(at(path)).unwrap(), fs::read(tree.join(own)).unwrap(), "{path}");
    }
    assert_eq!(fs::read(at("usr/bin/smartproxy")).unwrap().len() as u64, fs::metadata(BINARY).unwrap().len());
    let kept = Command::new("dpkg-deb").arg("--info").arg(&file).arg("conffiles").output().unwrap();
    assert_eq!(kept.stdout, b"/etc/smartproxy/smartproxy.toml\n", "an upgrade would write over the configuration");
}
