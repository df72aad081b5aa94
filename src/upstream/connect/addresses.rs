use std::net::IpAddr;

use tokio::time::Instant;

use super::{ADDRESSES_MAX, ATTEMPT_DELAY};

/// When which address of a name is tried: Happy Eyeballs version 2 (RFC 8305 sections 4 and 5), without I/O.
///
/// The order within a family is the resolver's (RFC 6724), and so is the family that goes first: IPv6 where this machine
/// can reach it, or else every connection would begin with an attempt that must fail.
#[derive(Debug)]
pub(super) struct Schedule {
    /// In the order of trying, the next at the end.
    waiting: Vec<IpAddr>,
    /// The moment from which the next one may be tried; `None` is at once.
    next: Option<Instant>,
}

impl Schedule {
    /// A schedule of the addresses that a resolver has found; of those after the first [`ADDRESSES_MAX`] nothing is known.
    pub(super) fn new(found: &[IpAddr]) -> Self {
        let mut waiting = interleaved(found);
        waiting.truncate(ADDRESSES_MAX);
        waiting.reverse();
        Self { waiting, next: None }
    }

    /// Takes the address that is to be tried now, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> Option<IpAddr> {
        if self.next.is_some_and(|next| now < next) {
            return None;
        }
        let address = self.waiting.pop()?;
        self.next = now.checked_add(ATTEMPT_DELAY);
        Some(address)
    }

    /// Notes that an attempt has failed: the next one need not wait.
    pub(super) fn failed(&mut self) {
        self.next = None;
    }

    /// Notes that it makes no sense to try more.
    pub(super) fn stop(&mut self) {
        self.waiting.clear();
    }

    /// When to ask again; `None` if nothing is left to try.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        (!self.waiting.is_empty()).then(|| self.next.unwrap_or(now))
    }
}

/// The addresses once each, the families in turn, beginning with that of the first.
fn interleaved(found: &[IpAddr]) -> Vec<IpAddr> {
    let mut seen = Vec::with_capacity(found.len().min(ADDRESSES_MAX));
    for address in found.iter().map(IpAddr::to_canonical) {
        if !seen.contains(&address) {
            seen.push(address);
        }
    }
    let first_is_v6 = seen.first().is_some_and(IpAddr::is_ipv6);
    let (first, second): (Vec<IpAddr>, Vec<IpAddr>) =
        seen.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut order = Vec::with_capacity(first.len().saturating_add(second.len()));
    let mut second = second.into_iter();
    for address in first {
        order.push(address);
        order.extend(second.next());
    }
    order.extend(second);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_beginning_with_the_preferred() {
        let order = interleaved(&addresses(&["::1", "::2", "::3", "10.0.0.1", "10.0.0.2"]));
        assert_eq!(order, addresses(&["::1", "10.0.0.1", "::2", "10.0.0.2", "::3"]));
        let order = interleaved(&addresses(&["10.0.0.1", "::1", "::2"]));
        assert_eq!(order, addresses(&["10.0.0.1", "::1", "::2"]));
    }

    #[test]
    fn an_address_is_tried_once_however_often_it_was_found() {
        let order = interleaved(&addresses(&["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1", "::1"]));
        assert_eq!(order, addresses(&["10.0.0.1", "::1"]));
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_above_the_limit_is_not_tried() {
        let found: Vec<IpAddr> = (1..=20_u8).map(|last| IpAddr::from([10, 0, 0, last])).collect();
        let mut schedule = Schedule::new(&found);
        let mut now = Instant::now();
        let mut tried = Vec::new();
        while let Some(next) = schedule.next(now) {
            now = next;
            tried.extend(schedule.take(now));
        }
        assert_eq!(tried, found[..ADDRESSES_MAX]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_waits_for_the_delay_or_for_a_failure() {
        let mut schedule = Schedule::new(&addresses(&["::1", "10.0.0.1", "::2"]));
        let start = Instant::now();
        assert_eq!(schedule.next(start), Some(start));
        assert!(schedule.take(start).is_some());
        assert_eq!(schedule.next(start), Some(start + ATTEMPT_DELAY));
        assert_eq!(schedule.take(start), None);
        schedule.failed();
        assert!(schedule.take(start).is_some());
        assert_eq!(schedule.take(start), None);
        assert!(schedule.take(start + ATTEMPT_DELAY).is_some());
        assert_eq!(schedule.next(start), None);
    }
}
