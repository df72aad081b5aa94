use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::outcome::Cause;
use crate::upstream::health::HealthPolicy;

const PERIOD: Duration = Duration::from_secs(10);

/// Targets whose ports are 0, 1, 2 and so on, with a weight each, and whether they are backups.
fn watched(members: &[(u16, bool)], algorithm: Algorithm) -> Targets {
    let policy = HealthPolicy { failures: NonZeroU32::MIN, set_aside: PERIOD };
    let members = (0..).zip(members).map(|(number, (weight, backup))| Member {
        health: Some(Arc::new(Health::new(policy))),
        ..member(number, *weight, *backup)
    });
    Targets::new(members.collect(), algorithm)
}

fn equal(count: usize, algorithm: Algorithm) -> Targets {
    watched(&vec![(1, false); count], algorithm)
}

fn health(targets: &Targets, number: usize) -> &Health {
    targets.all().find(|(target, _)| port(target) == number).unwrap().1.unwrap()
}

fn set_aside(targets: &Targets, number: usize) {
    health(targets, number).failed(Cause::Refused, Instant::now());
}

proptest! {
    #[test]
    fn each_target_is_tried_once_and_those_set_aside_after_all_others(
        members in proptest::collection::vec((1_u16..=256, any::<bool>(), any::<bool>()), 1..10),
        algorithm in proptest::sample::select(&ALGORITHMS[..]),
        from in any::<u32>(),
    ) {
        let pairs: Vec<_> = members.iter().map(|(weight, backup, _)| (*weight, *backup)).collect();
        let targets = watched(&pairs, algorithm);
        let away = |port: &usize| members[*port].2;
        (0..members.len()).filter(away).for_each(|number| set_aside(&targets, number));
        let order = ports(&targets, client(from));
        prop_assert_eq!(order.len(), members.len());
        prop_assert_eq!(order.iter().collect::<HashSet<_>>().len(), order.len());
        let standing: Vec<_> = order.iter().map(|port| (away(port), members[*port].1)).collect();
        prop_assert!(standing.is_sorted(), "those set aside last, and backups last among equals: {standing:?}");
    }
}

#[test]
fn the_turns_of_one_that_is_set_aside_are_shared_by_weight() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::Random] {
        let targets = watched(&[(50, false), (3, false), (1, false)], algorithm);
        set_aside(&targets, 0);
        let mut picks = [0_u32; 3];
        (0..5_400).for_each(|_| picks[first(&targets, client(0))] += 1);
        assert_eq!(picks[0], 0);
        // Exact but for an unfinished cycle; by chance six standard deviations.
        let tolerance = if algorithm == Algorithm::RoundRobin { 4 } else { 191 };
        assert!(picks[1].abs_diff(4_050) <= tolerance, "{picks:?}");
    }
}

#[test]
fn an_idle_target_that_is_set_aside_is_not_the_least_busy() {
    let targets = equal(2, Algorithm::LeastConnections);
    set_aside(&targets, 0);
    let busy = targets.all().nth(1).unwrap().0;
    let _in_flight: Vec<_> = (0..9).map(|_| InFlight::new(busy)).collect();
    assert_eq!((0..4).map(|_| first(&targets, client(0))).collect::<Vec<_>>(), [1; 4]);
}

#[test]
fn only_the_clients_of_a_target_that_is_set_aside_move() {
    let targets = equal(4, Algorithm::IpHash);
    let before: Vec<_> = (0..400).map(|number| ports(&targets, client(number))).collect();
    set_aside(&targets, 2);
    for (number, before) in (0..).zip(before) {
        let expected = *before.iter().find(|port| **port != 2).unwrap();
        assert_eq!(first(&targets, client(number)), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn when_its_time_is_over_one_connection_finds_it_in_its_place_under_each_algorithm() {
    for algorithm in ALGORITHMS {
        let targets = equal(3, algorithm);
        let chosen = first(&targets, client(7));
        set_aside(&targets, chosen);
        let choose = || targets.order(client(7)).next().unwrap();
        assert!((0..9).all(|_| port(choose().target()) != chosen), "{algorithm:?}");
        tokio::time::advance(PERIOD).await;
        let mut order = targets.order(client(7));
        let probe = std::iter::from_fn(|| order.next()).find(|choice| port(choice.target()) == chosen).unwrap();
        assert!(probe.is_probe(), "{algorithm:?}");
        assert!((0..9).all(|_| port(choose().target()) != chosen), "{algorithm:?}: one probes, not two");
        drop(probe);
        health(&targets, chosen).succeeded();
        assert!((0..99).any(|_| port(choose().target()) == chosen), "{algorithm:?}: it is back");
    }
}

#[test]
fn who_has_looked_takes_the_same_and_has_had_one_turn() {
    let targets = equal(3, Algorithm::RoundRobin);
    set_aside(&targets, 1);
    let mut order = targets.order(client(0));
    let seen = port(order.peek().unwrap().target());
    assert_eq!(port(order.peek().unwrap().target()), seen);
    assert_eq!(order.map(|choice| port(choice.target())).collect::<Vec<_>>(), [0, 2, 1]);
    assert_eq!(first(&targets, client(0)), 0, "the second turn is that of 1, which 0 stands in for");
    assert_eq!(first(&targets, client(0)), 2);
}
