use std::collections::BTreeMap;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, TableState};

use super::grid::{Column, GAP, Grid, Least, share};
use super::model::{Mode, Model, TargetRow};
use crate::cli::connections::Row as Connection;
use crate::cli::quantity::{age, count, grouped, size};

/// Below this height the panels in the middle leave the room to the connections.
const HEIGHT_FOR_PANELS: u16 = 18;

/// The keys, for the last line.
const KEYS: &str = "q quit  up/down choose  k kill  s sort  r reverse  / filter";

/// How it is painted: with colours, or with what every terminal has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    pub(super) coloured: bool,
}

impl Paint {
    fn of(self, colour: Color) -> Style {
        if self.coloured { Style::new().fg(colour) } else { Style::new() }
    }

    /// What is wrong is bold too, for those who see no colours.
    fn bad(self) -> Style {
        self.of(Color::Red).add_modifier(Modifier::BOLD)
    }

    fn good(self) -> Style {
        self.of(Color::Green)
    }

    fn heading(self) -> Style {
        self.of(Color::Cyan).add_modifier(Modifier::BOLD)
    }
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, paint: Paint) {
    let area = frame.area();
    let panels = if area.height >= HEIGHT_FOR_PANELS { (area.height / 3).min(12) } else { 0 };
    let lines: Vec<_> = [first_line(model, paint), rates(model)].into_iter().chain(troubles(model, paint)).collect();
    let head = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let rows = [Constraint::Length(head), Constraint::Length(panels), Constraint::Min(2), Constraint::Length(1)];
    let [head, middle, list, foot] = Layout::vertical(rows).areas(area);
    frame.render_widget(Paragraph::new(lines), head);
    if panels > 0 {
        middle_panels(frame, model, paint, middle);
    }
    connections(frame, model, paint, list);
    frame.render_widget(Paragraph::new(last_line(model, paint)), foot);
}

fn middle_panels(frame: &mut Frame<'_>, model: &Model, paint: Paint, area: Rect) {
    let (routes, targets, causes) = (route_panel(model), target_panel(model, paint), cause_panel(model));
    // Together, with what is between them, they have room in the 80 columns that a terminal has at least.
    let needs = [routes.need(19, 1), targets.need(41, 0), causes.need(18, 2)];
    let widths = share(area.width, &needs).into_iter().map(|width| Constraint::Length(width.unwrap_or(0)));
    let [left, middle, right] = Layout::horizontal(widths).spacing(GAP).areas(area);
    frame.render_widget(routes.table(left.width, paint.heading()), left);
    frame.render_widget(targets.table(middle.width, paint.heading()), middle);
    frame.render_widget(causes.table(right.width, paint.heading()), right);
}

fn first_line(model: &Model, paint: Paint) -> Line<'static> {
    let Some(status) = &model.status else { return Line::default() };
    let state = if status.state == "ready" { paint.good() } else { paint.bad() };
    Line::from(vec![
        Span::styled(format!("smartproxy {}  ", status.version), paint.heading()),
        Span::styled(status.state.clone(), state),
        Span::raw(format!(
            " for {}  connections {} of {}  generation {}",
            age(status.uptime_seconds),
            grouped(status.connections),
            grouped(status.max_connections),
            status.generation
        )),
    ])
}

/// What is wrong, each in a line of its own, so that nothing takes its room.
fn troubles(model: &Model, paint: Paint) -> Vec<Line<'static>> {
    let mut lines: Vec<String> = model.trouble.iter().cloned().collect();
    if let Some(status) = &model.status {
        if status.refused_reload.is_some() {
            lines.push("the last reload was refused (smartproxy status says why)".into());
        }
        if let Some(first) = status.leak_suspects.first() {
            let number = count(status.leak_suspects.len(), "leak suspect");
            lines.push(format!("{number}: {} for {}: {}", first.kind, age(first.seconds), first.what));
        }
    }
    lines.into_iter().map(|line| Line::from(Span::styled(line, paint.bad()))).collect()
}

fn rates(model: &Model) -> Line<'static> {
    let rates = model.tallies.rates();
    Line::raw(format!(
        "{} connections/s  {} requests/s  {}/s in  {}/s out",
        number(rates.connections),
        number(rates.requests),
        bytes(rates.bytes_in),
        bytes(rates.bytes_out)
    ))
}

fn route_panel(model: &Model) -> Grid<5> {
    let rows = model.tallies.routes().into_iter().map(|route| {
        let rates = route.rates;
        let moved = [rates.bytes_in, rates.bytes_out].map(bytes);
        let [bytes_in, bytes_out] = moved;
        plain([route.name, route.live.to_string(), number(rates.requests), bytes_in, bytes_out])
    });
    let columns = [
        column("ROUTE", Least::Cut(8), 0),
        column("LIVE", Least::Whole, 1),
        column("REQ/S", Least::Whole, 2),
        column("IN/S", Least::Whole, 3),
        column("OUT/S", Least::Whole, 4),
    ];
    Grid { title: "routes".into(), columns, rows: rows.collect() }
}

