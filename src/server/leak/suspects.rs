use std::collections::BTreeMap;
use std::time::Instant;

use crate::telemetry::LeakKind;

/// How many passes in a row have to find the same thing before it is told of: what comes and goes is in the middle of
/// something at any moment, and is somewhere else, or gone, at the next.
pub(super) const PASSES: u32 = 2;

/// What tells one thing that may have leaked from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// A socket, by its inode in the kernel and its descriptor.
    Socket(u64, i32),
    /// A connection, by its number.
    Connection(u64),
    /// A connection in a state, by its number and the state's name.
    Stage(u64, &'static str),
    /// A count, by its name.
    Count(String),
}

/// What one pass has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) kind: LeakKind,
    pub(super) key: Key,
    /// What and where, for people.
    pub(super) what: String,
}

/// Something that seems to have leaked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeakSuspect {
    /// What sort of thing it is.
    pub kind: LeakKind,
    /// What and where, for people.
    pub what: String,
    /// When it was first seen.
    pub since: Instant,
}

/// What is suspected, from pass to pass.
#[derive(Debug, Default)]
pub(super) struct Suspects(BTreeMap<(LeakKind, Key), Seen>);

#[derive(Debug)]
struct Seen {
    suspect: LeakSuspect,
    passes: u32,
}

/// What a pass has changed.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Suspects from now on.
    pub(super) new: Vec<LeakSuspect>,
    /// No longer.
    pub(super) gone: Vec<LeakSuspect>,
}

impl Suspects {
    /// Takes what a pass has found; what it has not found is no longer suspected.
    pub(super) fn note(&mut self, found: Vec<Finding>, now: Instant) -> Change {
        let mut change = Change::default();
        let mut before = std::mem::take(&mut self.0);
        for Finding { kind, key, what } in found {
            let key = (kind, key);
            let since = before.get(&key).map_or(now, |seen| seen.suspect.since);
            let passes = before.remove(&key).map_or(1, |seen| seen.passes.saturating_add(1));
            let suspect = LeakSuspect { kind, what, since };
            if passes == PASSES {
                change.new.push(suspect.clone());
            }
            self.0.insert(key, Seen { suspect, passes });
        }
        let told = before.into_values().filter(|seen| seen.passes >= PASSES);
        change.gone = told.map(|seen| seen.suspect).collect();
        change
    }

    /// Those that have been told of.
    pub(super) fn told(&self) -> impl Iterator<Item = &LeakSuspect> {
        self.0.values().filter(|seen| seen.passes >= PASSES).map(|seen| &seen.suspect)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn socket(inode: u64) -> Finding {
        Finding { kind: LeakKind::Socket, key: Key::Socket(inode, 3), what: format!("socket {inode}") }
    }

    #[test]
    fn a_thing_is_suspected_from_its_second_pass_in_a_row_until_it_is_gone() {
        let (mut suspects, start) = (Suspects::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let change = suspects.note(vec![socket(1)], at(0));
        assert!(change.new.is_empty() && suspects.told().next().is_none());
        let change = suspects.note(vec![socket(1), socket(2)], at(10));
        assert_eq!(change.new, [LeakSuspect { kind: LeakKind::Socket, what: "socket 1".into(), since: at(0) }]);
        // Told of once.
        let change = suspects.note(vec![socket(1)], at(20));
        assert!(change.new.is_empty() && change.gone.is_empty());
        // One that was away in between begins anew.
        let change = suspects.note(vec![socket(1), socket(2)], at(30));
        assert!(change.new.is_empty());
        assert_eq!(suspects.told().count(), 1);
        let change = suspects.note(Vec::new(), at(40));
        assert_eq!(change.gone.len(), 1);
        assert_eq!(suspects.told().count(), 0);
    }
}
