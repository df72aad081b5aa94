//! Every metric at once: what the outside makes of their names.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::outcome::{Cause, Outcome, Party, Phase};

/// A text in which no metric is without a series.
fn whole() -> (Arc<Meters>, String) {
    let meters = Arc::new(Meters::new());
    let moment = Duration::from_millis(7);
    let route = meters.route("shop");
    route.show_traffic();
    route.show_connects();
    route.show_requests();
    route.connected(moment);
    route.answered(moment);
    route.request(StatusClass::Success, moment);
    route.closed(Outcome::new(Phase::Connect, Party::Target, Cause::Refused), false, moment);
    meters.route("gone").closed(Outcome::new(Phase::Relay, Party::Client, Cause::Finished), false, moment);
    let target = meters.target(&"10.0.0.1:80".into());
    target.show();
    target.connected(moment);
    target.answered(moment);
    target.resolved(SystemTime::now());
    meters.handshake_done(HandshakeSide::Client, "1.3", Some("x25519"), false);
    let levels = [meters.idle_upstream(0), meters.standing_upstream(0)];
    levels.iter().for_each(|level| level.set(1));
    meters.worker(WorkerMoment { index: 0, busy: moment, tasks: 1 });
    meters.set_aside([("shop", "10.0.0.1:80", true)].into_iter());
    meters.in_force(1, [("a.pem", SystemTime::now())].into_iter());
    let text = meters.text();
    (meters, text)
}

#[test]
fn no_metric_is_without_a_series_here_and_none_is_not_in_the_catalogue() {
    let (meters, text) = whole();
    let typed = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let found: BTreeSet<String> = typed.map(ToOwned::to_owned).collect();
    let listed = meters.catalogue().iter().map(|info| format!("{} {}", info.name, info.kind.as_str()));
    assert_eq!(found, listed.collect());
}

/// Names and units are as Prometheus wants them: its own tool has nothing to say.
#[test]
fn the_metrics_tool_of_prometheus_finds_no_fault() {
    let (_meters, text) = whole();
    let tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut tool = match tool {
        Ok(tool) => tool,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "promtool (of Debian's package prometheus): {error}");
            return;
        }
    };
    tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

#[test]
fn the_moment_that_is_shown_is_the_last_one_that_was_said() {
    let meters = Arc::new(Meters::new());
    let expiry = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    meters.in_force(7, [("a.pem", expiry), ("b.pem", expiry)].into_iter());
    meters.in_force(8, [("b.pem", expiry)].into_iter());
    meters.reload(ReloadResult::Refused);
    meters.daemon(DaemonState::Draining, 100, 3);
    for busy in [2, 1, 5] {
        meters.worker(WorkerMoment { index: 1, busy: Duration::from_secs(busy), tasks: 9 });
    }
    meters.leak_suspects(LeakKind::Task, 2);
    let text = meters.text();
    assert!(!text.contains("a.pem"), "{text}");
    for series in [
        r#"certificate_expiry_timestamp_seconds{certificate="b.pem"} 2000000000"#,
        "config_generation 8",
        "config_last_reload_successful 0",
        r#"state{state="draining"} 1"#,
        r#"state{state="ready"} 0"#,
        "draining_connections 3",
        "connections_max 100",
        r#"worker_busy_seconds_total{worker="1"} 5"#,
        r#"worker_tasks{worker="1"} 9"#,
        r#"leak_suspects{kind="task"} 2"#,
        r#"leak_suspects{kind="socket"} 0"#,
    ] {
        assert!(text.contains(&format!("smartproxy_{series}\n")), "{series} in {text}");
    }
}
