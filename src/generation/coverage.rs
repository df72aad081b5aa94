use std::collections::HashSet;

use crate::name::HostPattern;

/// How many names of a certificate a fault shows.
const SHOWN_MAX: usize = 8;

/// The names that some certificates cover, asked in a few look-ups however many they are.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    exact: HashSet<Box<str>>,
    /// The names after `*.`.
    wildcards: HashSet<Box<str>>,
    /// Each name that an exact one has after its first label.
    parents: HashSet<Box<str>>,
    /// Each name that has a covered one below it, however deep.
    ancestors: HashSet<Box<str>>,
}

impl Coverage {
    pub(super) fn new<'a>(names: impl IntoIterator<Item = &'a HostPattern>) -> Self {
        let mut coverage = Self::default();
        for pattern in names {
            let name = pattern.name();
            let below = match pattern {
                HostPattern::Exact(_) => {
                    coverage.exact.insert(name.as_str().into());
                    coverage.parents.extend(name.parent().map(Into::into));
                    name.parent()
                }
                HostPattern::OneLabel(_) => {
                    coverage.wildcards.insert(name.as_str().into());
                    Some(name.as_str())
                }
                // No certificate has such a name.
                HostPattern::AnyLabels(_) => None,
            };
            let up = std::iter::successors(below, |name| name.split_once('.').map(|(_, parent)| parent));
            coverage.ancestors.extend(up.map(Into::into));
        }
        coverage
    }

    /// Whether a name of the pattern is covered: of a pattern with stars, certificates may well cover some names only.
    pub(super) fn overlaps(&self, pattern: &HostPattern) -> bool {
        let name = pattern.name();
        match pattern {
            HostPattern::Exact(_) => {
                self.exact.contains(name.as_str())
                    || name.parent().is_some_and(|parent| self.wildcards.contains(parent))
            }
            HostPattern::OneLabel(_) => self.wildcards.contains(name.as_str()) || self.parents.contains(name.as_str()),
            HostPattern::AnyLabels(_) => self.ancestors.contains(name.as_str()),
        }
    }
}

/// Whether a name of the pattern is one of these, or is covered by one of them.
pub(super) fn overlap(names: &[HostPattern], pattern: &HostPattern) -> bool {
    names.iter().any(|name| name.covers(pattern) || pattern.covers(name))
}

/// The names of a certificate for a fault, not all of them if they are many.
pub(super) fn listed(names: &[HostPattern]) -> String {
    if names.is_empty() {
        return "no name at all".into();
    }
    let mut shown: Vec<String> = names.iter().take(SHOWN_MAX).map(|name| format!("`{name}`")).collect();
    if names.len() > SHOWN_MAX {
        shown.push(format!("{} more", names.len() - SHOWN_MAX));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::parse(text).unwrap()
    }

    #[test]
    fn a_pattern_is_covered_where_one_of_its_names_is() {
        let names = ["shop.test", "*.cdn.test", "a.b.deep.test"].map(pattern);
        let coverage = Coverage::new(&names);
        for covered in [
            "shop.test",
            "x.cdn.test",
            "*.cdn.test",
            "**.cdn.test",
            "**.test",
            "*.b.deep.test",
            "**.deep.test",
            "*.test",
        ] {
            assert!(coverage.overlaps(&pattern(covered)), "{covered}");
        }
        for bare in
            ["www.shop.test", "cdn.test", "x.y.cdn.test", "*.shop.test", "**.shop.test", "*.deep.test", "**.x.cdn.test"]
        {
            assert!(!coverage.overlaps(&pattern(bare)), "{bare}");
        }
    }

    #[test]
    fn as_many_names_as_are_shown_are_shown_and_more_are_counted() {
        let names = |count: usize| (0..count).map(|index| pattern(&format!("n{index}.test"))).collect::<Vec<_>>();
        assert!(listed(&names(SHOWN_MAX)).ends_with("`n7.test`"));
        assert!(listed(&names(SHOWN_MAX + 1)).ends_with("`n7.test`, 1 more"));
        assert_eq!(listed(&[]), "no name at all");
    }

    proptest! {
        #[test]
        fn the_look_up_says_what_comparing_with_each_name_says(
            names in prop::collection::vec("(\\*\\.)?([ab]\\.){0,3}[ab]", 0..6),
            asked in "(\\*{1,2}\\.)?([ab]\\.){0,3}[ab]",
        ) {
            let names: Vec<_> = names.iter().map(|name| pattern(name)).collect();
            let asked = pattern(&asked);
            prop_assert_eq!(Coverage::new(&names).overlaps(&asked), overlap(&names, &asked));
        }
    }
}
