use super::normal::normalize_path;
use super::template::{Placeholder, Template};

/// How the path of a forwarded request is changed. The query, and what of the path is kept, are the bytes that the client
/// sent: nothing is decoded or encoded anew.
///
/// Routes are matched by a path's normal form, and the target gets the path as it was sent; so a prefix is only ever
/// replaced where the path, *as it was sent*, begins with it, byte for byte. Any other writing of it (`/%61pi/x`,
/// `//api/x`, `/x/../api/y`, `/api;v=1/x`) is refused, and so is a rest that would name something else once the prefix has
/// changed: `/api/../api/x`, or `/api//x`, of which a path is left that begins with two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRewrite {
    /// Takes the prefix away.
    Strip(PathPrefix),
    /// Puts another prefix in its place.
    Replace(PathPrefix, PathPrefix),
    /// Takes this path instead; `{path}` in it is the request's.
    Set(Template),
}

/// Whole segments at the beginning of a path, in normal form and without a slash at the end; the root is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPrefix(Box<str>);

/// Why a text is not a prefix of paths; its writer is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrefix {
    /// It does not begin with a slash.
    #[error("a prefix begins with /")]
    Relative,
    /// It is not what normalisation makes of it.
    #[error("a prefix is written in normal form: no . or .. or empty segment, no parameter (;), query or needless %")]
    NotNormal,
}

/// A request's path cannot be rewritten so that it names one thing, within the new prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path is not written so that it can be rewritten: its prefix is encoded or dotted, or it climbs out of it")]
pub struct Unrewritable;

impl PathPrefix {
    /// Reads a prefix; a slash at its end makes no difference.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, InvalidPrefix> {
        if !text.starts_with('/') {
            return Err(InvalidPrefix::Relative);
        }
        match normalize_path(text) {
            Ok(normal) if normal == text => Ok(Self(text.strip_suffix('/').unwrap_or(text).into())),
            Ok(_) | Err(_) => Err(InvalidPrefix::NotNormal),
        }
    }

    /// The prefix; the root is empty.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What of a path is behind it: nothing, or a slash and more.
    fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(&*self.0).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl PathRewrite {
    /// The path that the target gets. `value` writes what the placeholders of `set` stand for, but for `{path}`.
    ///
    /// # Errors
    /// The client's: its path is not written so that the result is certain.
    pub fn apply(&self, path: &str, mut value: impl FnMut(Placeholder, &mut String)) -> Result<String, Unrewritable> {
        let normal = normalize_path(path).map_err(|_| Unrewritable)?;
        // What the target gets, and what that has to come to.
        let (rewritten, wanted) = match self {
            Self::Strip(from) => replaced(from, "", path, &normal)?,
            Self::Replace(from, to) => replaced(from, to.as_str(), path, &normal)?,
            Self::Set(template) => {
                let mut write = |of: &str| {
                    template.expand(|placeholder, out| match placeholder {
                        Placeholder::Path => out.push_str(of),
                        _ => value(placeholder, out),
                    })
                };
                (write(path), write(&normal))
            }
        };
        let doubled = rewritten.starts_with("//") || rewritten.starts_with("/\\");
        if doubled || !rewritten.starts_with('/') || normalize_path(&rewritten).as_deref() != Ok(&*wanted) {
            return Err(Unrewritable);
        }
        Ok(rewritten)
    }

    /// The prefix that is taken away, for the target to know of.
    #[must_use]
    pub fn stripped(&self) -> Option<&str> {
        match self {
            Self::Strip(prefix) => Some(prefix.as_str()),
            Self::Replace(..) | Self::Set(_) => None,
        }
    }
}

