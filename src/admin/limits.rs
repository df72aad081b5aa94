use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Requests that one address may make at once, and each second: several pages and scrapers, each at its own pace. A page
/// asks three times a second at most.
const REQUESTS: Rate = Rate { burst: 400.0, per_second: 200.0 };

/// The same of all addresses together: the control plane is one thread, and has other things to do.
const REQUESTS_OF_ALL: Rate = Rate { burst: 2_000.0, per_second: 1_000.0 };

/// Wrong tokens that one address may show at once, and then one in three seconds: people mistype, programs do not. A token
/// has 128 bits at least, so this is about noise, not about guesses.
const WRONG_TOKENS: Rate = Rate { burst: 10.0, per_second: 1.0 / 3.0 };

/// Addresses that are known apart. When so many have asked of late, the others count as one.
const ADDRESSES_MAX: usize = 1024;

/// What visitors of the HTTP address may do, by where they come from.
#[derive(Debug, Default)]
pub(super) struct Limits(Mutex<Levels>);

#[derive(Debug, Default)]
struct Levels {
    all: Level,
    by_address: HashMap<IpAddr, Visits>,
    /// Of those for whom there was no room.
    others: Visits,
}

#[derive(Debug, Default)]
struct Visits {
    requests: Level,
    wrong: Level,
}

impl Limits {
    /// Counts a request; an error is how long to wait with the next.
    pub(super) fn request(&self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        self.with(from, now, |all, visits| {
            visits.requests.room(REQUESTS, now)?;
            all.room(REQUESTS_OF_ALL, now)?;
            visits.requests.add();
            all.add();
            Ok(())
        })
    }

    /// Whether a token may be shown; an error is how long to wait with it.
    pub(super) fn may_show_token(&self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        self.with(from, now, |_, visits| visits.wrong.room(WRONG_TOKENS, now))
    }

    /// Counts a wrong token.
    pub(super) fn wrong_token(&self, from: IpAddr, now: Instant) {
        self.with(from, now, |_, visits| {
            // Several may have been asked for at once.
            let _ = visits.wrong.room(WRONG_TOKENS, now);
            visits.wrong.add();
        });
    }

    fn with<T>(&self, from: IpAddr, now: Instant, ask: impl FnOnce(&mut Level, &mut Visits) -> T) -> T {
        let mut levels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Levels { all, by_address, others } = &mut *levels;
        let from = network(from);
        if by_address.len() >= ADDRESSES_MAX && !by_address.contains_key(&from) {
            by_address.retain(|_, visits| !visits.are_forgotten(now));
        }
        let known = by_address.len() < ADDRESSES_MAX || by_address.contains_key(&from);
        ask(all, if known { by_address.entry(from).or_default() } else { others })
    }
}

/// What counts as one visitor: an IPv4 address, or the network that an IPv6 host may choose its addresses in (RFC 4291
/// section 2.5.4).
pub(super) fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: f64,
    per_second: f64,
}

/// How many have been counted, falling as time passes.
#[derive(Debug, Default)]
struct Level {
    filled: f64,
    at: Option<Instant>,
}

impl Level {
    /// Whether one more has room; an error is when it will have.
    fn room(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.filled = self.at(rate, now);
        self.at = Some(now);
        let over = self.filled + 1.0 - rate.burst;
        if over <= 0.0 { Ok(()) } else { Err(Duration::from_secs_f64(over / rate.per_second)) }
    }

    fn add(&mut self) {
        self.filled += 1.0;
    }

    fn at(&self, rate: Rate, now: Instant) -> f64 {
        let passed = self.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        (self.filled - passed * rate.per_second).max(0.0)
    }
}

impl Visits {
    fn are_forgotten(&self, now: Instant) -> bool {
        self.requests.at(REQUESTS, now) == 0.0 && self.wrong.at(WRONG_TOKENS, now) == 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    #[test]
    fn so_many_requests_are_answered_at_once_and_then_so_many_a_second() {
        let (limits, now) = (Limits::default(), Instant::now());
        for _ in 0..400 {
            assert_eq!(limits.request(address(1), now), Ok(()));
        }
        assert_eq!(limits.request(address(1), now), Err(Duration::from_millis(5)));
        assert_eq!(limits.request(address(2), now), Ok(()), "another address is not made to wait");
        let later = now + Duration::from_secs(1);
        let answered = (0..400).filter(|_| limits.request(address(1), later).is_ok()).count();
        assert_eq!(answered, 200);
    }

    #[test]
    fn all_addresses_together_have_a_bound_too() {
        let (limits, now) = (Limits::default(), Instant::now());
        let answered = (0..3_000).filter(|number| limits.request(address(*number % 20), now).is_ok()).count();
        assert_eq!(answered, 2_000);
        assert!(limits.request(address(9), now + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn wrong_tokens_are_slowed_down_by_address_and_an_ipv6_host_is_its_network() {
        let (limits, now) = (Limits::default(), Instant::now());
        let [here, there, elsewhere] =
            ["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"].map(|ip| ip.parse().unwrap());
        for _ in 0..10 {
            assert_eq!(limits.may_show_token(here, now), Ok(()));
            limits.wrong_token(here, now);
        }
        assert_eq!(limits.may_show_token(there, now), Err(Duration::from_secs(3)));
        assert_eq!(limits.may_show_token(elsewhere, now), Ok(()));
        assert_eq!(limits.may_show_token(there, now + Duration::from_secs(3)), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_who_finds_no_room_counts_with_all_who_do_not() {
        let (limits, now) = (Limits::default(), Instant::now());
        for number in 0..5_000 {
            limits.wrong_token(address(number), now);
        }
        assert_eq!(limits.0.lock().unwrap().by_address.len(), ADDRESSES_MAX);
        assert!(limits.may_show_token(address(200_000), now).is_err());
        // Those who have not come back leave their room.
        assert!(limits.may_show_token(address(200_000), now + Duration::from_secs(4)).is_ok());
        assert!(limits.0.lock().unwrap().by_address.len() <= 2);
    }
}
