use super::load;

/// Pairs of a text and the faults that it has, as they are printed.
const CASES: &str = include_str!("faulty.txt");

const END_OF_TEXT: &str = "\n~~~~\n";
const END_OF_CASE: &str = "\n====\n";

#[test]
fn each_broken_rule_is_shown_at_its_place_with_what_to_do() {
    let mut fresh = String::new();
    for case in CASES.split_terminator(END_OF_CASE) {
        let text = case.split(END_OF_TEXT).next().unwrap();
        let shown = match load(text) {
            Ok(_) => "no fault".into(),
            Err(faults) => faults.to_string().replace("/etc/smartproxy/", ""),
        };
        fresh.extend([text, END_OF_TEXT, &shown, END_OF_CASE]);
    }
    if std::env::var_os("UPDATE_FAULTS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/tests/faulty.txt");
        std::fs::write(path, &fresh).unwrap();
        return;
    }
    for (fresh, case) in fresh.split_terminator(END_OF_CASE).zip(CASES.split_terminator(END_OF_CASE)) {
        assert_eq!(fresh, case, "run the tests with UPDATE_FAULTS=1 to write the cases anew, then read them");
    }
}
