// SPDX-License-Identifier: GPL-2.0-or-later
//! Periodic and delayed work, done on a worker of charon.
//!
//! Owns who wants to be called when, and the one timer behind all of them. A part registers a
//! [`Task`] and says with [`Ticker::wake_at`] when it has something to do; its answer says when it is
//! next due. The timer is armed only while somebody waits for a time: an idle plugin never wakes up.
//! Called by charon's watcher and by every part of `backend/`. Must not hold its lock while a task
//! runs or the timer is set, and must not wait for anything.
//!
//! A task must be brief, as it occupies a worker: what takes long is done in portions, of which the
//! next is due at once. Tasks run one after the other and never at the same time as themselves.

use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::host::Readable;
use crate::xfrm::Timer;

/// Something that is done now and then.
pub(crate) trait Task: Send + Sync {
    /// Does what is due at `now` and says when to be called next; `None` is "not until I ask".
    fn run(&self, now: Duration) -> Option<Duration>;
}

/// A registered task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskId(usize);

struct Slot {
    task: Weak<dyn Task>,
    due: Option<Duration>,
}

#[derive(Default)]
struct State {
    /// A handful, never removed: one per part of the backend.
    slots: Vec<Slot>,
    /// What the timer was last set to, or is being set to.
    armed: Option<Duration>,
    /// A round is under way; it sets the timer at its end.
    running: bool,
    stopped: bool,
}

impl State {
    fn earliest(&self) -> Option<Duration> {
        if self.stopped || self.running {
            return None;
        }
        self.slots.iter().filter_map(|slot| slot.due).min()
    }
}

/// The table of tasks.
pub(crate) struct Ticker {
    timer: Arc<dyn Timer>,
    state: Mutex<State>,
}

impl Ticker {
    pub(super) fn new(timer: Arc<dyn Timer>) -> Self {
        Self {
            timer,
            state: Mutex::default(),
        }
    }

    /// Adds a task that is not due until [`Ticker::wake_at`] says so. It ends with its last
    /// reference.
    pub(crate) fn register(&self, task: Weak<dyn Task>) -> TaskId {
        let mut state = self.lock();
        state.slots.push(Slot { task, due: None });
        TaskId(state.slots.len() - 1)
    }

    /// Has a task called at `at`, or earlier if it is due earlier already.
    pub(crate) fn wake_at(&self, task: TaskId, at: Duration) {
        {
            let mut state = self.lock();
            let Some(slot) = state.slots.get_mut(task.0) else {
                return;
            };
            if slot.due.is_some_and(|due| due <= at) {
                return;
            }
            slot.due = Some(at);
        }
        self.settle();
    }

    /// Has a task called in `after` from now, or earlier if it is due earlier already.
    pub(crate) fn wake_in(&self, task: TaskId, after: Duration) {
        self.wake_at(task, self.now().saturating_add(after));
    }

    /// The clock that all deadlines are on, `CLOCK_MONOTONIC`.
    pub(crate) fn now(&self) -> Duration {
        self.timer.now()
    }

    /// Lets time pass on the caller's thread: only for short, bounded pauses.
    pub(super) fn pause(&self, time: Duration) {
        self.timer.pause(time);
    }

    /// For the watcher.
    pub(super) fn fd(&self) -> RawFd {
        self.timer.fd()
    }

    /// No task is called any more. One that runs at this moment ends by itself: whoever needs to be
    /// sure ends the watching first, which waits for it.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.settle();
    }

    /// Sets the timer to the earliest deadline. Another thread may set it in between, so whoever set
    /// it looks once more: the last one to set it sees what the last change was.
    fn settle(&self) {
        let mut mine = None;
        loop {
            let want = {
                let mut state = self.lock();
                let want = state.earliest();
                if state.armed == want && mine.is_none_or(|mine| mine == want) {
                    return;
                }
                state.armed = want;
                want
            };
            self.timer.arm(want);
            mine = Some(want);
        }
    }

    /// The next task that is due, with its deadline taken.
    fn next_due(&self, now: Duration, from: usize) -> Option<(usize, Weak<dyn Task>)> {
        let mut state = self.lock();
        if state.stopped {
            return None;
        }
        let slots = state.slots.iter_mut().enumerate().skip(from);
        let mut due = slots.filter(|(_, slot)| slot.due.is_some_and(|due| due <= now));
        let (index, slot) = due.next()?;
        slot.due = None;
        Some((index, Weak::clone(&slot.task)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Single assignments only: there is no half-made change to fear after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets the timer for what is left, also if a task panics.
struct Round<'a>(&'a Ticker);

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.0.lock().running = false;
        self.0.settle();
    }
}

