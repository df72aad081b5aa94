use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table, TableState};

use super::model::{Mode, Model};
use crate::cli::connections::Row as Connection;
use crate::cli::quantity::{age, grouped, size};

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
    let rows = [Constraint::Length(2), Constraint::Length(panels), Constraint::Min(2), Constraint::Length(1)];
    let [head, middle, list, foot] = Layout::vertical(rows).areas(area);
    frame.render_widget(Paragraph::new(vec![first_line(model, paint), rates(model)]), head);
    if panels > 0 {
        let thirds = [Constraint::Percentage(36), Constraint::Percentage(36), Constraint::Percentage(28)];
        let [routes, targets, causes] = Layout::horizontal(thirds).areas(middle);
        frame.render_widget(route_panel(model, paint), routes);
        frame.render_widget(target_panel(model, paint), targets);
        frame.render_widget(cause_panel(model, paint), causes);
    }
    connections(frame, model, paint, list);
    frame.render_widget(Paragraph::new(last_line(model, paint)), foot);
}

fn first_line(model: &Model, paint: Paint) -> Line<'static> {
    let trouble = model.trouble.iter().map(|trouble| Span::styled(format!("  {trouble}"), paint.bad()));
    let Some(status) = &model.status else { return Line::from(trouble.collect::<Vec<_>>()) };
    let state = if status.state == "ready" { paint.good() } else { paint.bad() };
    let mut spans = vec![
        Span::styled(format!("smartproxy {}  ", status.version), paint.heading()),
        Span::styled(status.state.clone(), state),
        Span::raw(format!(
            " for {}  generation {}  connections {} of {}",
            age(status.uptime_seconds),
            status.generation,
            grouped(status.connections),
            grouped(status.max_connections)
        )),
    ];
    if status.refused_reload.is_some() {
        spans.push(Span::styled("  the last reload was refused", paint.bad()));
    }
    spans.extend(trouble);
    Line::from(spans)
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

fn route_panel(model: &Model, paint: Paint) -> Table<'static> {
    let rows = model.tallies.routes().into_iter().map(|route| {
        let rates = route.rates;
        let cells =
            [route.name, route.live.to_string(), number(rates.requests), bytes(rates.bytes_in), bytes(rates.bytes_out)];
        Row::new(cells)
    });
    let widths = [Constraint::Min(8), Constraint::Length(6), Constraint::Length(6), Constraint::Length(8)];
    let widths = [&widths[..], &[Constraint::Length(8)]].concat();
    table("routes", ["ROUTE", "LIVE", "REQ/S", "IN/S", "OUT/S"], rows, widths, paint)
}

fn target_panel(model: &Model, paint: Paint) -> Table<'static> {
    let rows = model.targets.iter().map(|target| {
        let health = match &target.set_aside {
            None => Cell::new(Span::styled("in turn", paint.good())),
            Some(aside) => {
                let text = format!("aside: {} {}", aside.cause, age(aside.seconds));
                Cell::new(Span::styled(text, paint.bad()))
            }
        };
        let (route, label) = (target.route.clone(), target.target.clone());
        Row::new([Cell::new(label), Cell::new(route), Cell::new(target.in_flight.to_string()), health])
    });
    let widths = [Constraint::Min(12), Constraint::Max(10), Constraint::Length(5), Constraint::Min(20)];
    table("targets", ["TARGET", "ROUTE", "LIVE", "HEALTH"], rows, widths.to_vec(), paint)
}

fn cause_panel(model: &Model, paint: Paint) -> Table<'static> {
    let rows = model.tallies.causes().into_iter().map(|row| Row::new([row.cause, row.party, row.count.to_string()]));
    let widths = vec![Constraint::Min(12), Constraint::Length(8), Constraint::Length(6)];
    table("endings of the last minute", ["CAUSE", "PARTY", "COUNT"], rows, widths, paint)
}

fn connections(frame: &mut Frame<'_>, model: &Model, paint: Paint, area: Rect) {
    let rows = model.connections.iter().map(|row| Row::new(cells(row)));
    let direction = if model.is_reversed() { ", reversed" } else { "" };
    let filter = if model.filter.is_empty() { String::new() } else { format!(" of {}", model.filter) };
    let title = format!("{} connections{filter} by {}{direction}", grouped(model.matched), model.sort().as_str());
    let headings = ["ID", "CLIENT", "ROUTE", "HOST", "TARGET", "STATE", "FOR", "AGE", "IN", "OUT", "IN/S", "OUT/S"];
    let lengths = [8, 21, 12, 20, 21, 11, 7, 7, 8, 8, 8, 8];
    let widths = lengths.map(|length| if length > 12 { Constraint::Min(length) } else { Constraint::Length(length) });
    let chosen = Style::new().add_modifier(Modifier::REVERSED);
    let table = table(title, headings, rows, widths.to_vec(), paint).row_highlight_style(chosen);
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

fn table<const N: usize>(
    title: impl Into<String>,
    headings: [&'static str; N],
    rows: impl Iterator<Item = Row<'static>>,
    widths: Vec<Constraint>,
    paint: Paint,
) -> Table<'static> {
    let block = Block::new().borders(Borders::TOP).title(format!(" {} ", title.into()));
    Table::new(rows, widths).header(Row::new(headings).style(paint.heading())).block(block)
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
