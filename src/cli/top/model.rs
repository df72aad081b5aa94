use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde::Deserialize;

use super::tally::{Tallies, Tally};
use super::wish::query_of;
use crate::admin::{Column, Status};
use crate::cli::connections::{Connections, Row};

/// What the list of connections can be ordered by here, in the order of the key that goes through them: who moves most, who
/// has moved most, who is oldest, who is slowest (the longest in its state), and as they came.
const SORTS: [Column; 5] = [Column::Rate, Column::Bytes, Column::Age, Column::StateAge, Column::Id];

/// How many connections are asked for: more than the tallest terminal shows.
const ROWS_MAX: usize = 200;

/// How long a filter may be: longer than a line shows.
const FILTER_LENGTH_MAX: usize = 200;

/// Everything that is shown, and what the keys change of it. Knows neither the terminal nor the daemon.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) status: Option<Status>,
    pub(super) tallies: Tallies,
    pub(super) targets: Vec<TargetRow>,
    pub(super) connections: Vec<Row>,
    /// How many the filter takes, of which the rows are the first.
    pub(super) matched: usize,
    /// Why nothing new has come.
    pub(super) trouble: Option<String>,
    /// What came of the last thing that was asked for.
    pub(super) notice: Option<String>,
    pub(super) mode: Mode,
    pub(super) filter: String,
    query: String,
    sort: usize,
    reverse: bool,
    selected: Option<u64>,
}

/// What the keys are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// Looking at it.
    #[default]
    Looking,
    /// Typing a filter.
    Filtering(String),
    /// Deciding whether a connection is ended.
    Killing(u64),
}

/// What is to be done because of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Nothing but to show what has changed.
    Show,
    /// Ask the daemon for the connections anew.
    Ask,
    /// End a connection.
    Kill(u64),
    /// Leave.
    Quit,
}

/// A target, as the daemon lists it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct TargetRow {
    pub(super) route: String,
    pub(super) target: String,
    pub(super) in_flight: u32,
    pub(super) set_aside: Option<Aside>,
}

/// Why a target is left alone.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Aside {
    pub(super) cause: String,
    pub(super) seconds: f64,
}

/// What the daemon has said at one moment.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) status: Status,
    pub(super) tally: Tally,
    pub(super) targets: Vec<TargetRow>,
    pub(super) connections: Connections,
}

impl Model {
    /// What of the connections is asked for, as a path.
    pub(super) fn path(&self) -> String {
        let reverse = if self.reverse { "&reverse=yes" } else { "" };
        format!("/connections?sort={}{reverse}&limit={ROWS_MAX}{}", self.sort().as_str(), self.query)
    }

    /// What the connections are ordered by.
    pub(super) fn sort(&self) -> Column {
        SORTS.get(self.sort).copied().unwrap_or(Column::Id)
    }

    pub(super) fn is_reversed(&self) -> bool {
        self.reverse
    }

    /// Which row is chosen; the connection stays chosen while it lives, wherever it moves.
    pub(super) fn chosen(&self) -> Option<usize> {
        let of = |id| self.connections.iter().position(|row| row.id == id);
        self.selected.and_then(of).or(if self.connections.is_empty() { None } else { Some(0) })
    }

    /// Takes in what the daemon has said.
    pub(super) fn see(&mut self, sight: Sight) {
        let Sight { status, tally, targets, connections } = sight;
        self.tallies.add(tally);
        (self.status, self.targets, self.trouble) = (Some(status), targets, None);
        (self.matched, self.connections) = (connections.matched, connections.connections);
    }

    /// Does what a key is for.
    pub(super) fn press(&mut self, key: KeyEvent) -> Deed {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Deed::Quit;
        }
        match std::mem::take(&mut self.mode) {
            Mode::Looking => self.press_looking(key.code),
            Mode::Filtering(text) => self.press_filtering(text, key.code),
            Mode::Killing(id) => match key.code {
                KeyCode::Char('y' | 'Y') => Deed::Kill(id),
                _ => Deed::Show,
            },
        }
    }

    fn press_looking(&mut self, key: KeyCode) -> Deed {
        self.notice = None;
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return Deed::Quit,
            KeyCode::Char('s') => {
                self.sort = (self.sort + 1) % SORTS.len();
                return Deed::Ask;
            }
            KeyCode::Char('r') => {
                self.reverse = !self.reverse;
                return Deed::Ask;
            }
            KeyCode::Char('/' | 'f') => self.mode = Mode::Filtering(self.filter.clone()),
            KeyCode::Char('k') => {
                let row = self.chosen().and_then(|place| self.connections.get(place));
                self.mode = row.map_or(Mode::Looking, |row| Mode::Killing(row.id));
            }
            KeyCode::Up => self.choose(|place, _| place.saturating_sub(1)),
            KeyCode::Down => self.choose(|place, last| (place + 1).min(last)),
            KeyCode::PageUp => self.choose(|place, _| place.saturating_sub(10)),
            KeyCode::PageDown => self.choose(|place, last| (place + 10).min(last)),
            KeyCode::Home => self.choose(|_, _| 0),
            KeyCode::End => self.choose(|_, last| last),
            _ => {}
        }
        Deed::Show
    }

    fn press_filtering(&mut self, mut text: String, key: KeyCode) -> Deed {
        match key {
            KeyCode::Esc => return Deed::Show,
            KeyCode::Enter => {
                let routes = self.tallies.routes();
                let routes: Vec<_> = routes.iter().map(|route| route.name.as_str()).collect();
                match query_of(&text, &routes) {
                    Ok(query) => {
                        (self.filter, self.query, self.notice) = (text.trim().to_owned(), query, None);
                        return Deed::Ask;
                    }
                    Err(problem) => self.notice = Some(problem),
                }
            }
            KeyCode::Backspace => _ = text.pop(),
            KeyCode::Char(character) if text.len() < FILTER_LENGTH_MAX => text.push(character),
            _ => {}
        }
        self.mode = Mode::Filtering(text);
        Deed::Show
    }

    fn choose(&mut self, place: impl FnOnce(usize, usize) -> usize) {
        let last = self.connections.len().saturating_sub(1);
        let place = place(self.chosen().unwrap_or(0), last);
        self.selected = self.connections.get(place).map(|row| row.id);
    }
}
