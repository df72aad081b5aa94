use std::cmp::Ordering;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::query::{pairs, rows};
use crate::connection::{Snapshot, State};
use crate::net::AddressSet;

/// How many connections may be named one by one; a request's head has room for some thousands.
pub const IDS_MAX: usize = 1_000;

/// Which connections are meant: those that all of it holds for.
#[derive(Debug, Default)]
pub struct Wanted {
    /// These numbers; none is any.
    pub(super) ids: Vec<u64>,
    /// This route, `-` for those that have none.
    pub(super) route: Option<String>,
    client: Option<AddressSet>,
    target: Option<String>,
    state: Option<State>,
    older: Option<Duration>,
    younger: Option<Duration>,
    /// At least so many bytes both ways.
    bytes: Option<u64>,
    pub(super) sort: Option<Column>,
    pub(super) reverse: bool,
    pub(super) limit: Option<usize>,
    pub(super) dry_run: bool,
}

/// What connections can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The number.
    Id,
    /// The client's address.
    Client,
    /// Our address.
    Listener,
    /// The route.
    Route,
    /// The SNI or host.
    Host,
    /// The target.
    Target,
    /// The state.
    State,
    /// Time since it was accepted.
    Age,
    /// Time in its state.
    StateAge,
    /// Bytes from the client.
    In,
    /// Bytes to the client.
    Out,
    /// Bytes both ways.
    Bytes,
    /// Bytes from the client, by the second.
    InRate,
    /// Bytes to the client, by the second.
    OutRate,
    /// Bytes both ways, by the second.
    Rate,
    /// The protocol.
    Protocol,
    /// TLS with the client.
    Tls,
}

impl Wanted {
    /// Reads the query of a list or of a kill.
    ///
    /// # Errors
    /// What in it is not understood, in a sentence.
    pub fn parse(query: &str) -> Result<Self, String> {
        let mut wanted = Self::default();
        for (key, value) in pairs(query) {
            match key.as_str() {
                "id" if wanted.ids.len() == IDS_MAX => {
                    return Err(format!("more than {IDS_MAX} connections are named"));
                }
                "id" => wanted.ids.push(value.parse().map_err(|_| "id is a connection's number".to_owned())?),
                "route" => wanted.route = Some(value),
                "client" => wanted.client = Some(network(&value)?),
                "target" => wanted.target = Some(value),
                "state" => wanted.state = Some(state(&value)?),
                "older_seconds" => wanted.older = Some(seconds("older_seconds", &value)?),
                "younger_seconds" => wanted.younger = Some(seconds("younger_seconds", &value)?),
                "bytes" => wanted.bytes = Some(value.parse().map_err(|_| "bytes is a number of bytes".to_owned())?),
                "sort" => wanted.sort = Some(column(&value)?),
                "reverse" => wanted.reverse = yes("reverse", &value)?,
                "limit" => wanted.limit = Some(rows(&value)?),
                "dry_run" => wanted.dry_run = yes("dry_run", &value)?,
                _ => return Err(KEYS.into()),
            }
        }
        Ok(wanted)
    }

    /// Whether any connection whatever is meant.
    pub(super) fn is_any(&self) -> bool {
        let Self { ids, route, client, target, state, older, younger, bytes, .. } = self;
        ids.is_empty()
            && (route.is_none() && client.is_none() && target.is_none() && state.is_none())
            && (older.is_none() && younger.is_none() && bytes.is_none())
    }

    /// Whether this one is meant.
    pub(super) fn takes(&self, one: &Snapshot) -> bool {
        let Self { ids, route, client, target, state, older, younger, bytes, .. } = self;
        (ids.is_empty() || ids.contains(&one.id))
            && route.as_ref().is_none_or(|route| one.route_name() == route)
            && client.as_ref().is_none_or(|networks| networks.contains(one.client.ip()))
            && target.as_ref().is_none_or(|wanted| one.target.as_deref().is_some_and(|target| is_at(target, wanted)))
            && state.is_none_or(|state| one.state == state)
            && older.is_none_or(|older| one.age_seconds >= older.as_secs_f64())
            && younger.is_none_or(|younger| one.age_seconds < younger.as_secs_f64())
            && bytes.is_none_or(|least| one.bytes_in.saturating_add(one.bytes_out) >= least)
    }

