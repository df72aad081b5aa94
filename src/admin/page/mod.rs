//! The page for people: one document with its style and its script inside, which asks for everything that it shows.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_FRAME_OPTIONS};
use http::{HeaderValue, StatusCode};

use super::answer::{Answer, whole};

const DOCUMENT: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Where the style and the script go in the document.
const STYLE_HERE: &str = "/* page.css */";
const SCRIPT_HERE: &str = "/* page.js */";

/// The document with what belongs into it, and what a browser may do with it.
struct Page {
    text: String,
    policy: HeaderValue,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let text = DOCUMENT.replace(STYLE_HERE, STYLE).replace(SCRIPT_HERE, SCRIPT);
    // Nothing runs and nothing is fetched but this style, this script, and the answers of this address (CSP level 3).
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    // The text above is ASCII.
    Page { text, policy: HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'")) }
});

fn hash(text: &str) -> String {
    BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes()))
}

/// Answers with the page. It holds nothing of the daemon's.
pub(super) fn show() -> Answer {
    let page = &*PAGE;
    let mut answer =
        whole(StatusCode::OK, HeaderValue::from_static("text/html; charset=utf-8"), page.text.as_str().into());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, page.policy.clone());
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("permissions-policy", HeaderValue::from_static("camera=(), geolocation=(), microphone=()"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_holds_its_style_and_script_once_and_names_nothing_outside() {
        let text = &PAGE.text;
        assert!(text.contains(STYLE) && text.contains(SCRIPT));
        assert_eq!((text.matches("<style>").count(), text.matches("<script>").count()), (1, 1));
        for outside in ["src=", "@import", "url(", "://", "innerHTML", "insertAdjacentHTML", "document.write", "eval("]
        {
            assert!(!text.contains(outside), "{outside}");
        }
    }
}
