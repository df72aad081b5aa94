use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

macro_rules! address_role {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(SocketAddr);

        impl $name {
            /// Takes the address; an IPv4 address mapped into IPv6 becomes the IPv4 address that it stands for.
            #[must_use]
            pub fn new(address: SocketAddr) -> Self {
                Self(SocketAddr::new(canonical(address.ip()), address.port()))
            }

            /// The address as a socket address.
            #[must_use]
            pub fn socket(&self) -> SocketAddr {
                self.0
            }

            /// The IP address.
            #[must_use]
            pub fn ip(&self) -> IpAddr {
                self.0.ip()
            }

            /// The port.
            #[must_use]
            pub fn port(&self) -> u16 {
                self.0.port()
            }
        }

    };
}

macro_rules! shown_as_it_is {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

address_role!(
    /// Where a client comes from: the peer of an accepted socket, or what a trusted PROXY header says of it.
    ClientAddress
);
shown_as_it_is!(ListenAddress);
shown_as_it_is!(TargetAddress);

address_role!(
    /// An address of ours that clients connect to.
    ListenAddress
);
address_role!(
    /// An address of a target that we connect to.
    TargetAddress
);

impl ClientAddress {
    /// A client of whom a trusted PROXY header says that it cannot say. No [`AddressSet`] holds it.
    pub const UNKNOWN: Self = Self(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0));

    /// Whether nobody knows where the client comes from: no client has the unspecified address (RFC 4291 section 2.5.2), so a
    /// header that gives it says nothing either.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.0.ip().is_unspecified()
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_unknown() { formatter.write_str("unknown") } else { self.0.fmt(formatter) }
    }
}

/// The address itself, or the IPv4 address that an IPv4-mapped IPv6 address stands for (RFC 4291 section 2.5.5.2).
///
/// A dual-stack listener sees IPv4 clients in the mapped form; no policy may see them so.
#[must_use]
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// A set of IP networks, asked in O(log n).
///
/// Networks are merged into sorted ranges at construction; IPv4 and IPv6 are apart, and IPv4-mapped addresses count as IPv4.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AddressSet {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl AddressSet {
    /// The union of the networks; host bits are ignored.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for network in networks {
            match network {
                IpNet::V4(network) => v4.push((u32::from(network.network()), u32::from(network.broadcast()))),
                IpNet::V6(network) => match mapped(network.network(), network.prefix_len()) {
                    Some(range) => v4.push(range),
                    None => v6.push((u128::from(network.network()), u128::from(network.broadcast()))),
                },
            }
        }
        Self { v4: merged(v4, u32::MAX), v6: merged(v6, u128::MAX) }
    }

    /// Whether one of the networks holds the address. None holds the unspecified one, which stands for whoever is not known:
    /// who is unknown is in no list, not even in one of all addresses.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match canonical(address) {
            address if address.is_unspecified() => false,
            IpAddr::V4(address) => holds(&self.v4, u32::from(address)),
            IpAddr::V6(address) => holds(&self.v6, u128::from(address)),
        }
    }

    /// Whether no network was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether every address of `other` is also in this set.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        encloses(&self.v4, &other.v4) && encloses(&self.v6, &other.v6)
    }

    /// How many addresses it holds, at most [`u128::MAX`].
    #[must_use]
    pub fn size(&self) -> u128 {
        let v4 = self.v4.iter().map(|(first, last)| u128::from(last.abs_diff(*first)));
        let v6 = self.v6.iter().map(|(first, last)| last.abs_diff(*first));
        v4.chain(v6).fold(0, |sum, distance| sum.saturating_add(distance).saturating_add(1))
    }
}

impl fmt::Display for AddressSet {
    /// The merged ranges in order, `10.0.0.0-10.255.255.255`, a single address alone.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v4 = self.v4.iter().map(|(first, last)| (Ipv4Addr::from(*first).into(), Ipv4Addr::from(*last).into()));
        let v6 = self.v6.iter().map(|(first, last)| (Ipv6Addr::from(*first).into(), Ipv6Addr::from(*last).into()));
        let ranges: Vec<(IpAddr, IpAddr)> = v4.chain(v6).collect();
        for (place, (first, last)) in ranges.iter().enumerate() {
            if place > 0 {
                formatter.write_str(", ")?;
            }
            write!(formatter, "{first}")?;
            if first != last {
                write!(formatter, "-{last}")?;
            }
        }
        Ok(())
    }
}

/// The IPv4 range of a network inside `::ffff:0:0/96`.
fn mapped(network: Ipv6Addr, prefix: u8) -> Option<(u32, u32)> {
    let length = prefix.checked_sub(96)?;
    let first = u32::from(network.to_ipv4_mapped()?);
    let hosts = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
    Some((u32::from(Ipv4Addr::from(first)), first | hosts))
}