    /// Puts them in order: by the column, and within it the oldest first.
    pub(super) fn order(&self, rows: &mut [Snapshot]) {
        let column = self.sort.unwrap_or(Column::Id);
        rows.sort_by(|one, other| {
            let order = column.compare(one, other);
            (if self.reverse { order.reverse() } else { order }).then(one.id.cmp(&other.id))
        });
    }
}

const KEYS: &str = "the query may have id, route, client, target, state, older_seconds, younger_seconds, bytes; a list's also \
                    sort, reverse and limit, and a kill's dry_run";

/// Whether the target's label is the one that is wanted, or has it for its host.
fn is_at(label: &str, wanted: &str) -> bool {
    label == wanted || label.rsplit_once(':').is_some_and(|(host, _port)| host == wanted)
}

pub(super) fn network(text: &str) -> Result<AddressSet, String> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let network: Option<IpNet> = text.parse().ok().or_else(address);
    // Of an address inside of a network, one of the two was meant: who is ended should not depend on a guess.
    let network = network.filter(|network| *network == network.trunc());
    network.map(|network| AddressSet::new([network])).ok_or_else(|| "client is an IP address or network".into())
}

fn state(text: &str) -> Result<State, String> {
    let state = State::ALL.into_iter().find(|state| state.as_str() == text);
    state.ok_or_else(|| format!("the states are {}", State::ALL.map(State::as_str).join(", ")))
}

pub(super) fn seconds(key: &str, text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|time| Duration::try_from_secs_f64(time).ok());
    seconds.ok_or_else(|| format!("{key} is a number, such as 300 or 0.5"))
}

fn column(text: &str) -> Result<Column, String> {
    let column = Column::ALL.into_iter().find(|column| column.as_str() == text);
    column.ok_or_else(|| format!("the columns are {}", Column::ALL.map(Column::as_str).join(", ")))
}

fn yes(key: &str, text: &str) -> Result<bool, String> {
    if text == "yes" { Ok(true) } else { Err(format!("{key} may be yes")) }
}

impl Column {
    /// Every column.
    pub const ALL: [Self; 17] = [
        Self::Id,
        Self::Client,
        Self::Listener,
        Self::Route,
        Self::Host,
        Self::Target,
        Self::State,
        Self::Age,
        Self::StateAge,
        Self::In,
        Self::Out,
        Self::Bytes,
        Self::InRate,
        Self::OutRate,
        Self::Rate,
        Self::Protocol,
        Self::Tls,
    ];

