//! Bytes that go through pipes: as many of these as the limit of open files has room for, and none when nothing moves.

use std::fs;
use std::io::Write;
use std::sync::LazyLock;

use crate::harness::{End, Peer, Proxy, Target, Way, until};

/// More than what the kernel holds for a client that does not read.
pub(crate) static ALL: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..32 * 1024 * 1024).map(|index| (index % 251) as u8).collect());

pub(crate) const CLIENTS: usize = 4;

/// How many descriptors of pipes the daemon has.
pub(crate) fn pipes(proxy: &Proxy) -> usize {
    let folder = fs::read_dir(format!("/proc/{}/fd", proxy.id())).unwrap();
    let links = folder.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("pipe:")).count()
}

fn giver() -> Target {
    Target::serving(|mut peer| {
        if peer.write_all(&ALL).is_ok() {
            peer.finish();
            peer.rest();
        }
    })
}

/// Clients that do not read yet, of whom so many have a pipe with something in it.
fn held_back(proxy: &Proxy, base: usize, wanted: usize) -> Vec<Peer> {
    let address = proxy.address("127.0.0.2");
    let clients = (0..CLIENTS).map(|_| Peer::connect(address)).collect();
    until(|| match pipes(proxy) - base {
        found if found == 2 * wanted => Ok(()),
        found => Err(format!("{found} descriptors of pipes")),
    })
    .unwrap();
    clients
}

fn served(proxy: &Proxy, clients: Vec<Peer>, base: usize) {
    for mut client in clients {
        client.finish();
        let (seen, end) = client.rest();
        assert_eq!(end, End::Whole);
        assert!(seen == *ALL, "{} bytes", seen.len());
    }
    until(|| match pipes(proxy) {
        found if found == base => Ok(()),
        found => Err(format!("{found} descriptors of pipes instead of {base}")),
    })
    .unwrap();
}

#[test]
fn each_direction_that_is_held_back_has_one_pipe_and_gives_it_back() {
    let target = giver();
    let proxy = Proxy::start(&Way::Tcp.route("given", "127.0.0.2", target.address, ""));
    let base = pipes(&proxy);
    let clients = held_back(&proxy, base, CLIENTS);
    served(&proxy, clients, base);
    proxy.finish();
}

#[test]
fn where_there_are_few_descriptors_there_are_few_pipes_and_the_rest_is_copied() {
    let target = giver();
    let proxy = Proxy::start(&Way::Tcp.route("given", "127.0.0.2", target.address, ""));
    let base = pipes(&proxy);
    let before = proxy.limit_descriptors(256);
    let clients = held_back(&proxy, base, 2);
    served(&proxy, clients, base);
    proxy.limit_descriptors(before.current.unwrap());
    proxy.finish();
}