/// A target is one for all routes that have it, and so are the connections to it; each route sets it aside for itself.
fn target_panel(model: &Model, paint: Paint) -> Grid<4> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut groups: Vec<Vec<&TargetRow>> = Vec::new();
    for row in &model.targets {
        let place = *places.entry(&row.target).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    let rows = groups.iter().filter_map(|group| {
        let first = group.first()?;
        // Those that are set aside come first.
        let health = match &first.set_aside {
            None => ("in turn".into(), paint.good()),
            Some(aside) => {
                let all = group.iter().all(|row| row.set_aside.is_some());
                let by = if all { String::new() } else { format!(" by {}", first.route) };
                (format!("aside: {} {}{by}", aside.cause, age(aside.seconds)), paint.bad())
            }
        };
        let routes: Vec<_> = group.iter().map(|row| &*row.route).collect();
        let [target, open, routes] =
            [first.target.clone(), first.in_flight.to_string(), routes.join(" ")].map(|text| (text, Style::new()));
        Some([target, open, health, routes])
    });
    let columns = [
        column("TARGET", Least::Cut(21), 0),
        column("OPEN", Least::Whole, 2),
        column("HEALTH", Least::Cut(14), 1),
        column("ROUTES", Least::Cut(8), 3),
    ];
    Grid { title: "targets".into(), columns, rows: rows.collect() }
}

fn cause_panel(model: &Model) -> Grid<3> {
    let rows = model.tallies.causes().into_iter().map(|row| plain([row.cause, row.party, row.count.to_string()]));
    let columns =
        [column("CAUSE", Least::Cut(12), 0), column("PARTY", Least::Whole, 2), column("COUNT", Least::Whole, 1)];
    Grid { title: "endings of the last minute".into(), columns, rows: rows.collect() }
}

fn connections(frame: &mut Frame<'_>, model: &Model, paint: Paint, area: Rect) {
    let direction = if model.is_reversed() { ", reversed" } else { "" };
    let filter = if model.filter.is_empty() { String::new() } else { format!(" of {}", model.filter) };
    let title = format!("{} connections{filter} by {}{direction}", grouped(model.matched), model.sort().as_str());
    let columns = [
        column("ID", Least::Whole, 0),
        column("CLIENT", Least::Cut(21), 1),
        column("ROUTE", Least::Cut(8), 4),
        column("HOST", Least::Cut(12), 7),
        column("TARGET", Least::Cut(21), 3),
        column("STATE", Least::Whole, 2),
        column("FOR", Least::Whole, 6),
        column("AGE", Least::Whole, 5),
        column("IN", Least::Whole, 10),
        column("OUT", Least::Whole, 11),
        column("IN/S", Least::Whole, 8),
        column("OUT/S", Least::Whole, 9),
    ];
    let grid = Grid { title, columns, rows: model.connections.iter().map(|row| plain(cells(row))).collect() };
    let chosen = Style::new().add_modifier(Modifier::REVERSED);
    let table = grid.table(area.width, paint.heading()).row_highlight_style(chosen);
    let mut state = TableState::default().with_selected(model.chosen());
    frame.render_stateful_widget(table, area, &mut state);
}

fn cells(row: &Connection) -> [String; 12] {
    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    [
        row.id.to_string(),
        row.client.clone(),
        row.route.clone(),
        shown(&row.host),
        shown(&row.target),
        row.state.clone(),
        age(row.state_seconds),
        age(row.age_seconds),
        size(row.bytes_in),
        size(row.bytes_out),
        size(row.bytes_in_per_second),
        size(row.bytes_out_per_second),
    ]
}

fn column(heading: &'static str, least: Least, rank: u8) -> Column {
    Column { heading, least, rank }
}

fn plain<const N: usize>(texts: [String; N]) -> [(String, Style); N] {
    texts.map(|text| (text, Style::new()))
}

fn last_line(model: &Model, paint: Paint) -> Line<'static> {
    let notice = model.notice.iter().map(|notice| Span::styled(format!("  {notice}"), paint.bad()));
    let first = match &model.mode {
        Mode::Looking => Span::raw(KEYS),
        Mode::Filtering(text) => Span::raw(format!("filter: {text}_  (Enter takes it, Esc leaves it)")),
        Mode::Killing(id) => {
            let row = model.connections.iter().find(|row| row.id == *id);
            let whose = row.map(|row| format!(" of {} on {}", row.client, row.route)).unwrap_or_default();
            Span::styled(format!("kill connection {id}{whose}? y kills it, any other key does not"), paint.bad())
        }
    };
    Line::from([first].into_iter().chain(notice).collect::<Vec<_>>())
}

/// A rate in about three digits.
fn number(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are shown, and not negative")]
fn bytes(rate: f64) -> String {
    size(rate as u64)
}
