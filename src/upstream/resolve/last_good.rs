use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Found, ResolveError, STALE_FOR};
use crate::name::HostName;
use crate::outcome::with_causes;

/// The last addresses that the system gave for a name.
#[derive(Debug)]
pub(super) struct LastGood {
    addresses: Arc<[IpAddr]>,
    given: Instant,
    /// Since when they stand in for those that the system does not give.
    stale_since: Option<Instant>,
}

/// What an operator should know of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The system gives no addresses any more, and the last ones are used.
    Stale,
    /// It gives some again, after so long.
    Fresh(Duration),
}

impl LastGood {
    pub(super) fn new(addresses: Arc<[IpAddr]>, given: Instant) -> Self {
        Self { addresses, given, stale_since: None }
    }

    /// The addresses that stand in for those that the system has not given just now, unless they are too old; and whether
    /// that is news.
    pub(super) fn instead(&mut self, now: Instant) -> (Option<Found>, Option<News>) {
        if now >= self.usable_until() {
            return (None, None);
        }
        let news = self.stale_since.is_none().then_some(News::Stale);
        self.stale_since.get_or_insert(now);
        (Some(self.stale()), news)
    }

    /// The addresses, if they stand in already and are not too old for it.
    pub(super) fn standing_in(&self, now: Instant) -> Option<Found> {
        (self.stale_since.is_some() && now < self.usable_until()).then(|| self.stale())
    }

    /// What it is that the system has given addresses now; nothing, unless these have stood in.
    pub(super) fn followed(&self, now: Instant) -> Option<News> {
        self.stale_since.map(|since| News::Fresh(now.saturating_duration_since(since)))
    }

    pub(super) fn usable_until(&self) -> Instant {
        self.given + STALE_FOR
    }

    fn stale(&self) -> Found {
        Found { addresses: Arc::clone(&self.addresses), stale: true }
    }
}

impl News {
    /// Says it; `why` is what the system has come to, where it has failed.
    pub(super) fn tell(&self, name: &HostName, why: Option<&ResolveError>) {
        match self {
            Self::Stale => tracing::warn!(
                target: "smartproxy::connect",
                %name,
                error = why.map(|error| tracing::field::display(with_causes(error))),
                at_most = ?STALE_FOR,
                "the name cannot be resolved any more: the addresses that it had are used until it can"
            ),
            Self::Fresh(after) => {
                tracing::info!(target: "smartproxy::connect", %name, ?after, "the name can be resolved again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn the_last_addresses_stand_in_until_they_are_too_old_and_that_is_news_once() {
        let given = Instant::now();
        let mut last = LastGood::new([ADDRESS].into(), given);
        let stale = Some(Found { addresses: [ADDRESS].into(), stale: true });
        assert_eq!(last.standing_in(given), None, "the system has not failed yet");
        assert_eq!(last.instead(given + MOMENT), (stale.clone(), Some(News::Stale)));
        assert_eq!(last.instead(given + 2 * MOMENT), (stale.clone(), None));
        assert_eq!(last.instead(given + STALE_FOR - MOMENT), (stale.clone(), None));
        assert_eq!(last.standing_in(given + STALE_FOR - MOMENT), stale);
        assert_eq!(last.standing_in(given + STALE_FOR), None);
        assert_eq!(last.instead(given + STALE_FOR), (None, None));
        // The end is news whenever it comes.
        assert_eq!(last.followed(given + 2 * STALE_FOR + MOMENT), Some(News::Fresh(2 * STALE_FOR)));
    }

    #[test]
    fn addresses_that_were_not_needed_are_followed_in_silence() {
        let given = Instant::now();
        let mut last = LastGood::new([ADDRESS].into(), given);
        assert_eq!(last.followed(given + MOMENT), None);
        assert_eq!(last.instead(given + STALE_FOR), (None, None), "too old from the first");
        assert_eq!(last.followed(given + 2 * STALE_FOR), None);
    }
}
