use proptest::prelude::*;

use super::{load, route};

/// What is written in real files, in any order: nearer to the rules than arbitrary characters are.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "[[routes]]\n",
        "[server]\n",
        "[defaults]\n",
        "[log]\n",
        "[[listeners]]\n",
        "name = \"a\"\n",
        "match.ports = [80]\n",
        "match.domains = [\"*.a\"]\n",
        "targets = [\"a:1\"]\n",
        "targets = [{ host = \"a\", port = 1 }]\n",
        "tls",
        ".mode",
        " = ",
        "\"terminate\"",
        "\"passthrough\"",
        "\n",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\"",
        "'",
        "\"\"\"",
        "\\",
        "5",
        "-1",
        "0x",
        "1e9",
        "true",
        "2026-01-01",
        "\t",
        "\r",
        "\r\n",
        "\0",
        "é",
        "\u{1f600}",
        "\u{feff}",
        "#",
        ".",
        "authorization = ",
        "redirect.to = \"https://{host}\"\n",
        "idle = \"5s\"\n",
        "address = 80\n",
        "timeouts",
        "key",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn check(text: &str) {
    let Err(faults) = load(text) else { return };
    // The text after a final line end is a line too.
    let lines: Vec<&str> = text.split('\n').collect();
    for fault in &faults {
        let line = lines.get(fault.line - 1).unwrap_or_else(|| panic!("line {} of {text:?}", fault.line));
        assert!(fault.column >= 1 && fault.column <= line.chars().count() + 1, "{fault:?} in {text:?}");
        assert!(fault.excerpt.chars().count() <= 200 && fault.caret.ends_with('^'), "{fault:?}");
        assert!(!fault.message.is_empty());
    }
    let places: Vec<_> = faults.iter().map(|fault| (fault.line, fault.column)).collect();
    assert!(places.is_sorted(), "{places:?}");
}

proptest! {
    #[test]
    fn arbitrary_text_gives_faults_within_the_text(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn shuffled_configurations_give_faults_within_the_text(text in pieces()) {
        check(&text);
    }

    #[test]
    fn an_arbitrary_string_is_a_value_or_a_fault_wherever_a_string_may_stand(text in any::<String>()) {
        let text = toml_string(&text);
        for key in [
            "name", "targets", "match.ports", "match.domains", "match.path", "match.methods", "match.client_ips", "match.alpn",
            "redirect.to", "timeouts.idle", "limits.max_request_body", "headers.request.remove", "protocol", "tls.mode",
        ] {
            check(&route(&format!("{key} = {text}")));
            check(&route(&format!("{key} = [{text}]")));
        }
        check(&format!("[log]\nlevel = {text}\n[admin]\nsocket = {text}\nlisten = {text}"));
    }
}

fn toml_string(text: &str) -> String {
    let escape = |character: char| match character {
        '"' | '\\' => format!("\\{character}"),
        character if character.is_control() => format!("\\u{:04x}", u32::from(character)),
        character => character.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}
