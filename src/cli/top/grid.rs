use ratatui::layout::Constraint;
use ratatui::style::Style;
use ratatui::text::Span;
use ratatui::widgets::{Block, Borders, Cell, Row, Table};

/// Between two columns, and between two panels.
pub(super) const GAP: u16 = 1;

/// Stands for what there was no room for.
const CUT: char = '…';

/// What a column, or a panel, would have of the room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// With less it says nothing.
    pub(super) least: u16,
    /// More would stay empty.
    pub(super) most: u16,
    /// The lower, the sooner it gets its room and the longer it stays.
    pub(super) rank: u8,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) heading: &'static str,
    /// What of its width it can do without; a longer text is cut then.
    pub(super) least: Least,
    pub(super) rank: u8,
}

/// How narrow a column may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Least {
    /// As wide as what is in it: half a number is a wrong one.
    Whole,
    /// So wide, or as what is in it when that is less.
    Cut(u16),
}

/// A table whose columns get the room that there is by their importance.
pub(super) struct Grid<const N: usize> {
    pub(super) title: String,
    pub(super) columns: [Column; N],
    pub(super) rows: Vec<[(String, Style); N]>,
}

impl<const N: usize> Grid<N> {
    fn needs(&self) -> [Need; N] {
        let mut place = 0;
        self.columns.map(|column| {
            let texts = self.rows.iter().filter_map(|row| row.get(place)).map(|(text, _)| length(text));
            let most = texts.chain([length(column.heading)]).max().unwrap_or(0);
            place += 1;
            let least = match column.least {
                Least::Whole => most,
                Least::Cut(least) => most.min(least),
            };
            Need { least, most, rank: column.rank }
        })
    }

    /// What the whole of it would have.
    pub(super) fn need(&self, least: u16, rank: u8) -> Need {
        let gaps = GAP.saturating_mul(u16::try_from(N).unwrap_or(u16::MAX).saturating_sub(1));
        let most = self.needs().iter().fold(gaps, |sum, need| sum.saturating_add(need.most));
        Need { least, most: most.max(length(&self.title).saturating_add(2)).max(least), rank }
    }

    pub(super) fn table(self, width: u16, heading: Style) -> Table<'static> {
        let widths = share(width, &self.needs());
        let shown = || widths.iter().enumerate().filter_map(|(place, width)| width.map(|width| (place, width)));
        let rows = self.rows.iter().map(|row| {
            let cells = shown().filter_map(|(place, width)| {
                let (text, style) = row.get(place)?;
                Some(Cell::new(Span::styled(cut(text, width), *style)))
            });
            Row::new(cells.collect::<Vec<_>>())
        });
        let rows: Vec<_> = rows.collect();
        let headings = shown().filter_map(|(place, _)| self.columns.get(place)).map(|column| column.heading);
        let header = Row::new(headings.collect::<Vec<_>>()).style(heading);
        let block = Block::new().borders(Borders::TOP).title(format!(" {} ", self.title));
        let lengths = shown().map(|(_, width)| Constraint::Length(width));
        Table::new(rows, lengths.collect::<Vec<_>>()).header(header).column_spacing(GAP).block(block)
    }
}

/// Shares the room: who matters least gets none when there is too little for all, and the others get what they need at least, and
/// then, in the order of their rank, what they would have.
pub(super) fn share(width: u16, needs: &[Need]) -> Vec<Option<u16>> {
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|place| needs.get(*place).map(|need| need.rank));
    let mut left = width.saturating_add(GAP);
    let mut widths = vec![None; needs.len()];
    for place in &order {
        if let (Some(need), Some(own)) = (needs.get(*place), widths.get_mut(*place)) {
            // One that there is no room for takes those with it that matter less: a line does not change its columns at random.
            let Some(rest) = left.checked_sub(need.least.saturating_add(GAP)) else { break };
            (left, *own) = (rest, Some(need.least));
        }
    }
    for place in order {
        if let (Some(need), Some(Some(own))) = (needs.get(place), widths.get_mut(place)) {
            let more = left.min(need.most.saturating_sub(need.least));
            (left, *own) = (left - more, *own + more);
        }
    }
    widths
}

/// The text in so many columns. An address keeps its port.
fn cut(text: &str, width: u16) -> String {
    let width = usize::from(width);
    if usize::from(length(text)) <= width {
        return text.to_owned();
    }
    let port = text.rfind(':').and_then(|at| text.get(at..)).filter(|port| is_port(port) && port.len() + 1 < width);
    let port = port.unwrap_or_default();
    let begin = text.chars().take(width.saturating_sub(port.len() + 1));
    begin.chain([CUT]).take(width - port.len()).chain(port.chars()).collect()
}

fn is_port(text: &str) -> bool {
    text.len() > 1 && text.chars().skip(1).all(|character| character.is_ascii_digit())
}

fn length(text: &str) -> u16 {
    u16::try_from(text.chars().count()).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_matters_most_gets_the_room() {
        let needs = [
            Need { least: 5, most: 9, rank: 1 },
            Need { least: 3, most: 3, rank: 0 },
            Need { least: 4, most: 8, rank: 2 },
        ];
        for (width, widths) in [
            (22, [Some(9), Some(3), Some(8)]),
            (19, [Some(9), Some(3), Some(5)]),
            (15, [Some(6), Some(3), Some(4)]),
            (13, [Some(9), Some(3), None]),
            (8, [None, Some(3), None]),
            (0, [None; 3]),
        ] {
            assert_eq!(share(width, &needs), widths, "{width}");
        }
    }

    #[test]
    fn a_text_is_cut_where_it_says_least() {
        for (text, width, shown) in [
            ("10.0.0.1:80", 11, "10.0.0.1:80"),
            ("a-long-name.internal:27017", 16, "a-long-na…:27017"),
            ("[2001:db8::1234]:80", 12, "[2001:db…:80"),
            ("aside: refused 1m46s", 10, "aside: re…"),
            ("10.0.0.1:27017", 5, "10.0…"),
            ("ab", 1, "…"),
            ("ab", 0, ""),
        ] {
            assert_eq!(cut(text, width), shown, "{text} in {width}");
        }
    }
}
