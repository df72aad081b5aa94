use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout_at;

use super::credentials::Credentials;
use super::hash::Hash;
use super::users::Users;
use super::verified::{Mark, Verified};

/// Hashes that are made at the same time, on threads of their own: half of the cores, and not more than this. With argon2
/// each takes [`ARGON2_MEMORY_MAX_KIB`](super::ARGON2_MEMORY_MAX_KIB) of memory at most.
pub const HASHES_AT_ONCE_MAX: usize = 4;

/// Hashes that wait for their turn; more of them are turned down at once.
pub const HASHES_WAITING_MAX: usize = 256;

/// How long a hash waits for its turn.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Verifies credentials, one for the whole process.
///
/// A hash is made once for all requests that show the same credentials at the same time, and not again for some minutes if
/// they are right. It is made on a thread of its own, so that nothing else waits for it.
pub struct Verifier {
    /// Of this process alone: marks of it are of no use to anybody else.
    key: hmac::Key,
    verified: Verified,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    under_way: Mutex<HashMap<Mark, watch::Receiver<Option<Verdict>>>>,
    hashed: AtomicU64,
}

/// What has become of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The user is known and has this password.
    Right,
    /// The user is not known, or has another password: which of both nobody is told.
    Wrong,
    /// Too many others are being verified, or there is no memory for it.
    Busy,
}

/// Everything that is needed to judge credentials.
struct Question {
    mark: Mark,
    hash: Arc<Hash>,
    password: Box<[u8]>,
    /// If not, the hash is another user's, and made for the time that it takes.
    known: bool,
}

/// A hash that waits for its turn, counted.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::AcqRel);
        let waiting = Self(count);
        (before < HASHES_WAITING_MAX).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A hash that is under way, for which others may wait. When it is dropped without a verdict, one of those makes it.
struct Work {
    verifier: Arc<Verifier>,
    mark: Mark,
    told: watch::Sender<Option<Verdict>>,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.verifier.under_way().remove(&self.mark);
    }
}

enum Turn {
    Mine(Work),
    Theirs(watch::Receiver<Option<Verdict>>),
}