impl Readable for Ticker {
    fn readable(&self) -> bool {
        {
            let mut state = self.lock();
            if state.stopped {
                return false;
            }
            state.running = true;
            // The alarm went off: whatever comes next has to set it again.
            state.armed = None;
        }
        let _round = Round(self);
        self.timer.acknowledge();
        let now = self.now();
        let mut from = 0;
        while let Some((index, task)) = self.next_due(now, from) {
            from = index + 1;
            let Some(next) = task.upgrade().and_then(|task| task.run(now)) else {
                continue;
            };
            let mut state = self.lock();
            if let Some(slot) = state.slots.get_mut(index) {
                // Somebody may have asked for an earlier time while it ran.
                slot.due = Some(slot.due.map_or(next, |due| due.min(next)));
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::xfrm::fake::FakeTimer;

    const SECOND: Duration = Duration::from_secs(1);

    /// Counts its calls and answers what it was told.
    #[derive(Default)]
    struct Counter {
        calls: AtomicU32,
        again: Mutex<Option<Duration>>,
    }

    impl Task for Counter {
        fn run(&self, now: Duration) -> Option<Duration> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            self.again.lock().unwrap().map(|again| now + again)
        }
    }

    impl Counter {
        fn calls(&self) -> u32 {
            self.calls.load(Ordering::Relaxed)
        }
    }

    fn ticker() -> (Arc<FakeTimer>, Ticker) {
        let timer = Arc::new(FakeTimer::default());
        (timer.clone(), Ticker::new(timer))
    }

    fn weak<T: Task + 'static>(task: &Arc<T>) -> Weak<dyn Task> {
        let weak: Weak<T> = Arc::downgrade(task);
        weak
    }

    /// Moves the clock and does what charon's watcher would.
    fn advance(timer: &FakeTimer, ticker: &Ticker, by: Duration) {
        if timer.advance(by) {
            assert!(ticker.readable());
        }
    }

    #[test]
    fn nothing_is_armed_unless_something_is_due() {
        let (timer, ticker) = ticker();
        let task = Arc::new(Counter::default());
        let id = ticker.register(weak(&task));
        assert_eq!(timer.armed(), None, "to be registered is not to be due");
        ticker.wake_in(id, 5 * SECOND);
        assert_eq!(timer.armed(), Some(timer.now() + 5 * SECOND));
        advance(&timer, &ticker, 4 * SECOND);
        assert_eq!(task.calls(), 0);
        advance(&timer, &ticker, SECOND);
        assert_eq!(task.calls(), 1);
        assert_eq!(timer.armed(), None, "it asked for no further call");
    }

    #[test]
    fn a_task_says_itself_when_it_is_next_due() {
        let (timer, ticker) = ticker();
        let task = Arc::new(Counter::default());
        *task.again.lock().unwrap() = Some(SECOND);
        let id = ticker.register(weak(&task));
        ticker.wake_in(id, SECOND);
        for _ in 0..5 {
            advance(&timer, &ticker, SECOND);
        }
        assert_eq!(task.calls(), 5);
        *task.again.lock().unwrap() = None;
        advance(&timer, &ticker, SECOND);
        advance(&timer, &ticker, 100 * SECOND);
        assert_eq!(task.calls(), 6);
    }

    #[test]
    fn the_earliest_deadline_counts_whatever_the_order() {
        let (timer, ticker) = ticker();
        let (one, two) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
        let (first, second) = (ticker.register(weak(&one)), ticker.register(weak(&two)));
        ticker.wake_in(first, 5 * SECOND);
        ticker.wake_in(second, 3 * SECOND);
        ticker.wake_in(first, 9 * SECOND);
        assert_eq!(timer.armed(), Some(timer.now() + 3 * SECOND));
        advance(&timer, &ticker, 3 * SECOND);
        assert_eq!((one.calls(), two.calls()), (0, 1));
        advance(&timer, &ticker, 2 * SECOND);
        assert_eq!((one.calls(), two.calls()), (1, 1), "later does not delay");
        assert_eq!(timer.armed(), None);
    }

    #[test]
    fn who_asks_while_the_task_runs_is_not_forgotten() {
        struct Asks {
            ticker: Arc<Ticker>,
            id: Mutex<Option<TaskId>>,
        }
        impl Task for Asks {
            fn run(&self, now: Duration) -> Option<Duration> {
                let id = self.id.lock().unwrap().unwrap();
                self.ticker.wake_at(id, now + SECOND);
                Some(now + 10 * SECOND)
            }
        }
        let timer = Arc::new(FakeTimer::default());
        let ticker = Arc::new(Ticker::new(timer.clone()));
        let task = Arc::new(Asks {
            ticker: ticker.clone(),
            id: Mutex::new(None),
        });
        let id = ticker.register(weak(&task));
        *task.id.lock().unwrap() = Some(id);
        ticker.wake_at(id, timer.now());
        advance(&timer, &ticker, Duration::ZERO);
        assert_eq!(timer.armed(), Some(timer.now() + SECOND));
    }

    #[test]
    fn a_task_that_is_gone_ends_and_others_go_on() {
        let (timer, ticker) = ticker();
        let (gone, stays) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
        for id in [ticker.register(weak(&gone)), ticker.register(weak(&stays))] {
            ticker.wake_in(id, SECOND);
        }
        drop(gone);
        advance(&timer, &ticker, SECOND);
        assert_eq!(stays.calls(), 1);
        assert_eq!(timer.armed(), None);
    }

    #[test]
    fn nothing_runs_after_the_end() {
        let (timer, ticker) = ticker();
        let task = Arc::new(Counter::default());
        let id = ticker.register(weak(&task));
        ticker.wake_in(id, SECOND);
        ticker.stop();
        assert_eq!(timer.armed(), None);
        timer.advance(10 * SECOND);
        assert!(!ticker.readable(), "the watching ends");
        ticker.wake_in(id, SECOND);
        assert_eq!(timer.armed(), None);
        assert_eq!(task.calls(), 0);
    }

    #[test]
    fn a_panic_of_one_task_does_not_silence_the_others() {
        struct Panics;
        impl Task for Panics {
            fn run(&self, _now: Duration) -> Option<Duration> {
                std::panic::resume_unwind(Box::new("without the hook's output"))
            }
        }
        let (timer, ticker) = ticker();
        let (bad, good) = (Arc::new(Panics), Arc::new(Counter::default()));
        for id in [ticker.register(weak(&bad)), ticker.register(weak(&good))] {
            ticker.wake_in(id, SECOND);
        }
        timer.advance(SECOND);
        let round = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ticker.readable()));
        assert!(round.is_err());
        assert!(timer.armed().is_some(), "the other one is still due");
        assert!(ticker.readable());
        assert_eq!(good.calls(), 1);
    }

    #[test]
    fn threads_that_ask_at_once_leave_the_earliest_armed() {
        for _ in 0..200 {
            let (timer, ticker) = ticker();
            let tasks: Vec<_> = (0..4).map(|_| Arc::new(Counter::default())).collect();
            let ids: Vec<_> = tasks
                .iter()
                .map(|task| ticker.register(weak(task)))
                .collect();
            std::thread::scope(|scope| {
                for (number, id) in ids.iter().enumerate() {
                    let ticker = &ticker;
                    scope.spawn(move || ticker.wake_in(*id, (number as u32 + 1) * SECOND));
                }
            });
            assert_eq!(timer.armed(), Some(timer.now() + SECOND));
        }
    }
}
