//! What was measured, in words and numbers.

use std::fmt::Write;

use crate::column::Column;
use crate::limit::Limit;
use crate::load::RATE;
use crate::measure::{Results, Sample, Spread};
use crate::peer::Kind;
use crate::world::Pace;

pub(crate) fn render(columns: &[Column], peers: &[Kind], results: &Results, limits: &[Limit], pace: Pace) -> String {
    let mut text = format!(
        "{}\n\n{} rounds of {:?} each; medians, and from the least to the most of the rounds.\n\n\
         CPU time of one operation, or what the unit says; the ratio is ours by the better peer's, round by round.\n\n",
        machine(),
        pace.rounds,
        pace.measured
    );
    let proxies: Vec<Kind> = peers.iter().copied().filter(|kind| *kind != Kind::Direct).collect();
    let cost = |sample: &Sample| Some(sample.cost);
    let _ = write!(text, "| column | unit |");
    for kind in &proxies {
        let _ = write!(text, " {} |", kind.name());
    }
    let _ = writeln!(text, " ratio | goal |\n| --- | --- |{} --- | --- |", " --- |".repeat(proxies.len()));
    for column in columns {
        let _ = write!(text, "| {} | {} |", column.name, column.unit.name());
        for kind in &proxies {
            let _ = write!(text, " {} |", shown(results.spread(column.name, *kind, cost)));
        }
        let goal = column.goal.filter(|_| !column.is_latency()).map_or("-".into(), |goal| format!("{goal}"));
        let _ = writeln!(text, " {} | {goal} |", shown(results.ratio(column.name, cost)));
    }
    let _ = write!(text, "\nOperations (or MB) in a second, and MiB in memory while they go on.\n\n| column |");
    for kind in &proxies {
        let _ = write!(text, " {} | MiB |", kind.name());
    }
    let _ = writeln!(text, "\n| --- |{}", " --- | --- |".repeat(proxies.len()));
    for column in columns {
        let scale = if column.unit.name() == "s/GB" { 1e6 } else { 1.0 };
        let _ = write!(text, "| {} |", column.name);
        for kind in &proxies {
            let rate = results.spread(column.name, *kind, |sample| Some(sample.rate? / scale));
            let memory = results.spread(column.name, *kind, |sample| sample.memory);
            let one = |spread: Option<Spread>| spread.map_or("-".into(), |spread| number(spread.median));
            let _ = write!(text, " {} | {} |", one(rate), one(memory));
        }
        text.push('\n');
    }
    if columns.iter().any(Column::is_latency) {
        latencies(&mut text, columns, peers, results);
    }
    if !limits.is_empty() {
        let _ = write!(
            text,
            "\nWhat no proxy can be cheaper than.\n\n| limit | unit | cost | what |\n| --- | --- | --- | --- |\n"
        );
        for limit in limits {
            let _ = writeln!(text, "| {} | {} | {} | {} |", limit.name, limit.unit, number(limit.cost), limit.what);
        }
    }
    text
}

fn latencies(text: &mut String, columns: &[Column], peers: &[Kind], results: &Results) {
    let _ = write!(
        text,
        "\nTime that an operation takes at {RATE} in a second, in microseconds.\n\n\
         | column | peer | p50 | p99 | p99.9 |\n| --- | --- | --- | --- | --- |\n"
    );
    for column in columns.iter().filter(|column| column.is_latency()) {
        for kind in peers {
            let part = |index: usize| {
                shown(results.spread(column.name, *kind, |sample| sample.latency.map(|parts| parts[index])))
            };
            if part(0) != "-" {
                let _ =
                    writeln!(text, "| {} | {} | {} | {} | {} |", column.name, kind.name(), part(0), part(1), part(2));
            }
        }
        let p99 = results.ratio(column.name, |sample| sample.latency.map(|parts| parts[1]));
        let _ = writeln!(text, "| {} | ratio of p99 | | {} | |", column.name, shown(p99));
    }
}

fn shown(spread: Option<Spread>) -> String {
    spread.map_or("-".into(), |Spread { median, least, most }| match least.total_cmp(&most) {
        std::cmp::Ordering::Equal => number(median),
        std::cmp::Ordering::Less | std::cmp::Ordering::Greater => {
            format!("{} ({}..{})", number(median), number(least), number(most))
        }
    })
}

/// Three digits, where there is something behind the point.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        middle if middle >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map_or("an unknown processor", |(_, value)| value.trim()).to_owned()
    };
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // One that paces, as bbr does, sets a timer for each segment, which on a virtual machine is half of what bulk costs.
    let congestion = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default();
    format!("{cores} cores of {}, Linux {}, {}.", field("model name"), kernel.trim(), congestion.trim())
}