    /// The name in queries and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Client => "client",
            Self::Listener => "listener",
            Self::Route => "route",
            Self::Host => "host",
            Self::Target => "target",
            Self::State => "state",
            Self::Age => "age",
            Self::StateAge => "state-age",
            Self::In => "in",
            Self::Out => "out",
            Self::Bytes => "bytes",
            Self::InRate => "in-rate",
            Self::OutRate => "out-rate",
            Self::Rate => "rate",
            Self::Protocol => "protocol",
            Self::Tls => "tls",
        }
    }

    /// Which comes first: of names and numbers the lower, of times and amounts the greater, which is what one looks for.
    fn compare(self, one: &Snapshot, other: &Snapshot) -> Ordering {
        let bytes = |row: &Snapshot| row.bytes_in.saturating_add(row.bytes_out);
        let rate = |row: &Snapshot| row.bytes_in_per_second.saturating_add(row.bytes_out_per_second);
        let tls = |row: &Snapshot| row.tls.map(|tls| (tls.version, tls.group));
        match self {
            Self::Id => one.id.cmp(&other.id),
            Self::Client => one.client.cmp(&other.client),
            Self::Listener => one.listener.cmp(&other.listener),
            Self::Route => one.route.cmp(&other.route),
            Self::Host => one.host.cmp(&other.host),
            Self::Target => one.target.cmp(&other.target),
            Self::State => (one.state as u8).cmp(&(other.state as u8)),
            Self::Age => other.age_seconds.total_cmp(&one.age_seconds),
            Self::StateAge => other.state_seconds.total_cmp(&one.state_seconds),
            Self::In => other.bytes_in.cmp(&one.bytes_in),
            Self::Out => other.bytes_out.cmp(&one.bytes_out),
            Self::Bytes => bytes(other).cmp(&bytes(one)),
            Self::InRate => other.bytes_in_per_second.cmp(&one.bytes_in_per_second),
            Self::OutRate => other.bytes_out_per_second.cmp(&one.bytes_out_per_second),
            Self::Rate => rate(other).cmp(&rate(one)),
            Self::Protocol => one.protocol.cmp(other.protocol),
            Self::Tls => tls(one).cmp(&tls(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{ClientAddress, ListenAddress};

    fn row(id: u64) -> Snapshot {
        Snapshot {
            id,
            client: ClientAddress::new("10.1.2.3:5000".parse().unwrap()),
            peer: None,
            listener: ListenAddress::new("127.0.0.1:443".parse().unwrap()),
            route: Some("shop".into()),
            host: None,
            target: Some("[::1]:80".into()),
            state: State::Relaying,
            age_seconds: 10.0,
            state_seconds: 5.0,
            bytes_in: 100,
            bytes_out: 50,
            bytes_in_per_second: 10,
            bytes_out_per_second: 5,
            protocol: "tcp",
            tls: None,
        }
    }

    #[test]
    fn each_filter_takes_what_it_names_and_all_of_them_have_to() {
        let takes = |query: &str| Wanted::parse(query).unwrap().takes(&row(7));
        for query in [
            "",
            "id=7",
            "id=1&id=7",
            "route=shop",
            "client=10.1.2.3",
            "client=10.0.0.0%2F8",
            "client=::ffff:10.1.2.3",
            "target=%5B::1%5D:80",
            "target=%5B::1%5D",
            "state=relaying",
            "older_seconds=10",
            "younger_seconds=10.5",
            "bytes=150",
            "route=shop&client=10.1.2.3&bytes=1",
        ] {
            assert!(takes(query), "{query}");
        }
        for query in [
            "id=8",
            "route=-",
            "client=10.1.2.4",
            "client=2001:db8::%2F32",
            "target=::1",
            "target=%5B::1%5D:8",
            "state=serving",
            "older_seconds=10.1",
            "younger_seconds=10",
            "bytes=151",
            "route=shop&client=10.1.2.4",
        ] {
            assert!(!takes(query), "{query}");
        }
        assert!(Wanted::parse("sort=age&limit=1&reverse=yes&dry_run=yes").unwrap().is_any());
        assert!(!Wanted::parse("older_seconds=0").unwrap().is_any());
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (query, part) in [
            ("colour=red", "the query may have"),
            ("id=x", "number"),
            ("client=10.0.0.0%2F33", "network"),
            ("client=10.1.2.3%2F8", "network"),
            ("state=nothing", "half_closed"),
            ("older_seconds=-1", "0.5"),
            ("bytes=1k", "bytes"),
            ("sort=size", "out-rate"),
            ("limit=-1", "rows"),
            ("reverse=no", "may be yes"),
        ] {
            let problem = Wanted::parse(query).unwrap_err();
            assert!(problem.contains(part), "{query}: {problem}");
        }
        let ids = |count: usize| (0..count).map(|id| format!("id={id}&")).collect::<String>();
        assert_eq!(Wanted::parse(&ids(IDS_MAX)).unwrap().ids.len(), IDS_MAX);
        assert!(Wanted::parse(&ids(IDS_MAX + 1)).is_err());
    }

    #[test]
    fn the_greatest_amounts_and_the_first_names_come_first_and_equals_by_age() {
        let mut small = row(1);
        (small.bytes_in, small.bytes_in_per_second, small.age_seconds) = (1, 99, 20.0);
        small.route = None;
        let rows = [small, row(2), row(3)];
        let order = |query: &str| {
            let mut rows = rows.to_vec();
            Wanted::parse(query).unwrap().order(&mut rows);
            rows.iter().map(|row| row.id).collect::<Vec<_>>()
        };
        assert_eq!(order(""), [1, 2, 3]);
        assert_eq!(order("reverse=yes"), [3, 2, 1]);
        assert_eq!(order("sort=bytes"), [2, 3, 1]);
        assert_eq!(order("sort=bytes&reverse=yes"), [1, 2, 3]);
        assert_eq!(order("sort=rate"), [1, 2, 3]);
        assert_eq!(order("sort=age"), [1, 2, 3]);
        assert_eq!(order("sort=route&reverse=yes"), [2, 3, 1]);
        for column in Column::ALL {
            assert_eq!(order(&format!("sort={}", column.as_str())).len(), 3, "{column:?}");
        }
    }
}
