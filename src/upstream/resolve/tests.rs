use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;
use crate::telemetry::Kept;

fn name(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn fresh() -> Found {
    Found { addresses: [ADDRESS].into(), stale: false }
}

fn stale() -> Found {
    Found { addresses: [ADDRESS].into(), stale: true }
}

/// A resolver that counts how often it asks, and knows every name but `missing` and `empty`.
fn counting(names_max: usize) -> (Arc<Resolver>, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let ask = move |name: &HostName| {
        counter.fetch_add(1, Ordering::SeqCst);
        match name.as_str() {
            "missing" => Err(io::Error::other("no such name")),
            "empty" => Ok(Vec::new()),
            _ => Ok(vec![ADDRESS]),
        }
    };
    (Resolver::new(ask, names_max, LOOKUPS_MAX), asked)
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_used_until_it_is_no_longer_fresh() {
    let (resolver, asked) = counting(NAMES_MAX);
    for _ in 0..3 {
        assert_eq!(resolver.addresses(&name("app")).await.unwrap(), fresh());
    }
    tokio::time::advance(FRESH_FOR - Duration::from_secs(1)).await;
    resolver.addresses(&name("app")).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    tokio::time::advance(Duration::from_secs(2)).await;
    resolver.addresses(&name("app")).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_remembered_for_a_shorter_while() {
    let (resolver, asked) = counting(NAMES_MAX);
    for _ in 0..2 {
        assert!(matches!(resolver.addresses(&name("missing")).await, Err(ResolveError::System(_))));
        assert!(matches!(resolver.addresses(&name("empty")).await, Err(ResolveError::NoAddress)));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    tokio::time::advance(FAILED_FOR + Duration::from_secs(1)).await;
    assert!(resolver.addresses(&name("missing")).await.is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

/// A resolver of two names at once that announces each question and waits to be told the end of it.
fn held() -> (Arc<Resolver>, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (announce, announced) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let ask = move |_: &HostName| {
        announce.send(()).unwrap();
        released.lock().unwrap().recv().map(|()| vec![ADDRESS]).map_err(io::Error::other)
    };
    (Resolver::new(ask, NAMES_MAX, 2), announced, release)
}

#[tokio::test]
async fn of_many_who_want_a_name_one_asks_and_its_leaving_harms_nobody() {
    let (resolver, announced, release) = held();
    let wait = |resolver: &Arc<Resolver>| {
        let resolver = Arc::clone(resolver);
        tokio::spawn(async move { resolver.addresses(&name("app")).await })
    };
    let first = wait(&resolver);
    tokio::task::yield_now().await;
    announced.recv().unwrap();
    let others: Vec<_> = (0..8).map(|_| wait(&resolver)).collect();
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    release.send(()).unwrap();
    for other in others {
        assert_eq!(other.await.unwrap().unwrap(), fresh());
    }
    assert!(announced.try_recv().is_err());
}

#[test]
fn a_worker_that_stops_leaves_its_question_to_the_others() {
    let (resolver, announced, release) = held();
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let wait = |resolver: &Arc<Resolver>| {
        let resolver = Arc::clone(resolver);
        async move { resolver.addresses(&name("app")).await }
    };
    let stopping = runtime();
    stopping.spawn(wait(&resolver));
    stopping.block_on(tokio::task::yield_now());
    announced.recv().unwrap();
    let other = runtime();
    let waiting = other.spawn(wait(&resolver));
    other.block_on(tokio::task::yield_now());
    // Waits for its blocking threads, if it had any here.
    drop(stopping);
    release.send(()).unwrap();
    assert_eq!(other.block_on(waiting).unwrap().unwrap(), fresh());
    assert!(announced.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_question_that_panics_is_an_error_and_may_be_asked_again() {
    let resolver = Resolver::new(|_: &HostName| panic!("as a fault of ours would"), 1, 1);
    for _ in 0..2 {
        assert!(matches!(resolver.addresses(&name("app")).await, Err(ResolveError::System(_))));
        tokio::time::advance(FAILED_FOR + Duration::from_secs(1)).await;
    }
}

/// A resolver that finds the address until it is told otherwise, and what its threads say.
fn changing() -> (Arc<Resolver>, Arc<Mutex<System>>, Kept) {
    let (said, state) = (Kept::default(), Arc::new(Mutex::new(System::Finds)));
    let (log, asked) = (said.clone(), Arc::clone(&state));
    let ask = move |_: &HostName| {
        let log = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || log.clone()).with_ansi(false).finish();
        // For as long as the thread of the question lives.
        std::mem::forget(tracing::subscriber::set_default(subscriber));
        let system = *asked.lock().unwrap();
        match system {
            System::Finds => Ok(vec![ADDRESS]),
            System::FindsNothing => Ok(Vec::new()),
            System::Fails => Err(io::Error::other("no name server")),
            System::Panics => panic!("as a fault of ours would"),
        }
    };
    (Resolver::new(ask, NAMES_MAX, LOOKUPS_MAX), state, said)
}

#[derive(Clone, Copy)]
enum System {
    Finds,
    FindsNothing,
    Fails,
    Panics,
}

/// Waits until nobody is asking, and gives what is known then.
async fn settled(resolver: &Resolver) -> Answer {
    let entry = |names: &HashMap<HostName, Entry>| names.get(&name("app")).unwrap().latest.clone();
    let latest = entry(&resolver.names());
    match latest {
        Latest::Pending(receiver) => answered(receiver).await,
        Latest::Known { answer, .. } => answer,
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_addresses_are_used_while_the_system_gives_none_and_it_is_said_once() {
    for trouble in [System::Fails, System::FindsNothing, System::Panics] {
        let (resolver, system, said) = changing();
        assert_eq!(resolver.addresses(&name("app")).await.unwrap(), fresh());
        *system.lock().unwrap() = trouble;
        for _ in 0..3 {
            tokio::time::advance(FRESH_FOR + Duration::from_secs(1)).await;
            assert_eq!(resolver.addresses(&name("app")).await.unwrap(), stale());
            assert_eq!(settled(&resolver).await.unwrap(), stale());
        }
        let text = said.text();
        assert_eq!(text.matches("WARN").count(), 1, "{text}");
        assert!(text.contains("the addresses that it had are used") && text.contains("name=app"), "{text}");
        tokio::time::advance(STALE_FOR).await;
        assert!(resolver.addresses(&name("app")).await.is_err(), "too old");
        *system.lock().unwrap() = System::Finds;
        tokio::time::advance(FAILED_FOR + Duration::from_secs(1)).await;
        assert_eq!(resolver.addresses(&name("app")).await.unwrap(), fresh());
        let text = said.text();
        assert_eq!((text.matches("WARN").count(), text.matches("INFO").count()), (1, 1), "{text}");
        assert!(text.contains("the name can be resolved again"), "{text}");
    }
}

#[tokio::test]
async fn nobody_waits_for_a_system_that_has_not_answered_in_time_before() {
    let (resolver, announced, release) = held();
    release.send(()).unwrap();
    assert_eq!(resolver.addresses(&name("app")).await.unwrap(), fresh());
    announced.recv().unwrap();
    tokio::time::pause();
    tokio::time::advance(FRESH_FOR + Duration::from_secs(1)).await;
    tokio::time::resume();
    let waiting = {
        let resolver = Arc::clone(&resolver);
        tokio::spawn(async move { resolver.addresses(&name("app")).await })
    };
    tokio::task::yield_now().await;
    announced.recv().unwrap();
    assert!(!waiting.is_finished(), "the first who asks gives the system its time");
    assert_eq!(resolver.instead(&name("app")), Some(stale()));
    assert_eq!(resolver.addresses(&name("app")).await.unwrap(), stale());
    assert_eq!(resolver.instead(&name("other")), None);
    release.send(()).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), fresh());
    assert_eq!(resolver.addresses(&name("app")).await.unwrap(), fresh());
    assert_eq!(resolver.instead(&name("app")), Some(fresh()), "an answer that has come at the last moment");
}

#[tokio::test(start_paused = true)]
async fn a_name_whose_last_addresses_are_of_use_is_forgotten_after_those_that_have_none() {
    let (resolver, _) = counting(2);
    resolver.addresses(&name("app")).await.unwrap();
    resolver.addresses(&name("missing")).await.unwrap_err();
    tokio::time::advance(FRESH_FOR + FAILED_FOR).await;
    resolver.addresses(&name("other")).await.unwrap();
    assert!(resolver.names().contains_key(&name("app")) && !resolver.names().contains_key(&name("missing")));
}

#[tokio::test]
async fn no_more_names_are_remembered_than_the_limit() {
    let (resolver, asked) = counting(2);
    for text in ["a", "b", "c", "c"] {
        resolver.addresses(&name(text)).await.unwrap();
        assert!(resolver.names().len() <= 2);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    // The one that expires next has made room: the oldest.
    assert!(!resolver.names().contains_key(&name("a")));
}

#[tokio::test]
async fn one_name_above_the_limit_of_lookups_waits_until_another_is_answered() {
    let (resolver, announced, release) = held();
    let waiting = ["a", "b", "c"].map(|text| {
        let resolver = Arc::clone(&resolver);
        tokio::spawn(async move { resolver.addresses(&name(text)).await })
    });
    tokio::task::yield_now().await;
    announced.recv().unwrap();
    announced.recv().unwrap();
    assert_eq!(resolver.names().len(), 2);
    (0..3).for_each(|_| release.send(()).unwrap());
    for task in waiting {
        task.await.unwrap().unwrap();
    }
    announced.recv().unwrap();
}

#[tokio::test]
async fn the_systems_resolver_knows_the_local_host() {
    let found = Resolver::system().addresses(&name("localhost")).await.unwrap();
    assert!(!found.stale && found.addresses.iter().all(IpAddr::is_loopback), "{found:?}");
}
