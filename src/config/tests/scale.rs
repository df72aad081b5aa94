use std::fmt::Write;

use super::{load, valid};

fn routes(count: usize) -> String {
    let mut text = String::from("[[certificates]]\ncertificate = \"a.pem\"\nkey = \"a.key\"\n");
    for index in 0..count {
        let _ = write!(
            text,
            "[[routes]]\nname = \"route-{index}\"\nmatch.ports = [443, \"8000-8003\"]\nmatch.domains = [\"host-{index}.example.com\"]
tls.mode = \"terminate\"\ntargets = [\"10.0.0.1:8080\"]\ntimeouts.idle = \"5m\"\n"
        );
    }
    text
}

#[test]
fn twenty_thousand_routes_on_the_same_ports_load() {
    // A check of each route against each other would be 400 million comparisons, and the test would not end in its time.
    let config = valid(&routes(20_000));
    assert_eq!((config.routes.len(), config.listeners.len()), (20_000, 5));
    assert!(config.routes.iter().enumerate().all(|(index, route)| route.rule.id.0 as usize == index));
}

#[test]
fn as_many_faults_as_are_allowed_are_shown_and_the_rest_are_counted() {
    let most = crate::config::report::FAULTS_MAX;
    let text = |count: usize| (0..count).fold(String::new(), |text, index| format!("{text}k{index} = 1\n"));
    let shown = load(&text(most)).unwrap_err();
    // With no route at all there is one fault more.
    assert_eq!(shown.iter().count(), most);
    assert!(shown.to_string().ends_with("and 1 more"));
    assert!(load(&text(most - 1)).unwrap_err().to_string().lines().all(|line| !line.starts_with("and ")));
}
