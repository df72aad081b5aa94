use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;

fn name(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

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
        assert_eq!(*resolver.addresses(&name("app")).await.unwrap(), [ADDRESS]);
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
        assert_eq!(*other.await.unwrap().unwrap(), [ADDRESS]);
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
    assert_eq!(*other.block_on(waiting).unwrap().unwrap(), [ADDRESS]);
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
    let addresses = Resolver::system().addresses(&name("localhost")).await.unwrap();
    assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
}
