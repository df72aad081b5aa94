use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Rung by those whom one task polls, so that it knows whom to poll; the task itself is woken only while it rests.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<State>,
    /// The task looks at who has rung before it rests.
    busy: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    rung: Vec<usize>,
    task: Option<Waker>,
}

/// Rings for one of them; as a [`Waker`] it can be handed to whatever that waits for.
#[derive(Debug)]
pub(super) struct Alarm {
    number: usize,
    rung: AtomicBool,
    bell: Arc<Bell>,
}

impl Bell {
    /// The task is at work: until [`Bell::rest`] it need not be woken.
    pub(super) fn attend(&self, task: &Waker) {
        self.busy.store(true, Ordering::SeqCst);
        let mut state = self.state();
        if !state.task.as_ref().is_some_and(|known| known.will_wake(task)) {
            state.task = Some(task.clone());
        }
    }

    /// The task rests, and is woken by whoever rings next. Gives false if somebody has rung in the meantime: then it does not.
    pub(super) fn rest(&self) -> bool {
        self.busy.store(false, Ordering::SeqCst);
        // Who rings after this look finds that the task rests.
        let quiet = self.state().rung.is_empty();
        if !quiet {
            self.busy.store(true, Ordering::SeqCst);
        }
        quiet
    }

    /// Who has rung, into a list that is empty.
    pub(super) fn take(&self, rung: &mut Vec<usize>) {
        std::mem::swap(&mut self.state().rung, rung);
    }

    fn ring(&self, number: usize) {
        let mut state = self.state();
        state.rung.push(number);
        let task = if self.busy.load(Ordering::SeqCst) { None } else { state.task.take() };
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is whole before the next can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Alarm {
    pub(super) fn new(number: usize, bell: &Arc<Bell>) -> Arc<Self> {
        Arc::new(Self { number, rung: AtomicBool::new(false), bell: Arc::clone(bell) })
    }

    /// It is being heard: what happens from now on rings again.
    pub(super) fn reset(&self) {
        self.rung.store(false, Ordering::SeqCst);
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            self.bell.ring(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_task_is_woken_only_while_it_rests_and_hears_of_all_who_rang() {
        let counted = Arc::<Counted>::default();
        let (task, woken) = (Waker::from(Arc::clone(&counted)), || counted.0.load(Ordering::SeqCst));
        let bell = Arc::<Bell>::default();
        let alarms = [Alarm::new(3, &bell), Alarm::new(4, &bell)];
        let mut rung = Vec::new();
        bell.attend(&task);
        assert!(bell.rest());
        alarms[0].wake_by_ref();
        alarms[0].wake_by_ref();
        alarms[1].wake_by_ref();
        assert_eq!(woken(), 1);
        bell.attend(&task);
        bell.take(&mut rung);
        assert_eq!(rung, [3, 4]);
        rung.clear();
        alarms[0].reset();
        // While it is at work, and while it goes to rest.
        alarms[0].wake_by_ref();
        assert!(!bell.rest());
        bell.take(&mut rung);
        assert_eq!((rung.as_slice(), woken()), (&[3][..], 1));
        assert!(bell.rest());
        alarms[0].reset();
        alarms[0].wake_by_ref();
        assert_eq!(woken(), 2);
    }
}
