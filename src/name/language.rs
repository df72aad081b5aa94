use std::fmt::Write as _;

/// What a text with placeholders is written in: what a placeholder stands for must stay a text in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// Plain text: nothing has a meaning of its own.
    Plain,
    /// HTML or XML, outside of tags or in a quoted attribute.
    Html,
    /// JSON, inside of a string.
    Json,
}

impl Language {
    /// The language of a media type (`Content-Type`); plain if there is none.
    #[must_use]
    pub fn of(media_type: &str) -> Self {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence == "text/html" || essence.ends_with("/xml") || essence.ends_with("+xml") {
            Self::Html
        } else if essence.ends_with("/json") || essence.ends_with("+json") {
            Self::Json
        } else {
            Self::Plain
        }
    }

    /// Writes a value so that it is a text and nothing else.
    pub fn write(self, value: &str, out: &mut String) {
        match self {
            Self::Plain => out.push_str(value),
            Self::Html => {
                for character in value.chars() {
                    match character {
                        '&' => out.push_str("&amp;"),
                        '<' => out.push_str("&lt;"),
                        '>' => out.push_str("&gt;"),
                        '"' => out.push_str("&quot;"),
                        '\'' => out.push_str("&#39;"),
                        other => out.push(other),
                    }
                }
            }
            Self::Json => {
                for character in value.chars() {
                    match character {
                        '"' => out.push_str("\\\""),
                        '\\' => out.push_str("\\\\"),
                        // `<` too, for a reader that takes the answer for HTML; writing to a string cannot fail.
                        '<' | '\0'..='\u{1f}' => {
                            let _ = write!(out, "\\u{:04x}", u32::from(character));
                        }
                        other => out.push(other),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(language: Language, value: &str) -> String {
        let mut out = String::new();
        language.write(value, &mut out);
        out
    }

    #[test]
    fn the_media_type_says_the_language() {
        assert_eq!(Language::of("text/html; charset=utf-8"), Language::Html);
        assert_eq!(Language::of("Application/Problem+JSON"), Language::Json);
        assert_eq!(Language::of("image/svg+xml"), Language::Html);
        assert_eq!(Language::of("text/plain"), Language::Plain);
        assert_eq!(Language::of(""), Language::Plain);
        assert_eq!(written(Language::Html, "<a b='\"&\">"), "&lt;a b=&#39;&quot;&amp;&quot;&gt;");
    }

    proptest! {
        #[test]
        fn a_value_stays_a_text(value in any::<String>()) {
            let parsed: String = serde_json::from_str(&format!("\"{}\"", written(Language::Json, &value))).unwrap();
            prop_assert_eq!(parsed, &*value);
            prop_assert!(!written(Language::Html, &value).contains(['<', '>', '"', '\'']));
        }
    }
}
