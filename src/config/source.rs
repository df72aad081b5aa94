use std::path::{Path, PathBuf};

use super::fault::Fault;
use super::place::Place;

/// The most characters of one line that a fault shows.
const SHOWN_MAX: usize = 200;

/// The most characters of a message or of a help, which may quote a value: more than any of ours has with values as people write them.
const MESSAGE_MAX: usize = 600;

/// What stands for each character of a secret.
const DOT: char = '•';

/// Words in a key that make its value a secret, whatever the key is for; compared in lower case.
const SECRET_WORDS: [&str; 7] = ["authorization", "cookie", "token", "secret", "password", "api-key", "api_key"];

/// The text of a configuration, able to show a place in it.
#[derive(Clone)]
pub(super) struct Source {
    path: PathBuf,
    text: Box<str>,
    /// The offset of each line's first byte.
    lines: Box<[u32]>,
}

impl Source {
    pub(super) fn new(path: PathBuf, text: &str) -> Self {
        // A file with an offset above 32 bits is refused before it is read.
        let starts = text.match_indices('\n').map(|(end, _)| u32::try_from(end + 1).unwrap_or(u32::MAX));
        let lines = std::iter::once(0).chain(starts).collect();
        Self { path, text: text.into(), lines }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The text of a place.
    pub(super) fn text_at(&self, place: Place) -> &str {
        self.text.get(self.boundary(place.start)..self.boundary(place.end)).unwrap_or("")
    }

    /// The line that holds an offset, counted from 0.
    pub(super) fn line_index(&self, offset: u32) -> usize {
        self.lines.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// The text of a line, counted from 0, without its end.
    pub(super) fn line_text(&self, index: usize) -> &str {
        let line = self.text.get(self.offset(index)..self.offset(index + 1)).unwrap_or("");
        line.trim_end_matches(['\n', '\r'])
    }

    /// Builds a fault; a place outside of the text is taken for its end.
    pub(super) fn fault(&self, place: Place, message: String, help: Option<String>) -> Fault {
        let start = self.boundary(place.start);
        let index = self.line_index(u32::try_from(start).unwrap_or(u32::MAX));
        let line = self.line_text(index);
        let first = self.offset(index);
        let column = characters(line.get(..start.saturating_sub(first)).unwrap_or(line));
        let end = self.boundary(place.end).max(start);
        let width = characters(self.text.get(start..end.min(first + line.len())).unwrap_or(""));
        let (shown, column_shown, width) = clip(&masked(line), column, width.max(1));
        let pad = shown.chars().take(column_shown).map(|character| if character == '\t' { '\t' } else { ' ' });
        let caret = pad.chain(std::iter::repeat_n('^', width)).collect();
        let (message, help) = (shortened(message), help.map(shortened));
        Fault { path: self.path.clone(), line: index + 1, column: column + 1, message, excerpt: shown, caret, help }
    }

    fn offset(&self, index: usize) -> usize {
        self.lines.get(index).map_or(self.text.len(), |start| *start as usize)
    }

    /// The start of the character that an offset lies in, never inside of a line's end.
    fn boundary(&self, offset: u32) -> usize {
        let mut offset = (offset as usize).min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset = offset.saturating_sub(1);
        }
        offset
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The text may hold secrets.
        formatter.debug_tuple("Source").field(&self.path).finish()
    }
}

fn characters(text: &str) -> usize {
    text.chars().count()
}

/// A text that says how much was left out of its middle where it is too long to be shown: it begins with what was expected and ends
/// with what is wrong, and between the two is the value.
fn shortened(text: String) -> String {
    let length = characters(&text);
    if length <= MESSAGE_MAX {
        return text;
    }
    let (front, back) = (MESSAGE_MAX / 2, MESSAGE_MAX / 6);
    let at = |place| text.char_indices().nth(place).map_or(text.len(), |(at, _)| at);
    let (begin, end) = (text.get(..at(front)).unwrap_or(""), text.get(at(length - back)..).unwrap_or(""));
    format!("{begin} [… {} characters left out …] {end}", length - front - back)
}

/// The part of a line around a column, short enough to show; and the column and the width in that part.
fn clip(line: &str, column: usize, width: usize) -> (String, usize, usize) {
    let length = characters(line);
    let skip = if length <= SHOWN_MAX {
        0
    } else {
        column.saturating_sub(SHOWN_MAX / 2).min(length.saturating_sub(SHOWN_MAX))
    };
    let printable = |character: char| match character {
        '\t' => '\t',
        character if character.is_control() => char::REPLACEMENT_CHARACTER,
        character => character,
    };
    let shown: String = line.chars().skip(skip).take(SHOWN_MAX).map(printable).collect();
    let column = column.saturating_sub(skip);
    let room = characters(&shown).saturating_sub(column).max(1);
    (shown, column, width.min(room))
}

/// The line with a dot for each character of each string that follows a key with a secret's name.
///
/// The text alone is looked at, so that a line which is no TOML is covered too.
fn masked(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let mut hidden: Vec<std::ops::Range<usize>> = Vec::new();
    for word in SECRET_WORDS {
        for (at, _) in lower.match_indices(word) {
            let end = at + word.len();
            // `token_file` says where the secret is.
            if !lower.get(end..).is_some_and(|rest| rest.starts_with("_file")) {
                hidden.extend(next_string(line, end));
            }
        }
    }
    let hide = |(at, character)| if hidden.iter().any(|range| range.contains(&at)) { DOT } else { character };
    line.char_indices().map(hide).collect()
}

/// The inside of the string after the next equals sign, to the line's end if it is not closed.
fn next_string(line: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let equals = from + line.get(from..)?.find('=')?;
    let open = equals + line.get(equals..)?.find(['"', '\''])?;
    let quote = line.get(open..)?.chars().next()?;
    let mut escaped = false;
    for (at, character) in line.get(open + 1..)?.char_indices() {
        if character == quote && !escaped {
            return Some(open + 1..open + 1 + at);
        }
        escaped = character == '\\' && quote == '"' && !escaped;
    }
    Some(open + 1..line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, at: &str) -> (usize, usize, String, String) {
        let start = text.find(at).unwrap();
        let fault = Source::new("a".into(), text).fault((start..start + at.len()).into(), String::new(), None);
        (fault.line, fault.column, fault.excerpt, fault.caret)
    }

    #[test]
    fn a_place_is_shown_by_characters_not_by_bytes() {
        let (line, column, excerpt, caret) = shown("x\r\n\u{e9}\u{e9} = here\r\n", "here");
        assert_eq!((line, column, excerpt.as_str(), caret.as_str()), (2, 6, "\u{e9}\u{e9} = here", "     ^^^^"));
    }

    #[test]
    fn tabs_keep_the_caret_below_the_text_and_other_control_characters_are_not_printed() {
        let (_, column, excerpt, caret) = shown("\ta\x1b[31m here", "here");
        assert_eq!((column, excerpt.as_str(), caret.as_str()), (9, "\ta\u{fffd}[31m here", "\t       ^^^^"));
    }

    #[test]
    fn a_place_over_several_lines_is_marked_on_its_first() {
        let (line, column, excerpt, caret) = shown("a = [\n1,\n]", "[\n1,\n]");
        assert_eq!((line, column, excerpt.as_str(), caret.as_str()), (1, 5, "a = [", "    ^"));
    }

    #[test]
    fn the_longest_line_is_shown_whole_and_a_longer_one_around_the_place() {
        let whole = format!("{}here", "x".repeat(SHOWN_MAX - 4));
        assert_eq!(shown(&whole, "here").2, whole);
        let longer = format!("{}here{}", "x".repeat(SHOWN_MAX), "y".repeat(SHOWN_MAX));
        let (_, column, excerpt, caret) = shown(&longer, "here");
        assert_eq!((column, excerpt.chars().count()), (SHOWN_MAX + 1, SHOWN_MAX));
        assert_eq!(excerpt.get(caret.find('^').unwrap()..).unwrap().get(..4), Some("here"));
    }

    #[test]
    fn the_longest_message_is_whole_and_a_longer_one_says_what_it_has_left_out() {
        let whole = "é".repeat(MESSAGE_MAX);
        assert_eq!(shortened(whole.clone()), whole);
        let long = format!("\"{}\" is not a size", "é".repeat(1 << 20));
        let text = shortened(long.clone());
        let (begin, rest) = text.split_once(" [… ").unwrap();
        let (left_out, end) = rest.split_once(" characters left out …] ").unwrap();
        assert!(begin.starts_with("\"ééé") && end.ends_with("ééé\" is not a size"), "{text}");
        let shown = characters(begin) + characters(end);
        assert!(shown <= MESSAGE_MAX && shown + left_out.parse::<usize>().unwrap() == characters(&long), "{text}");
    }

    #[test]
    fn the_values_of_secret_keys_are_dots() {
        for (line, expected) in [
            (r#"Authorization = "Bearer x""#, r#"Authorization = "••••••••""#),
            (r#"a = { "x-api-key" = 'k', b = "c" }"#, r#"a = { "x-api-key" = '•', b = "c" }"#),
            (r#"token = "a\"b" # c"#, r#"token = "••••" # c"#),
            (r#"set.cookie = "open"#, r#"set.cookie = "••••"#),
            (r#"key = "tls/a.key""#, r#"key = "tls/a.key""#),
            (r#"token"#, r#"token"#),
            (r#"token_file = "a.token""#, r#"token_file = "a.token""#),
            (r#"a = { token_file = "f", token = "t" }"#, r#"a = { token_file = "f", token = "•" }"#),
        ] {
            assert_eq!(masked(line), expected);
        }
    }
}
