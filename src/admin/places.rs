use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::oneshot;

use super::answer::Answer;
use super::limits::network;
use super::listener::CONNECTIONS_MAX;

/// Connections of one address at once, a quarter of all: a browser opens six to one host, and a scraper and a prober may be
/// beside it.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 16;

/// Who is served at the HTTP address. Where all places are taken, whoever has waited longest for its request's head gives its
/// own to the next: so nobody shuts the address by sending half a request.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    by_number: BTreeMap<u64, Sitting>,
}

#[derive(Debug)]
struct Sitting {
    /// As it is counted.
    from: IpAddr,
    /// When its wait for a request's head began, in the order of all waits; `None` while it is answered.
    waits: Option<u64>,
    /// Dropped with it, which cuts the connection.
    _stays: oneshot::Sender<Infallible>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
}

/// Resolves when the place has been given to another.
pub(super) type Cut = oneshot::Receiver<Infallible>;

/// A request is being answered; when dropped, its connection waits for the next.
#[derive(Debug)]
pub(super) struct Busy(Arc<Place>);

impl Places {
    /// A place for who has come from that address; none if all that it may have are busy.
    pub(super) fn take(self: &Arc<Self>, from: IpAddr) -> Option<(Arc<Place>, Cut)> {
        let from = network(from);
        let mut taken = self.taken();
        if taken.by_number.values().filter(|sitting| sitting.from == from).count() >= CONNECTIONS_PER_ADDRESS_MAX {
            taken.cut_longest(|sitting| sitting.from == from)?;
        } else if taken.by_number.len() >= CONNECTIONS_MAX {
            taken.cut_longest(|_anybody| true)?;
        }
        let number = taken.turn();
        let (stays, cut) = oneshot::channel();
        taken.by_number.insert(number, Sitting { from, waits: Some(number), _stays: stays });
        drop(taken);
        Some((Arc::new(Place { places: Arc::clone(self), number }), cut))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Each change is whole before the next can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn turn(&mut self) -> u64 {
        let turn = self.next;
        self.next = turn.wrapping_add(1);
        turn
    }

    /// Cuts the one of these that has waited longest, if any of them waits.
    fn cut_longest(&mut self, of: impl Fn(&Sitting) -> bool) -> Option<()> {
        let waiting = self.by_number.iter().filter(|(_, sitting)| of(sitting));
        let waits = waiting.filter_map(|(number, sitting)| Some((sitting.waits?, *number)));
        let (_, longest) = waits.min()?;
        self.by_number.remove(&longest).map(drop)
    }
}

impl Place {
    /// A request's head has come.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        if let Some(sitting) = self.places.taken().by_number.get_mut(&self.number) {
            sitting.waits = None;
        }
        Busy(Arc::clone(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().by_number.remove(&self.number);
    }
}

impl Busy {
    /// Is busy until the answer has been taken, or is dropped.
    pub(super) fn with(self, answer: Answer) -> Answer {
        answer.map(|body| Held { body, _busy: self }.boxed_unsync())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut taken = self.0.places.taken();
        let turn = taken.turn();
        if let Some(sitting) = taken.by_number.get_mut(&self.0.number) {
            sitting.waits = Some(turn);
        }
    }
}

/// An answer's body, whose connection is busy for as long as it lives.
struct Held {
    body: UnsyncBoxBody<Bytes, Infallible>,
    _busy: Busy,
}

impl Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> IpAddr {
        [10, 0, 0, number].into()
    }

    fn is_cut(cut: &mut Cut) -> bool {
        cut.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn one_above_an_addresss_places_gets_that_of_who_waited_longest_and_none_if_all_are_busy() {
        let places = Arc::new(Places::default());
        let mut taken: Vec<_> = (0..16).map(|_| places.take(address(1)).unwrap()).collect();
        let other = places.take(address(2)).unwrap();
        assert!(taken.iter_mut().all(|(_, cut)| !is_cut(cut)));
        // The first is answered, and then waits again: the second has waited longer.
        drop(taken[0].0.busy());
        taken.push(places.take(address(1)).unwrap());
        let cut: Vec<_> = taken.iter_mut().map(|(_, cut)| is_cut(cut)).collect();
        assert_eq!(cut.iter().position(|cut| *cut), Some(1));
        assert_eq!(cut.iter().filter(|cut| **cut).count(), 1);
        drop(taken.remove(1));
        let mut busy: Vec<_> = taken.iter().map(|(place, _)| place.busy()).collect();
        assert!(places.take(address(1)).is_none());
        busy.pop();
        assert!(places.take(address(1)).is_some());
        drop((busy, taken, other));
        assert!(places.taken().by_number.is_empty());
    }

    #[test]
    fn an_ipv6_host_is_its_network() {
        let places = Arc::new(Places::default());
        let here = |number: u8| format!("2001:db8::{number:x}").parse().unwrap();
        let taken: Vec<_> = (0..16).map(|number| places.take(here(number)).unwrap()).collect();
        let _busy: Vec<_> = taken.iter().map(|(place, _)| place.busy()).collect();
        assert!(places.take(here(99)).is_none());
        assert!(places.take("2001:db8:0:1::1".parse().unwrap()).is_some());
    }

    #[test]
    fn one_above_all_places_gets_that_of_who_waited_longest() {
        let places = Arc::new(Places::default());
        let mut taken: Vec<_> = (0..64).map(|number| places.take(address(number / 16)).unwrap()).collect();
        let (probe, mut stays) = places.take(address(200)).unwrap();
        let cut: Vec<_> = taken.iter_mut().map(|(_, cut)| is_cut(cut)).collect();
        assert_eq!((cut.iter().position(|cut| *cut), cut.iter().filter(|cut| **cut).count()), (Some(0), 1));
        assert!(!is_cut(&mut stays));
        let _busy: Vec<_> = taken.iter().map(|(place, _)| place.busy()).collect();
        let _probing = probe.busy();
        assert!(places.take(address(201)).is_none());
    }
}
