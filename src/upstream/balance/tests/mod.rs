mod set_aside;

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::upstream::target::{InFlight, TargetHost, TargetPort};

fn member(number: u16, weight: u16, backup: bool) -> Member {
    let host = TargetHost::Address([10, 0, 0, 1].into());
    let target = Arc::new(Target::new(host, TargetPort::Fixed(number)));
    Member { target, weight: NonZeroU16::new(weight).unwrap(), backup, health: None }
}

/// Targets with these weights, whose ports are 0, 1, 2 and so on.
fn targets(weights: &[u16], algorithm: Algorithm) -> Targets {
    let members = (0..).zip(weights).map(|(number, weight)| member(number, *weight, false));
    Targets::new(members.collect(), algorithm)
}

fn port(target: &Target) -> usize {
    usize::from(target.port(0))
}

fn client(number: u32) -> IpAddr {
    IpAddr::from(number.to_be_bytes())
}

fn first(targets: &Targets, client: IpAddr) -> usize {
    port(targets.order(client).next().unwrap().target())
}

fn ports(targets: &Targets, client: IpAddr) -> Vec<usize> {
    targets.order(client).map(|choice| port(choice.target())).collect()
}

const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::RoundRobin, Algorithm::Random, Algorithm::LeastConnections, Algorithm::IpHash];

proptest! {
    #[test]
    fn round_robin_gives_each_target_exactly_its_weight_in_a_cycle(
        weights in proptest::collection::vec(1_u16..=256, 1..20),
        skipped in 0_usize..1_000,
    ) {
        let targets = targets(&weights, Algorithm::RoundRobin);
        (0..skipped).for_each(|_| { first(&targets, client(0)); });
        let mut picks = vec![0_u16; weights.len()];
        let cycle: usize = weights.iter().copied().map(usize::from).sum();
        (0..cycle).for_each(|_| picks[first(&targets, client(0))] += 1);
        prop_assert_eq!(picks, weights);
    }

    #[test]
    fn no_target_is_tried_twice_and_backups_are_tried_last(
        primaries in proptest::collection::vec(1_u16..=256, 0..8),
        backups in proptest::collection::vec(1_u16..=256, 0..4),
        algorithm in proptest::sample::select(&ALGORITHMS[..]),
        from in any::<u32>(),
    ) {
        let weights = primaries.iter().map(|weight| (*weight, false)).chain(backups.iter().map(|weight| (*weight, true)));
        let members = (0..).zip(weights).map(|(number, (weight, backup))| member(number, weight, backup)).collect();
        let targets = Targets::new(members, algorithm);
        let order = ports(&targets, client(from));
        prop_assert_eq!(order.len(), primaries.len() + backups.len());
        prop_assert_eq!(order.iter().collect::<HashSet<_>>().len(), order.len());
        prop_assert!(order[..primaries.len()].iter().all(|port| *port < primaries.len()));
    }

    #[test]
    fn a_target_that_is_removed_moves_only_its_own_clients(
        weights in proptest::collection::vec(1_u16..=256, 2..8),
        from in any::<u128>(),
    ) {
        let address = IpAddr::V6(from.into());
        let all = targets(&weights, Algorithm::IpHash);
        let order = ports(&all, address);
        let members = (0..).zip(&weights).filter(|(number, _)| *number != order[0]);
        let rest = members.map(|(number, weight)| member(u16::try_from(number).unwrap(), *weight, false)).collect();
        prop_assert_eq!(ports(&Targets::new(rest, Algorithm::IpHash), address), &order[1..]);
    }
}

#[test]
fn equal_targets_take_turns_as_they_are_written_and_failures_go_to_the_next() {
    let targets = targets(&[7, 7, 7], Algorithm::RoundRobin);
    assert_eq!(ports(&targets, client(0)), [0, 1, 2]);
    assert_eq!(ports(&targets, client(0)), [1, 2, 0]);
    assert_eq!(ports(&targets, client(0)), [2, 0, 1]);
    assert_eq!(ports(&targets, client(0)), [0, 1, 2]);
}