fn merged<N: Copy + Ord + From<u8> + std::ops::Add<Output = N>>(mut ranges: Vec<(N, N)>, max: N) -> Box<[(N, N)]> {
    ranges.sort_unstable();
    let mut union: Vec<(N, N)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match union.last_mut() {
            Some(open) if open.1 == max || first <= open.1 + N::from(1) => open.1 = open.1.max(last),
            Some(_) | None => union.push((first, last)),
        }
    }
    union.into_boxed_slice()
}

/// Whether each inner range lies in an outer one; outer ranges are merged, so none needs two.
fn encloses<N: Copy + Ord>(outer: &[(N, N)], inner: &[(N, N)]) -> bool {
    inner.iter().all(|(first, last)| {
        let after = outer.partition_point(|(start, _)| start <= first);
        after.checked_sub(1).and_then(|index| outer.get(index)).is_some_and(|(_, end)| last <= end)
    })
}

fn holds<N: Copy + Ord>(ranges: &[(N, N)], address: N) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after.checked_sub(1).and_then(|index| ranges.get(index)).is_some_and(|(_, last)| address <= *last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(networks: &[&str]) -> AddressSet {
        AddressSet::new(networks.iter().map(|text| text.parse::<IpNet>().unwrap()))
    }

    fn contains(set: &AddressSet, address: &str) -> bool {
        set.contains(address.parse().unwrap())
    }

    #[test]
    fn both_families_are_matched_at_their_edges() {
        let set = set(&["10.0.0.0/8", "2001:db8::/32", "192.168.1.7/32"]);
        for inside in ["10.0.0.0", "10.255.255.255", "192.168.1.7", "2001:db8::", "2001:db8:ffff::1"] {
            assert!(contains(&set, inside), "{inside}");
        }
        for outside in ["9.255.255.255", "11.0.0.0", "192.168.1.6", "192.168.1.8", "2001:db7::", "2001:db9::", "::1"] {
            assert!(!contains(&set, outside), "{outside}");
        }
    }

    #[test]
    fn ranges_that_cross_the_signed_half_of_the_address_space_compare_right() {
        let set = set(&["127.0.0.0/8", "128.0.0.0/1"]);
        assert!(contains(&set, "127.255.255.255"));
        assert!(contains(&set, "255.255.255.255"));
        assert!(!contains(&set, "126.255.255.255"));
    }

    #[test]
    fn an_ipv4_address_mapped_into_ipv6_is_the_ipv4_address() {
        assert!(contains(&set(&["10.0.0.0/8"]), "::ffff:10.1.2.3"));
        assert!(contains(&set(&["::ffff:10.0.0.0/104"]), "10.1.2.3"));
        assert!(contains(&set(&["::ffff:0.0.0.0/96"]), "200.1.2.3"));
        let mapped = ClientAddress::new("[::ffff:10.0.0.1]:80".parse().unwrap());
        assert_eq!(mapped.to_string(), "10.0.0.1:80");
    }

    #[test]
    fn the_whole_space_and_the_empty_set_are_sets() {
        assert!(contains(&set(&["0.0.0.0/0", "10.0.0.0/8"]), "255.255.255.255"));
        assert!(contains(&set(&["::/0"]), "ffff::1"));
        assert!(!contains(&set(&["::/0"]), "1.2.3.4"));
        assert!(set(&[]).is_empty());
    }

    #[test]
    fn whoever_is_unknown_is_in_no_set_and_is_called_so() {
        let everybody = set(&["::/0", "0.0.0.0/0"]);
        for unknown in [ClientAddress::UNKNOWN, ClientAddress::new("0.0.0.0:80".parse().unwrap())] {
            assert!(unknown.is_unknown() && !everybody.contains(unknown.ip()));
            assert_eq!(unknown.to_string(), "unknown");
        }
    }

    #[test]
    fn sets_are_compared_by_their_addresses_and_shown_as_ranges() {
        let outer = set(&["10.0.0.0/8", "2001:db8::/32", "192.168.1.7/32"]);
        assert!(outer.covers(&set(&["10.1.0.0/16", "10.2.0.0/16", "2001:db8:1::/48"])));
        assert!(outer.covers(&set(&[])));
        assert!(!outer.covers(&set(&["10.0.0.0/7"])));
        assert!(!outer.covers(&set(&["192.168.1.6/31"])));
        assert!(!set(&["10.0.0.0/8"]).covers(&outer));
        assert_eq!(set(&["10.0.0.0/24", "192.168.1.7/32"]).size(), 257);
        assert_eq!(set(&["::/0"]).size(), u128::MAX);
        assert_eq!(
            outer.to_string(),
            "10.0.0.0-10.255.255.255, 192.168.1.7, 2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"
        );
    }
}
