use std::borrow::Cow;
use std::fmt::Write as _;

/// Why a request's path is given to no route. The client is to blame: 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PathFault {
    /// It does not begin with a slash.
    #[error("the path does not begin with a slash")]
    Relative,
    /// A percent sign without two hexadecimal digits.
    #[error("a percent sign is not followed by two hexadecimal digits")]
    Percent,
    /// A control character, or an encoded NUL, where some targets cut a name short.
    #[error("the path holds a control character")]
    Control,
    /// A `?` or `#`, which end a path (RFC 3986 section 3.3): the caller gave more than the path.
    #[error("the path holds a query or a fragment")]
    Delimiter,
    /// What it names depends on who reads it: a `..` past a slash that is one only to some, or path parameters that hide
    /// a dot-segment, an empty segment or a slash.
    #[error(
        "the path climbs with .. past an encoded, backward or doubled slash, or has path parameters (;) on a dot-segment or an empty segment, or with a slash in them"
    )]
    Ambiguous,
}

/// The one form of a request's path that patterns are compared with, for matching only: the target gets the path as
/// the client sent it.
///
/// It is RFC 3986 section 6.2.2 (unreserved characters decoded, `%xx` in upper case, dot-segments removed; characters
/// that RFC 3986 does not allow are encoded), and every other way to write a slash becomes the slash: `%2F`, `\`, `%5C`
/// and doubled slashes. Targets differ in how they read those (many decode or merge), so the reading that meets *every*
/// route on the way down is the safe one: an encoded path meets the very same route as its plain form, never a weaker
/// one above it. A `..` that such a slash makes ambiguous is refused, because no reading of it is safe.
///
/// For the same reason the parameters of a segment (`/admin;x/y`, with the `;` encoded or not) do not count: many targets
/// take them away before they look a path up (Java's servlet containers, by the Servlet specification), and so
/// `/admin;x/y` meets the route of `/admin/y`. Where the two readings differ in more than one segment's name, the path is
/// refused: parameters on a dot-segment (`/..;x/`, `/.;/`), on an empty segment that is not the last (`/;x/admin`; the
/// last is a folder's own, `/shop/;jsessionid=1`), or with an encoded or backward slash in them.
///
/// # Errors
/// The first fault that is met; a path without a fault has a normal form, which is its own normal form.
pub fn normalize_path(path: &str) -> Result<Cow<'_, str>, PathFault> {
    if !path.starts_with('/') {
        return Err(PathFault::Relative);
    }
    if is_plain(path) {
        return Ok(Cow::Borrowed(path));
    }
    let mut normal =
        Normal { text: String::with_capacity(path.len()), start: 0, doubtful: false, in_parameters: false };
    let mut bytes = path.bytes().skip(1);
    normal.text.push('/');
    normal.start = 1;
    while let Some(byte) = bytes.next() {
        match byte {
            b'/' => normal.separate(false)?,
            b'\\' => normal.separate(true)?,
            b'%' => {
                let decoded = escape(bytes.next(), bytes.next()).ok_or(PathFault::Percent)?;
                match decoded {
                    b'/' | b'\\' => normal.separate(true)?,
                    0 => return Err(PathFault::Control),
                    b';' => normal.in_parameters = true,
                    _ => normal.push(decoded, is_unreserved(decoded)),
                }
            }
            b';' => normal.in_parameters = true,
            b'?' | b'#' => return Err(PathFault::Delimiter),
            _ if byte.is_ascii_control() => return Err(PathFault::Control),
            _ => normal.push(byte, is_path_character(byte)),
        }
    }
    normal.end_segment(false, true)?;
    Ok(if normal.text == path { Cow::Borrowed(path) } else { Cow::Owned(normal.text) })
}

/// The normal form as it grows: it ends in the segment that is being read.
struct Normal {
    text: String,
    /// Where the open segment begins, behind its slash.
    start: usize,
    /// Whether a slash so far is one only to some readers.
    doubtful: bool,
    /// Whether the open segment's name is over, and its parameters are being read.
    in_parameters: bool,
}

impl Normal {
    fn push(&mut self, byte: u8, plain: bool) {
        if self.in_parameters {
            return;
        }
        if plain {
            self.text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(self.text, "%{byte:02X}");
        }
    }

    /// Ends the open segment and begins the next one.
    fn separate(&mut self, doubtful: bool) -> Result<(), PathFault> {
        if self.text.len() == self.start && !self.in_parameters {
            // Merged: a target may take two slashes for one or for an empty segment.
            self.doubtful = true;
            return Ok(());
        }
        if self.end_segment(doubtful, false)? {
            self.text.push('/');
        }
        self.doubtful |= doubtful;
        self.start = self.text.len();
        Ok(())
    }