#[test]
fn unequal_targets_are_spread_over_the_cycle() {
    let targets = targets(&[5, 1, 1], Algorithm::RoundRobin);
    let cycle: Vec<usize> = (0..14).map(|_| first(&targets, client(0))).collect();
    // The two small ones are never neighbours, and neither comes twice before the other has come.
    let small: Vec<usize> = cycle.iter().copied().filter(|port| *port != 0).collect();
    assert!(small.windows(2).all(|pair| pair[0] != pair[1]), "{cycle:?}");
    assert!(cycle.windows(2).all(|pair| pair.contains(&0)), "{cycle:?}");
}

#[test]
fn at_no_moment_is_a_target_far_from_its_share() {
    let weights = [256, 100, 31, 3, 1];
    let targets = targets(&weights, Algorithm::RoundRobin);
    let total = f64::from(weights.iter().sum::<u16>());
    let mut picks = [0_u16; 5];
    for turn in 1..=391_u16 {
        picks[first(&targets, client(0))] += 1;
        for (pick, weight) in picks.iter().zip(weights) {
            let due = f64::from(turn) * f64::from(weight) / total;
            assert!((f64::from(*pick) - due).abs() < 3.0, "after {turn} turns {picks:?}");
        }
    }
}

#[test]
fn threads_share_the_turns() {
    let targets = targets(&[3, 2, 1], Algorithm::RoundRobin);
    let picks: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..600).map(|_| first(&targets, client(0))).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let count = |port| picks.iter().filter(|pick| **pick == port).count();
    assert_eq!([count(0), count(1), count(2)], [1_200, 800, 400]);
}

#[test]
fn chance_follows_the_weights() {
    let targets = targets(&[6, 3, 1], Algorithm::Random);
    let mut picks = [0_u32; 3];
    (0..20_000).for_each(|_| picks[first(&targets, client(0))] += 1);
    // Five standard deviations and more: fails once in millions of runs.
    for (pick, due) in picks.into_iter().zip([12_000, 6_000, 2_000_u32]) {
        assert!(pick.abs_diff(due) < 400, "{picks:?}");
    }
}

#[test]
fn the_least_busy_target_for_its_weight_is_chosen() {
    let targets = targets(&[1, 3], Algorithm::LeastConnections);
    let all: Vec<_> = targets.all().map(|(target, _)| Arc::clone(target)).collect();
    let mut held = Vec::new();
    for _ in 0..40 {
        held.push(InFlight::new(&all[first(&targets, client(0))]));
    }
    assert_eq!([all[0].in_flight(), all[1].in_flight()], [10, 30]);
    held.retain(|in_flight| port(in_flight.target()) == 0);
    assert_eq!(first(&targets, client(0)), 1);
}

#[test]
fn idle_targets_share_what_comes_under_least_connections() {
    let targets = targets(&[1, 1, 1], Algorithm::LeastConnections);
    let picks: HashSet<usize> = (0..3).map(|_| first(&targets, client(0))).collect();
    assert_eq!(picks.len(), 3);
}

#[test]
fn a_client_is_always_sent_to_the_same_target_in_either_form_of_its_address() {
    let targets = targets(&[1, 1, 1, 1], Algorithm::IpHash);
    let mapped: IpAddr = "::ffff:10.1.2.3".parse().unwrap();
    let plain: IpAddr = "10.1.2.3".parse().unwrap();
    assert_eq!(ports(&targets, mapped), ports(&targets, plain));
    assert_eq!(ports(&targets, plain), ports(&targets, plain));
}

#[test]
fn clients_are_spread_by_hash_as_the_weights_say() {
    let targets = targets(&[4, 2, 1, 1], Algorithm::IpHash);
    let mut picks: HashMap<usize, u32> = HashMap::new();
    // Neighbours in one network, as clients are.
    (0..8_000).for_each(|number| *picks.entry(first(&targets, client(0x0a00_0000 + number))).or_default() += 1);
    for (port, due) in [(0, 4_000), (1, 2_000), (2, 1_000), (3, 1_000_u32)] {
        assert!(picks[&port].abs_diff(due) < 250, "{picks:?}");
    }
}

#[test]
fn backups_alone_are_tried_and_nothing_of_nothing() {
    let backups = Targets::new(vec![member(0, 1, true)], Algorithm::RoundRobin);
    assert_eq!(ports(&backups, client(0)), [0]);
    for algorithm in ALGORITHMS {
        assert_eq!(Targets::new(Vec::new(), algorithm).order(client(0)).count(), 0);
    }
}
