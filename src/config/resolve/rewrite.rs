use super::template::template;
use crate::config::file::{MatchSection, ReplaceSection, RewriteSection, RouteTable, or_empty};
use crate::config::place::{Located, Place};
use crate::config::report::Report;
use crate::config::value::{Key, Problem, Text};
use crate::name::{PathPrefix, PathRewrite, Placeholder, Template, normalize_path};

const PLACEHOLDERS: [Placeholder; 3] = [Placeholder::Path, Placeholder::Host, Placeholder::Route];

/// How the path of a forwarded request is changed; the outer `None` has a fault.
pub(super) fn resolve(route: &RouteTable, report: &mut Report) -> Option<Option<PathRewrite>> {
    let (place, section) = match &route.rewrite {
        Key::Absent => return Some(None),
        Key::Faulty(_) => return None,
        Key::Given(place, section) => (*place, &*section.value),
    };
    let written = [
        ("strip_prefix", section.strip_prefix.written()),
        ("replace_prefix", section.replace_prefix.written()),
        ("set", section.set.written()),
    ];
    let written: Vec<(&str, Place)> = written.into_iter().filter_map(|(name, place)| Some((name, place?))).collect();
    match written.as_slice() {
        [] => {
            let help = "write `strip_prefix`, `replace_prefix` or `set`";
            report.fault_with_help(place, "`rewrite` says nothing of how", help);
            None
        }
        [_] => one(section, or_empty(&route.r#match), report).map(Some),
        [(first, _), others @ ..] => {
            for (other, place) in others {
                report.fault(*place, format!("`{other}` cannot be used with `{first}`: a path is rewritten once"));
            }
            None
        }
    }
}

fn one(section: &RewriteSection, wanted: &MatchSection, report: &mut Report) -> Option<PathRewrite> {
    if let Some(prefix) = section.strip_prefix.located() {
        if prefix.value.as_str().is_empty() {
            report.fault(prefix.place, "there is nothing to strip: \"/\" is every path");
            return None;
        }
        return within(prefix, wanted, report).map(PathRewrite::Strip);
    }
    if section.replace_prefix.written().is_some() {
        section.replace_prefix.value()?;
        let replace = or_empty::<ReplaceSection>(&section.replace_prefix);
        let from = within(replace.from.located()?, wanted, report)?;
        return Some(PathRewrite::Replace(from, replace.to.value()?.clone()));
    }
    let set = section.set.located()?;
    path(set).map_err(|problem| problem.report(set.place, report)).map(PathRewrite::Set).ok()
}

/// A prefix that every path of the route has: a path without it could only be guessed at.
fn within(prefix: &Located<PathPrefix>, wanted: &MatchSection, report: &mut Report) -> Option<PathPrefix> {
    let sure = match &wanted.path {
        Key::Absent => prefix.value.as_str().is_empty(),
        Key::Faulty(_) => return None,
        Key::Given(_, pattern) => pattern.value.is_below(&prefix.value),
    };
    if !sure {
        let message = format!("not every path of the route begins with \"{}\"", prefix.value.as_str());
        let help = format!("let the route take match.path = \"{}/\" or a path below it", prefix.value.as_str());
        report.fault_with_help(prefix.place, message, help);
        return None;
    }
    Some(prefix.value.clone())
}

fn path(text: &Located<Text>) -> Result<Template, Problem> {
    let text = &text.value.0;
    if !text.starts_with('/') || text.contains(['?', '#']) {
        return Err(Problem::new("a path begins with / and holds no query: that stays as the client sent it"));
    }
    if text.contains("/{path}") {
        let better = text.replacen("/{path}", "{path}", 1);
        return Err(Problem::new("{path} begins with a slash of its own").help(format!("write \"{better}\"")));
    }
    let template = template(text, &PLACEHOLDERS)?;
    // What stands around the placeholders has to be a path whatever they stand for.
    let sample =
        template.expand(|placeholder, out| out.push_str(if placeholder == Placeholder::Path { "/x" } else { "x" }));
    if normalize_path(&sample).as_deref() != Ok(&*sample) {
        return Err(Problem::new(
            "a path is written in normal form: no . or .. or empty segment, no parameter (;), no needless %",
        ));
    }
    Ok(template)
}