    /// Resolves the open segment; whether it is still there.
    fn end_segment(&mut self, doubtful: bool, last: bool) -> Result<bool, PathFault> {
        let segment = self.text.get(self.start..).unwrap_or_default();
        let hides = matches!(segment, "." | "..") || (segment.is_empty() && !last) || doubtful;
        if std::mem::take(&mut self.in_parameters) && hides {
            return Err(PathFault::Ambiguous);
        }
        if segment == "." {
            self.text.truncate(self.start);
            return Ok(false);
        }
        if segment != ".." {
            return Ok(true);
        }
        if doubtful || self.doubtful {
            return Err(PathFault::Ambiguous);
        }
        self.text.truncate(self.start.saturating_sub(1));
        let parent = self.text.rfind('/').map_or(0, |slash| slash.saturating_add(1));
        self.text.truncate(parent);
        if self.text.is_empty() {
            self.text.push('/');
        }
        Ok(false)
    }
}

/// Whether nothing can be left to do: the common case, decided without writing.
fn is_plain(path: &str) -> bool {
    let mut after_slash = false;
    path.bytes().all(|byte| {
        let special = after_slash && (byte == b'/' || byte == b'.');
        after_slash = byte == b'/';
        !special && byte != b';' && (byte == b'/' || is_path_character(byte))
    })
}