fn replaced(from: &PathPrefix, to: &str, path: &str, normal: &str) -> Result<(String, String), Unrewritable> {
    let whole = |rest: &str| if to.is_empty() && rest.is_empty() { "/".to_owned() } else { format!("{to}{rest}") };
    let written = from.rest(path).ok_or(Unrewritable)?;
    let wanted = from.rest(normal).ok_or(Unrewritable)?;
    Ok((whole(written), whole(wanted)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> PathPrefix {
        PathPrefix::parse(text).unwrap()
    }

    fn strip(path: &str) -> Option<String> {
        PathRewrite::Strip(prefix("/api/")).apply(path, |_, _| {}).ok()
    }

    fn set(text: &str, path: &str) -> Option<String> {
        let template = Template::parse(text, &[Placeholder::Path, Placeholder::Host]).unwrap();
        PathRewrite::Set(template).apply(path, |_, out| out.push_str("a.test")).ok()
    }

    #[test]
    fn a_prefix_goes_and_the_rest_stays_as_it_was_sent() {
        for (path, expected) in [
            ("/api", "/"),
            ("/api/", "/"),
            ("/api/x", "/x"),
            ("/api/%61%2fb/c;d=1", "/%61%2fb/c;d=1"),
            ("/api/a/../b", "/a/../b"),
            ("/api/caf%c3%A9", "/caf%c3%A9"),
            ("/api/x//y", "/x//y"),
        ] {
            assert_eq!(strip(path).as_deref(), Some(expected), "{path}");
        }
        let replace = PathRewrite::Replace(prefix("/old"), prefix("/new/er"));
        assert_eq!(replace.apply("/old", |_, _| {}).unwrap(), "/new/er");
        assert_eq!(replace.apply("/old/%41", |_, _| {}).unwrap(), "/new/er/%41");
        assert_eq!(replace.stripped(), None);
        let add = PathRewrite::Replace(prefix("/"), prefix("/v1"));
        assert_eq!(add.apply("/x", |_, _| {}).unwrap(), "/v1/x");
        assert_eq!(set("/fixed{path}", "/a%2fb").as_deref(), Some("/fixed/a%2fb"));
        assert_eq!(set("/fixed", "/a/b").as_deref(), Some("/fixed"));
        assert_eq!(set("/{host}{path}", "/a").as_deref(), Some("/a.test/a"));
    }

    #[test]
    fn what_would_have_to_be_guessed_is_refused() {
        for path in [
            "/apix",
            "/other",
            "/%61pi/x",
            "//api/x",
            "/x/../api/y",
            "/./api/x",
            "/api;v=1/x",
            "/api%2fx",
            "/api\\x",
            "/api/../api/x",
            "/api/..",
            "/api//x",
            "/api//",
            "/api/\\evil",
            "/api/./../api",
            "api/x",
            "*",
            "",
        ] {
            assert_eq!(strip(path), None, "{path}");
        }
        // The plain form is in the prefix, and the path that is left would not be.
        assert_eq!(set("/fixed{path}", "/../x"), None);
        assert_eq!(set("/fixed{path}", "/a/../../x"), None);
    }

    #[test]
    fn a_prefix_is_whole_segments_in_normal_form() {
        assert_eq!(prefix("/").as_str(), "");
        assert_eq!(prefix("/a/b/").as_str(), "/a/b");
        assert_eq!(PathPrefix::parse("a"), Err(InvalidPrefix::Relative));
        for text in ["/a//b", "/a/../b", "/%61", "/a;b", "/a?b", "//", "/a\\b", "/é"] {
            assert_eq!(PathPrefix::parse(text), Err(InvalidPrefix::NotNormal), "{text}");
        }
    }

    /// Paths made of what makes them hard.
    fn paths() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/", "/", "/", "api", "api", "a", ".", "..", "%2e", "%2E%2e", "%2f", "%5c", "\\", ";", "%3b", "%61", "%",
            "x=1",
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #[test]
        fn what_is_stripped_names_what_was_matched(path in prop_oneof![paths(), paths().prop_map(|path| format!("/api{path}"))]) {
            if let Some(rewritten) = strip(&path) {
                prop_assert!(rewritten.starts_with('/') && !rewritten.starts_with("//"), "{}", rewritten);
                // The bytes are the client's own.
                prop_assert!(path.ends_with(&rewritten) || (rewritten == "/" && path == "/api"), "{} {}", path, rewritten);
                let (before, after) = (normalize_path(&path).unwrap(), normalize_path(&rewritten).unwrap());
                let below = before.strip_prefix("/api").unwrap();
                prop_assert_eq!(if below.is_empty() { "/" } else { below }, &*after);
            }
        }

        #[test]
        fn no_path_climbs_out_of_a_new_prefix(path in paths()) {
            for rewritten in [
                PathRewrite::Replace(prefix("/api"), prefix("/new")).apply(&path, |_, _| {}),
                PathRewrite::Set(Template::parse("/new{path}", &[Placeholder::Path]).unwrap()).apply(&path, |_, _| {}),
            ].into_iter().flatten() {
                let normal = normalize_path(&rewritten).unwrap();
                prop_assert!(&*normal == "/new" || normal.starts_with("/new/"), "{} gives {}", path, rewritten);
            }
        }

        #[test]
        fn any_text_is_refused_or_rewritten(path in any::<String>()) {
            let _ = strip(&path);
            let _ = set("/new{path}", &path);
        }
    }
}
