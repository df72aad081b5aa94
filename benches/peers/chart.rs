//! The ratios as a picture, in SVG.

use std::fmt::Write;

use crate::column::{Column, Unit};
use crate::measure::{Results, Sample, Spread};

const LABELS: f64 = 200.0;
const PLOT: f64 = 480.0;
const ROW: f64 = 24.0;
const TOP: f64 = 56.0;

/// The ratio at the right edge.
const WIDEST: f64 = 1.5;

/// One bar for each column: ours by the better peer's, with the rounds' spread and the goal. Shorter is cheaper; at the line
/// of 1 both are equal.
pub(crate) fn render(columns: &[Column], results: &Results) -> String {
    let rows: Vec<(&Column, Spread)> =
        columns.iter().filter_map(|column| Some((column, ratio(column, results)?))).collect();
    let height = TOP + ROW * rows.len() as f64 + 32.0;
    let width = LABELS + PLOT + 70.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>smartproxy by the better of nginx and HAProxy</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"22\" font-size=\"15\">smartproxy by the better of nginx and HAProxy: shorter is cheaper</text>\n\
         <text x=\"10\" y=\"40\" fill=\"#666\">CPU for each operation, memory for each connection, or time; line: rounds; \
         mark: goal</text>\n"
    );
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5] {
        let (x, bottom) = (place(tick), height - 30.0);
        let colour = if tick == 1.0 { "#444" } else { "#ddd" };
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"{colour}\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#666\">{tick}</text>",
            TOP - 6.0,
            height - 14.0
        );
    }
    for (row, (column, spread)) in rows.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let colour = if spread.median <= 1.0 { "#2a7f4f" } else { "#b8432f" };
        let middle = y + ROW / 2.0 - 2.0;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LABELS}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\"/>\
             <line x1=\"{:.1}\" y1=\"{middle:.1}\" x2=\"{:.1}\" y2=\"{middle:.1}\" stroke=\"#111\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{:.2}</text>",
            LABELS - 8.0,
            y + 14.0,
            column.name,
            y + 2.0,
            place(spread.median) - LABELS,
            ROW - 8.0,
            place(spread.least),
            place(spread.most),
            place(spread.most.max(spread.median)) + 6.0,
            y + 14.0,
            spread.median
        );
        if let Some(goal) = column.goal.filter(|_| column.unit != Unit::KibibytesEach) {
            let x = place(goal);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{y:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"#e0a000\" stroke-width=\"2\"/>",
                y + ROW - 4.0
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Of a latency, the 99th percentile.
fn ratio(column: &Column, results: &Results) -> Option<Spread> {
    results.ratio(column.name, |sample: &Sample| {
        if column.is_latency() { sample.latency.map(|parts| parts[1]) } else { Some(sample.cost) }
    })
}

fn place(ratio: f64) -> f64 {
    LABELS + ratio.clamp(0.0, WIDEST) / WIDEST * PLOT
}