fn escape(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `pchar` of RFC 3986 section 3.3, without percent-encoding.
fn is_path_character(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plain_path_is_borrowed_as_it_stands() {
        for path in ["/", "/a", "/a/", "/a/b.c/~d", "/@scope/name=1", "/a..b/...x"] {
            assert_eq!(normalize_path(path), Ok(Cow::Borrowed(path)));
        }
    }

    #[test]
    fn every_writing_of_a_path_has_one_form() {
        let cases = [
            ("/%61dmin", "/admin"),
            ("/%7euser", "/~user"),
            ("/a%2dB", "/a-B"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/caf\u{e9}", "/caf%C3%A9"),
            ("/a b\"", "/a%20b%22"),
            ("/a%3f%23", "/a%3F%23"),
            ("/%252e%252e/a", "/%252e%252e/a"),
            ("/a/./b/../c", "/a/c"),
            ("/a/%2e/b/%2E%2e/c", "/a/c"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/..", "/"),
            ("/../../a", "/a"),
            ("/.well-known/x", "/.well-known/x"),
            ("//a///b//", "/a/b/"),
            ("/public%2Fx", "/public/x"),
            ("/public%2fx", "/public/x"),
            ("/public\\x", "/public/x"),
            ("/public%5cx", "/public/x"),
            ("/public%2F/x", "/public/x"),
            ("/a%0A", "/a%0A"),
            ("/admin;x/y", "/admin/y"),
            ("/admin;/y", "/admin/y"),
            ("/admin%3bx/y", "/admin/y"),
            ("/admin%3Bx;y=%2e/y", "/admin/y"),
            ("/admin/y;a=1;b=2", "/admin/y"),
            ("/a;x/../b", "/b"),
            ("/a;../b", "/a/b"),
            ("/shop/;jsessionid=1", "/shop/"),
            ("/;jsessionid=1", "/"),
            ("/%253bx/y", "/%253bx/y"),
        ];
        for (path, normal) in cases {
            assert_eq!(normalize_path(path).as_deref(), Ok(normal), "{path}");
        }
    }

    #[test]
    fn what_has_no_safe_reading_is_refused() {
        let cases = [
            ("", PathFault::Relative),
            ("a", PathFault::Relative),
            ("*", PathFault::Relative),
            ("%2Fa", PathFault::Relative),
            ("/%", PathFault::Percent),
            ("/%4", PathFault::Percent),
            ("/%+1", PathFault::Percent),
            ("/%g0", PathFault::Percent),
            ("/a%00.png", PathFault::Control),
            ("/a\n", PathFault::Control),
            ("/a\u{7f}", PathFault::Control),
            ("/a?b", PathFault::Delimiter),
            ("/a#b", PathFault::Delimiter),
            ("/public/..%2Fadmin", PathFault::Ambiguous),
            ("/public%2F..%2Fadmin", PathFault::Ambiguous),
            ("/public%2F../admin", PathFault::Ambiguous),
            ("/public/..\\admin", PathFault::Ambiguous),
            ("/public\\%2e%2e/admin", PathFault::Ambiguous),
            ("/public/..%5Cadmin", PathFault::Ambiguous),
            ("/a%2Fb/../c", PathFault::Ambiguous),
            ("/admin//../public", PathFault::Ambiguous),
            ("/public/..;/admin", PathFault::Ambiguous),
            ("/public/%2e.;x=1/admin", PathFault::Ambiguous),
            ("/public/..%3b/admin", PathFault::Ambiguous),
            ("/a/..;x", PathFault::Ambiguous),
            ("/;x/admin", PathFault::Ambiguous),
            ("/a//;x/admin", PathFault::Ambiguous),
            ("/%3B/admin", PathFault::Ambiguous),
            ("/.;/admin", PathFault::Ambiguous),
            ("/a/.%3bx", PathFault::Ambiguous),
            ("/a;x%2Fb/c", PathFault::Ambiguous),
            ("/a;x\\b/c", PathFault::Ambiguous),
            ("/a;%00", PathFault::Control),
            ("/a;%", PathFault::Percent),
            ("/a;\n", PathFault::Control),
        ];
        for (path, fault) in cases {
            assert_eq!(normalize_path(path), Err(fault), "{path}");
        }
    }

    fn written() -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec![
            "/", "//", "%2F", "%2f", "\\", "%5C", ".", "..", "%2e", "%2E%2e", ";", ";", "%3B", "%3b", ";a", "a", "%61",
            "%41", "b", "%", "%4", "%25", "%00", "\u{e9}", "?", "#", " ", "{", "\n",
        ]);
        prop_oneof![
            prop::collection::vec(part, 0..12).prop_map(|parts| format!("/{}", parts.concat())),
            "\\PC*".prop_map(|text| format!("/{text}")),
            ".*",
        ]
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own_and_climbs_nowhere(path in written()) {
            if let Ok(normal) = normalize_path(&path) {
                prop_assert!(normal.starts_with('/'));
                prop_assert!(normal.is_ascii());
                prop_assert!(!normal.contains("//") && !normal.contains('\\'));
                let upper = normal.to_ascii_uppercase();
                prop_assert!(!upper.contains("%2F") && !upper.contains("%5C") && !upper.contains("%2E"));
                prop_assert!(!upper.contains("%3B") && !normal.contains(';'));
                prop_assert!(normal.split('/').all(|segment| segment != "." && segment != ".."));
                prop_assert_eq!(normalize_path(&normal), Ok(Cow::Borrowed(&*normal)));
            }
        }

        #[test]
        fn an_encoded_path_has_the_form_of_its_plain_one_or_none(path in written()) {
            let plain = path
                .replace("%2F", "/").replace("%2f", "/").replace("%5C", "/").replace('\\', "/")
                .replace("%2e", ".").replace("%2E", ".").replace("%3b", ";").replace("%3B", ";");
            if let Ok(normal) = normalize_path(&path) {
                prop_assert_eq!(normalize_path(&plain), Ok(normal));
            }
        }

        #[test]
        fn a_path_has_the_form_that_it_has_without_its_parameters_whoever_takes_them_away(path in written()) {
            let bare = |path: &str| {
                let names: Vec<_> = path.split('/').map(|segment| segment.split(';').next().unwrap_or("")).collect();
                names.join("/")
            };
            if let Ok(normal) = normalize_path(&path) {
                // Before it decodes, and after.
                let before = bare(&path);
                let after = bare(&path.replace("%3b", ";").replace("%3B", ";"));
                prop_assert_eq!(normalize_path(&before), Ok(normal.clone()));
                prop_assert_eq!(normalize_path(&after), Ok(normal));
            }
        }

        #[test]
        fn whatever_a_target_does_to_a_path_it_stays_with_its_route(
            path in written(),
            steps in prop::collection::vec(0_usize..5, 0..6),
        ) {
            if let Ok(normal) = normalize_path(&path) {
                let mut read = path.clone();
                let mut decoded = false;
                for step in steps {
                    read = match step {
                        // Once: who decodes twice reads another path than anybody was sent.
                        0 if !decoded => {
                            decoded = true;
                            decode(&read)
                        }
                        1 => read.replace('\\', "/"),
                        2 => merged(&read),
                        3 => without_parameters(&read),
                        4 => without_dots(&read),
                        _ => read,
                    };
                }
                prop_assert_eq!(normalize_path(&read), Ok(normal), "{}", read);
            }
        }
    }

    /// All but what would then be read as an escape, the end of the path, or the end of a line.
    fn decode(path: &str) -> String {
        let pairs = [
            ("%2f", "/"),
            ("%2F", "/"),
            ("%5c", "\\"),
            ("%5C", "\\"),
            ("%2e", "."),
            ("%2E", "."),
            ("%3b", ";"),
            ("%3B", ";"),
            ("%61", "a"),
            ("%41", "A"),
        ];
        let mut text = String::new();
        let mut rest = path;
        while let Some(character) = rest.chars().next() {
            let found = pairs.iter().find_map(|(escape, plain)| Some((rest.strip_prefix(escape)?, *plain)));
            match found {
                Some((behind, plain)) => {
                    text.push_str(plain);
                    rest = behind;
                }
                None => {
                    text.push(character);
                    rest = &rest[character.len_utf8()..];
                }
            }
        }
        text
    }

    fn merged(path: &str) -> String {
        let mut text = path.to_owned();
        while text.contains("//") {
            text = text.replace("//", "/");
        }
        text
    }

    fn without_parameters(path: &str) -> String {
        path.split('/').map(|segment| segment.split(';').next().unwrap_or("")).collect::<Vec<_>>().join("/")
    }

    /// As RFC 3986 section 5.2.4 removes them.
    fn without_dots(path: &str) -> String {
        let mut kept: Vec<&str> = Vec::new();
        let segments: Vec<_> = path.split('/').skip(1).collect();
        for (at, segment) in segments.iter().enumerate() {
            let last = at + 1 == segments.len();
            match *segment {
                "." if last => kept.push(""),
                "." => {}
                ".." => {
                    kept.pop();
                    if last {
                        kept.push("");
                    }
                }
                other => kept.push(other),
            }
        }
        format!("/{}", kept.join("/"))
    }
}
