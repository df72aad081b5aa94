use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::mux::{Mux, Place, Slot};
use crate::http::pool::PoolKey;

/// How long a target that has picked HTTP/1.1 is expected to do so again, so that requests need not wait for each other.
const HTTP1_FOR: Duration = Duration::from_secs(60);

/// The HTTP/2 connections to targets of one worker: one of each kind, and more where a target's limit on streams asks for
/// more.
#[derive(Debug, Default)]
pub(in crate::http) struct Shelf(Mutex<Groups>);

#[derive(Debug, Default)]
struct Groups {
    of: HashMap<PoolKey, Group>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Group {
    muxes: Vec<Arc<Mux>>,
    /// A connection is being opened, for which others wait.
    opening: Option<watch::Receiver<Option<Over>>>,
    /// The target has picked HTTP/1.1, and is expected to do so until then.
    http1_until: Option<Instant>,
}

/// What the opening of a connection has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Over {
    /// There is a new connection.
    Opened,
    /// The target picked HTTP/1.1: there is nothing to share.
    Http1,
    /// It failed.
    Failed,
}

/// Who opens a connection that is to be shared.
#[derive(Debug)]
pub(in crate::http) enum Turn {
    /// Whoever asked.
    Open(Opener),
    /// Another, who is waited for.
    Wait(watch::Receiver<Option<Over>>),
    /// Each for itself: the target has picked HTTP/1.1 a moment ago.
    Alone,
}

/// Opens a connection for all who wait for it. If it is dropped, another of them does.
#[derive(Debug)]
pub(in crate::http) struct Opener {
    shelf: Arc<Shelf>,
    key: PoolKey,
    sender: watch::Sender<Option<Over>>,
}

impl Shelf {
    /// A place on a connection of this key, but on the one to `avoid`.
    pub(in crate::http) fn find(&self, key: PoolKey, keep: Duration, avoid: Option<&Arc<Mux>>) -> Option<Slot> {
        let mut found = None;
        let mut gone = false;
        let mut groups = self.groups();
        for mux in &groups.of.get(&key)?.muxes {
            if avoid.is_some_and(|avoided| Arc::ptr_eq(avoided, mux)) {
                continue;
            }
            match mux.enter(keep) {
                Place::Free(slot) => {
                    found = Some(slot);
                    break;
                }
                Place::Full => {}
                Place::Gone => gone = true,
            }
        }
        if gone {
            groups.prune(Instant::now());
        }
        found
    }

    /// Who opens the next connection of this key.
    pub(in crate::http) fn turn(self: &Arc<Self>, key: PoolKey) -> Turn {
        let mut groups = self.groups();
        let group = groups.of.entry(key).or_default();
        if group.http1_until.is_some_and(|until| until > Instant::now()) {
            return Turn::Alone;
        }
        // Who opens has told, or was dropped before it could: its place is free.
        let running = group.opening.take().filter(|opening| opening.has_changed().is_ok());
        if let Some(opening) = running {
            group.opening = Some(opening.clone());
            return Turn::Wait(opening);
        }
        let (sender, receiver) = watch::channel(None);
        group.opening = Some(receiver);
        Turn::Open(Opener { shelf: Arc::clone(self), key, sender })
    }

    /// Keeps a connection for those who come after.
    pub(in crate::http) fn add(&self, key: PoolKey, mux: &Arc<Mux>) {
        let mut groups = self.groups();
        if groups.closed {
            drop(groups);
            mux.retire();
        } else {
            groups.of.entry(key).or_default().muxes.push(Arc::clone(mux));
        }
    }

    /// How many connections are idle.
    pub(in crate::http) fn idle(&self) -> usize {
        self.groups().of.values().flat_map(|group| &group.muxes).filter(|mux| mux.is_idle()).count()
    }

    /// How many connections take more requests.
    #[cfg(test)]
    pub(in crate::http) fn open(&self) -> usize {
        let groups = self.groups();
        let places = groups.of.values().flat_map(|group| &group.muxes).map(|mux| mux.enter(Duration::ZERO));
        places.filter(|place| !matches!(place, Place::Gone)).count()
    }

    /// Closes what has been idle for too long.
    pub(in crate::http) fn sweep(&self, now: Instant) {
        self.groups().prune(now);
    }

    /// Closes every idle connection now; those in use stay.
    pub(in crate::http) fn clear(&self) {
        let mut idle = Vec::new();
        for group in self.groups().of.values_mut() {
            idle.extend(group.muxes.extract_if(.., |mux| mux.is_idle()));
        }
        idle.into_iter().for_each(|mux| mux.retire());
    }

    /// Closes every idle connection now, and the others when their requests have ended.
    pub(in crate::http) fn close(&self) {
        let mut groups = self.groups();
        groups.closed = true;
        let all = std::mem::take(&mut groups.of);
        drop(groups);
        all.into_values().flat_map(|group| group.muxes).for_each(|mux| mux.retire());
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        // Whole whatever panicked beside it: no panic is possible between two of its changes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Groups {
    fn prune(&mut self, now: Instant) {
        self.of.retain(|_, group| {
            group.muxes.retain(|mux| {
                let over = mux.is_over(now);
                if over {
                    mux.retire();
                }
                !over
            });
            let waits = group.opening.is_some() || group.http1_until.is_some_and(|until| until > now);
            waits || !group.muxes.is_empty()
        });
    }
}

impl Opener {
    /// Tells those who wait what has come of it.
    pub(in crate::http) fn tell(self, over: Over) {
        if over == Over::Http1
            && let Some(group) = self.shelf.groups().of.get_mut(&self.key)
        {
            group.http1_until = Instant::now().checked_add(HTTP1_FOR);
        }
        let _nobody_may_wait = self.sender.send(Some(over));
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        if let Some(group) = self.shelf.groups().of.get_mut(&self.key) {
            group.opening = None;
        }
    }
}
