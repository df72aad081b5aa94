use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::answering::Answering;
use super::bell::{Alarm, Bell};
use super::ended::Ended;
use super::wire::Wire;
use crate::head::Response;
use crate::http::body::Body;

/// The streams of one connection that are being answered. They end with it.
///
/// All are polled by the connection's own task: what a stream sends goes out with what others send, and nothing is handed
/// from task to task.
#[derive(Debug)]
pub(super) struct Streams<F> {
    places: Vec<Place<F>>,
    free: Vec<usize>,
    bell: Arc<Bell>,
    /// Those that wait for what has been sent to leave.
    breaking: Vec<usize>,
    /// Answers that may not have left yet.
    ended: Vec<Ended>,
    panicked: bool,
}

#[derive(Debug)]
struct Place<F> {
    answering: Option<Box<Answering<F>>>,
    alarm: Arc<Alarm>,
    waker: Waker,
}

impl<F: Future<Output = Response<Body>>> Streams<F> {
    pub(super) fn new(bell: &Arc<Bell>) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            bell: Arc::clone(bell),
            breaking: Vec::new(),
            ended: Vec::new(),
            panicked: false,
        }
    }

    /// Takes one in; it is polled as one that has rung.
    pub(super) fn add(&mut self, answering: Answering<F>) {
        let number = self.free.pop().unwrap_or_else(|| {
            let number = self.places.len();
            let alarm = Alarm::new(number, &self.bell);
            self.places.push(Place { answering: None, waker: Waker::from(Arc::clone(&alarm)), alarm });
            number
        });
        if let Some(place) = self.places.get_mut(number) {
            place.answering = Some(Box::new(answering));
            place.waker.wake_by_ref();
        }
    }

    /// Polls the one that has rung.
    pub(super) fn poll<S>(&mut self, number: usize, wire: &Wire<S>) {
        let Some(place) = self.places.get_mut(number) else { return };
        place.alarm.reset();
        let Some(answering) = &mut place.answering else { return };
        if self.breaking.contains(&number) {
            return;
        }
        let mut context = Context::from_waker(&place.waker);
        // A fault of ours ends the one stream; what it holds is dropped here, and nothing of it is used again.
        let polled = catch_unwind(AssertUnwindSafe(|| answering.poll(&mut context, wire)));
        self.ended.extend(answering.take_ended());
        match polled {
            Ok(Poll::Pending) => {
                if answering.is_breaking() {
                    self.breaking.push(number);
                }
                return;
            }
            Ok(Poll::Ready(())) => {}
            Err(_said_by_the_hook) => {
                self.panicked = true;
                answering.fail();
            }
        }
        answering.cut(wire);
        place.answering = None;
        self.free.push(number);
    }

    /// Whether somebody waits for what has been sent to leave.
    pub(super) fn awaits_flush(&self) -> bool {
        !self.breaking.is_empty() || !self.ended.is_empty()
    }

    /// How many answers wait for nothing but to leave.
    pub(super) fn ended(&self) -> usize {
        self.ended.len()
    }

    /// Some of what has been sent has left; with `flushed`, all of it.
    pub(super) fn sent<S>(&mut self, wire: &Wire<S>, flushed: bool) {
        for ended in self.ended.extract_if(.., |ended| flushed || ended.is_over(wire)) {
            ended.end(wire);
        }
        if !flushed {
            return;
        }
        for number in self.breaking.drain(..) {
            if let Some(place) = self.places.get(number) {
                place.waker.wake_by_ref();
            }
        }
    }

    /// Whether one has panicked.
    pub(super) fn panicked(&self) -> bool {
        self.panicked
    }
}

impl<F> Streams<F> {
    /// Whether what the client does not take is of answers, and not of tunnels only, which have no rate.
    pub(super) fn owe_answers(&self) -> bool {
        let mut live = self.places.iter().filter_map(|place| place.answering.as_ref());
        !self.ended.is_empty() || live.clone().any(|live| live.is_sending()) || !live.any(|live| live.is_tunnel())
    }

    /// The connection is over: notes what of its answers has not reached the client.
    pub(super) fn cut<S>(&mut self, wire: &Wire<S>) {
        for ended in self.ended.drain(..) {
            ended.end(wire);
        }
        for answering in self.places.iter_mut().filter_map(|place| place.answering.as_mut()) {
            answering.cut(wire);
        }
    }
}
