//! Causes that need a daemon of their own.

use rustix::process::Signal;
use smartproxy::outcome::Cause;

use super::upstream::{echo, http};
use super::{echoed, found, released};
use crate::harness::{End, HOST, Peer, Proxy, UNREACHABLE, Way};

pub(super) fn out_of_descriptors() {
    let proxy = Proxy::start(&Way::Tcp.route("out-of-descriptors", "127.0.0.2", UNREACHABLE, ""));
    let address = proxy.address("127.0.0.2");
    // One descriptor is left: the client's own.
    let old = proxy.limit_descriptors(proxy.lowest_free_descriptor() + 1);
    let client = Peer::connect(address);
    let line = proxy.line_of(client.ends());
    found(&line, Cause::OutOfDescriptors, "connect", "proxy");
    released(client);
    proxy.limit_descriptors(old.current.unwrap());
    proxy.finish();
}

pub(super) fn drained() {
    let target = http();
    let proxy = Proxy::start(&Way::Http.route("drained", "127.0.0.2", &target, ""));
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    assert_eq!(client.get(HOST, "/").status(), 200);
    proxy.signal(Signal::TERM);
    assert_eq!(client.end(), End::Whole);
    found(&proxy.line_of(client.ends()), Cause::Drained, "serve", "operator");
    proxy.ended();
}

pub(super) fn cut() {
    let target = echo();
    let config =
        String::from("server.shutdown_timeout = \"100ms\"\n") + &Way::Tcp.route("cut", "127.0.0.2", &target, "");
    let proxy = Proxy::start(&config);
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    echoed(&mut client);
    proxy.signal(Signal::TERM);
    assert_eq!(client.end(), End::Reset);
    found(&proxy.line_of(client.ends()), Cause::Cut, "relay", "operator");
    proxy.ended();
}