impl Verifier {
    /// One that has verified nothing yet.
    ///
    /// # Errors
    /// The system gave no random numbers for its key.
    pub fn new() -> Result<Arc<Self>, Unspecified> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::with_turns((cores / 2).clamp(1, HASHES_AT_ONCE_MAX))
    }

    fn with_turns(turns: usize) -> Result<Arc<Self>, Unspecified> {
        Ok(Arc::new(Self {
            key: hmac::Key::generate(HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new())?,
            verified: Verified::new(),
            turns: Arc::new(Semaphore::new(turns)),
            waiting: AtomicUsize::new(0),
            under_way: Mutex::default(),
            hashed: AtomicU64::new(0),
        }))
    }

    /// How many hashes were made.
    #[must_use]
    pub fn hashed(&self) -> u64 {
        self.hashed.load(Ordering::Relaxed)
    }

    /// Judges credentials.
    ///
    /// # Cancel safety
    /// A hash that is being made is finished for others who wait for it.
    pub async fn verify(self: &Arc<Self>, users: &Users, credentials: &Credentials) -> Verdict {
        let Some(question) = self.question(users, credentials) else { return Verdict::Wrong };
        if self.verified.holds(&question.mark, Instant::now()) && question.known {
            return Verdict::Right;
        }
        let question = Arc::new(question);
        let patience = tokio::time::Instant::now() + PATIENCE;
        loop {
            let mut theirs = match self.turn(question.mark) {
                Turn::Mine(work) => return self.answer(work, question, patience).await,
                Turn::Theirs(theirs) => theirs,
            };
            let verdict = match timeout_at(patience, theirs.wait_for(Option::is_some)).await {
                Ok(Ok(verdict)) => *verdict,
                // Who made it has left.
                Ok(Err(_)) => None,
                Err(_) => Some(Verdict::Busy),
            };
            if let Some(verdict) = verdict {
                return verdict;
            }
        }
    }

    /// What is to be verified; `None` cannot happen, since no file of users is empty.
    fn question(&self, users: &Users, credentials: &Credentials) -> Option<Question> {
        let user = hmac::sign(&self.key, credentials.user().as_bytes());
        let number = user.as_ref().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let (known, stand_in) = (users.known(credentials.user()), users.stand_in(number)?);
        let (known, hash) = (known.is_some(), known.unwrap_or(stand_in));
        let mut signing = hmac::Context::with_key(&self.key);
        // The name's own digest is of one length, so that no two are put together to the same text.
        signing.update(user.as_ref());
        signing.update(hmac::sign(&self.key, hash.text().as_bytes()).as_ref());
        signing.update(credentials.password());
        let mark = *signing.sign().as_ref().first_chunk()?;
        Some(Question { mark, hash: Arc::clone(hash), password: credentials.password().into(), known })
    }

    fn turn(self: &Arc<Self>, mark: Mark) -> Turn {
        match self.under_way().entry(mark) {
            Entry::Occupied(theirs) => Turn::Theirs(theirs.get().clone()),
            Entry::Vacant(place) => {
                let (told, hears) = watch::channel(None);
                place.insert(hears);
                Turn::Mine(Work { verifier: Arc::clone(self), mark, told })
            }
        }
    }

    async fn answer(self: &Arc<Self>, work: Work, question: Arc<Question>, patience: tokio::time::Instant) -> Verdict {
        let permit = {
            let waiting = Waiting::new(&self.waiting);
            let turn = Arc::clone(&self.turns).acquire_owned();
            match if waiting.is_some() { timeout_at(patience, turn).await.ok() } else { None } {
                Some(Ok(permit)) => permit,
                // The semaphore is never closed.
                Some(Err(_)) | None => {
                    work.told.send_replace(Some(Verdict::Busy));
                    return Verdict::Busy;
                }
            }
        };
        let hashing = tokio::task::spawn_blocking(move || {
            let verdict = work.verifier.judge(&question);
            work.told.send_replace(Some(verdict));
            drop((work, permit));
            verdict
        });
        // It has panicked, or the process ends.
        hashing.await.unwrap_or(Verdict::Busy)
    }

    fn judge(&self, question: &Question) -> Verdict {
        self.hashed.fetch_add(1, Ordering::Relaxed);
        match question.hash.verify(&question.password) {
            Ok(right) if right && question.known => {
                self.verified.add(question.mark, Instant::now());
                Verdict::Right
            }
            Ok(_) => Verdict::Wrong,
            Err(exhausted) => {
                tracing::warn!("{exhausted}");
                Verdict::Busy
            }
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Mark, watch::Receiver<Option<Verdict>>>> {
        // Each change is whole.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Verifier")
    }
}

#[cfg(test)]
mod tests {
    use super::super::credentials::tests::credentials;
    use super::*;

    const HASH: &str = "$2y$04$QEGPCtriMePEJAWU/x.4FOe584WnWo6GUUK20YzUhFa95Hn9Tx2iu";
    const OTHER: &str =
        "$argon2id$v=19$m=1024,t=1,p=1$QDFvr7UGW0XRMXnLS5t6Ww$LaRkf1JTObKP9/j6LJ9e5KML7+KmQLBRCHfNjEfmpj0";

    fn users(text: &str) -> Users {
        Users::parse(text).unwrap()
    }

    fn settled(verifier: &Verifier) {
        assert_eq!(verifier.waiting.load(Ordering::Acquire), 0);
        assert!(verifier.under_way().is_empty());
    }

    #[tokio::test]
    async fn a_password_is_hashed_once_while_it_is_right_and_each_time_while_it_is_wrong() {
        let verifier = Verifier::new().unwrap();
        let users = users(&format!("alice:{HASH}"));
        for _ in 0..3 {
            assert_eq!(verifier.verify(&users, &credentials("alice", "correct")).await, Verdict::Right);
        }
        assert_eq!(verifier.hashed(), 1);
        for _ in 0..2 {
            assert_eq!(verifier.verify(&users, &credentials("alice", "wrong")).await, Verdict::Wrong);
        }
        assert_eq!(verifier.hashed(), 3);
        settled(&verifier);
    }

    #[tokio::test]
    async fn a_user_that_is_not_known_costs_a_hash_too_and_never_gets_in() {
        let verifier = Verifier::new().unwrap();
        let users = users(&format!("alice:{HASH}"));
        assert_eq!(verifier.verify(&users, &credentials("alice", "correct")).await, Verdict::Right);
        // The stand-in is the hash of alice, whose password it is.
        for (user, hashed) in [("mallory", 2), ("", 3), ("Alice", 4), ("mallory", 5)] {
            assert_eq!(verifier.verify(&users, &credentials(user, "correct")).await, Verdict::Wrong, "{user}");
            assert_eq!(verifier.hashed(), hashed, "{user}");
        }
    }

    #[tokio::test]
    async fn what_was_verified_does_not_count_for_another_hash_or_for_a_user_who_is_gone() {
        let verifier = Verifier::new().unwrap();
        let (shown, bob) = (credentials("alice", "correct"), format!("bob:{HASH}"));
        assert_eq!(verifier.verify(&users(&format!("alice:{HASH}\n{bob}")), &shown).await, Verdict::Right);
        // The file is read again and says the same.
        assert_eq!(verifier.verify(&users(&format!("{bob}\nalice:{HASH}")), &shown).await, Verdict::Right);
        assert_eq!(verifier.hashed(), 1);
        assert_eq!(verifier.verify(&users(&bob), &shown).await, Verdict::Wrong);
        assert_eq!(verifier.verify(&users(&format!("alice:{OTHER}")), &shown).await, Verdict::Right);
        assert_eq!(verifier.hashed(), 3, "another hash of the same password is asked");
        let changed = HASH.replace("584Wn", "584Wm");
        assert_eq!(verifier.verify(&users(&format!("alice:{changed}")), &shown).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn requests_with_the_same_credentials_at_once_cost_one_hash() {
        let verifier = Verifier::with_turns(1).unwrap();
        let users = users(&format!("alice:{HASH}"));
        for (password, verdict) in [("correct", Verdict::Right), ("wrong", Verdict::Wrong)] {
            let before = verifier.hashed();
            let shown = credentials("alice", password);
            let one = || verifier.verify(&users, &shown);
            // The first is not done before all have asked.
            let held = Arc::clone(&verifier.turns).acquire_owned().await.unwrap();
            let (a, b, c, ()) = tokio::join!(biased; one(), one(), one(), async { drop(held) });
            assert_eq!([a, b, c], [verdict; 3]);
            assert_eq!(verifier.hashed(), before + 1, "{password}");
        }
        settled(&verifier);
    }

    #[tokio::test]
    async fn who_leaves_while_waiting_leaves_the_hash_to_others() {
        let verifier = Verifier::with_turns(1).unwrap();
        let users = users(&format!("alice:{HASH}"));
        let shown = credentials("alice", "correct");
        let held = Arc::clone(&verifier.turns).acquire_owned().await.unwrap();
        let mut first = Box::pin(verifier.verify(&users, &shown));
        let mut second = Box::pin(verifier.verify(&users, &shown));
        assert!(futures_pending(&mut first).await && futures_pending(&mut second).await);
        drop(first);
        drop(held);
        assert_eq!(second.await, Verdict::Right);
        assert_eq!(verifier.hashed(), 1);
        settled(&verifier);
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_as_may_wait_do_and_one_more_is_turned_down() {
        let verifier = Verifier::with_turns(1).unwrap();
        let users = users(&format!("alice:{HASH}"));
        let held = Arc::clone(&verifier.turns).acquire_owned().await.unwrap();
        let all: Vec<_> = (0..=HASHES_WAITING_MAX).map(|number| credentials("alice", &number.to_string())).collect();
        let mut waiting: Vec<_> = all.iter().map(|shown| Box::pin(verifier.verify(&users, shown))).collect();
        let mut last = waiting.pop().unwrap();
        for one in &mut waiting {
            assert!(futures_pending(one).await);
        }
        assert!(!futures_pending(&mut last).await, "it is turned down at once");
        drop(waiting);
        settled(&verifier);
        // Nobody waits for ever.
        let begun = tokio::time::Instant::now();
        assert_eq!(verifier.verify(&users, &all[0]).await, Verdict::Busy);
        assert_eq!(begun.elapsed(), PATIENCE);
        assert_eq!(verifier.hashed(), 0);
        drop(held);
        settled(&verifier);
    }

    /// Whether it has not come to an end when it is polled once.
    async fn futures_pending(future: &mut (impl Future<Output = Verdict> + Unpin)) -> bool {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending())
        })
        .await
    }
}
