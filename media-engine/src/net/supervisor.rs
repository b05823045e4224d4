//! Who has to run for as long as the server does: tasks and threads by name. When one of them ends before the stop, by a panic or
//! by itself, its owner is told, who ends the process.
//!
//! ```text
//! spawn, run, thread (name, work) ─▶ work ends ─▶ before `stopping`? ─▶ log, metric, Fault ─▶ the owner
//! ```
//!
//! Invariants: a fault is logged even when nobody takes it; nothing here waits.
//! Not here: work that may fail by itself, such as one call's task or one connection's.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Faults that may wait: the first one ends the process.
const FAULTS: usize = 16;

/// Something that had to run has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which task or thread.
    pub name: String,
    /// The panic's message, or that it ended by itself.
    pub why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.why)
    }
}

/// Watches tasks and threads. Clones share it. See the module head.
#[derive(Clone, Debug)]
pub struct Supervisor {
    faults: mpsc::Sender<Fault>,
    stopping: Arc<AtomicBool>,
    /// Which name is to panic, for tests.
    provoked: watch::Sender<Option<String>>,
}

impl Supervisor {
    /// A supervisor, and where it tells faults.
    pub fn new() -> (Supervisor, mpsc::Receiver<Fault>) {
        let (faults, told) = mpsc::channel(FAULTS);
        (Supervisor { faults, stopping: Arc::default(), provoked: watch::Sender::new(None) }, told)
    }

    /// A supervisor that only logs panics, for parts that run without a server: whoever started them may end them at any time.
    pub fn log_only() -> Supervisor {
        let (supervisor, _nobody) = Supervisor::new();
        supervisor.stopping();
        supervisor
    }

    /// From now on everything may end.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Starts a task that has to run until [`Supervisor::stopping`].
    pub fn spawn(&self, name: &str, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        tokio::spawn(self.run(name, work))
    }

    /// The same for a task that somebody else starts. A panic of `work` does not leave the future.
    pub fn run<W: Future<Output = ()> + Send>(&self, name: &str, work: W) -> impl Future<Output = ()> + Send + use<W> {
        let post = self.post(name);
        async move {
            let work = async {
                tokio::select! {
                    () = work => {}
                    () = post.provoked() => panic!("provoked"),
                }
            };
            let ended = AssertUnwindSafe(work).catch_unwind().await;
            post.supervisor.ended(&post.name, ended);
        }
    }

    /// Starts a thread that has to run until [`Supervisor::stopping`]; its work calls [`Post::check`] now and then.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn thread(
        &self,
        name: &str,
        work: impl FnOnce(&Post) + Send + 'static,
    ) -> io::Result<std::thread::JoinHandle<()>> {
        let post = self.post(name);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(|| work(&post)));
            post.supervisor.ended(&post.name, ended);
        })
    }

    /// Makes the task or thread of this name panic, so that a test sees what follows. Not in release builds.
    #[cfg(debug_assertions)]
    pub fn provoke(&self, name: &str) {
        self.provoked.send_replace(Some(name.to_owned()));
    }

    fn post(&self, name: &str) -> Post {
        Post { supervisor: self.clone(), name: name.to_owned() }
    }

    /// Tells the end of `name`, unless everything stops and it went well.
    fn ended(&self, name: &str, how: Result<(), Box<dyn Any + Send>>) {
        let why = match &how {
            Ok(()) if self.stopping.load(Ordering::Acquire) => return,
            Ok(()) => "has ended".to_owned(),
            Err(panic) => format!("panicked: {}", message(panic.as_ref())),
        };
        metrics::counter!("tandem_supervised_ends_total", "name" => name.to_owned()).increment(1);
        tracing::error!(name, why, "a part of the server has failed");
        // The owner is gone, or has heard of enough faults.
        let _ = self.faults.try_send(Fault { name: name.to_owned(), why });
    }
}

/// One supervised task's or thread's view of its supervisor.
#[derive(Debug)]
pub struct Post {
    supervisor: Supervisor,
    name: String,
}

impl Post {
    /// Panics when a test wants it, in debug builds only.
    #[inline]
    pub fn check(&self) {
        #[cfg(debug_assertions)]
        assert!(self.supervisor.provoked.borrow().as_deref() != Some(self.name.as_str()), "provoked");
    }

    /// Waits until a test wants the task to panic; for ever in release builds.
    async fn provoked(&self) {
        if cfg!(debug_assertions) {
            let mut provoked = self.supervisor.provoked.subscribe();
            let own = |name: &Option<String>| name.as_deref() == Some(self.name.as_str());
            // The supervisor holds the other end as long as this.
            let _ = provoked.wait_for(own).await;
        } else {
            std::future::pending().await
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(name: &str, why: &str) -> Fault {
        Fault { name: name.into(), why: why.into() }
    }

    #[tokio::test]
    async fn ends_before_the_stop_are_told_with_name_and_reason() {
        let (supervisor, mut faults) = Supervisor::new();
        supervisor.spawn("alpha", async { panic!("no {}", 1) });
        assert_eq!(faults.recv().await, Some(fault("alpha", "panicked: no 1")));
        supervisor.spawn("beta", async {});
        assert_eq!(faults.recv().await, Some(fault("beta", "has ended")));
        supervisor.thread("gamma", |_| panic!("bad")).unwrap();
        assert_eq!(faults.recv().await, Some(fault("gamma", "panicked: bad")));
    }

    #[tokio::test]
    async fn after_the_stop_only_panics_are_told() {
        let (supervisor, mut faults) = Supervisor::new();
        supervisor.stopping();
        supervisor.spawn("alpha", async {}).await.unwrap();
        supervisor.thread("beta", |_| {}).unwrap().join().unwrap();
        supervisor.spawn("gamma", async { panic!("late") }).await.unwrap();
        assert_eq!(faults.try_recv().ok(), Some(fault("gamma", "panicked: late")));
        assert!(faults.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_provoked_panic_meets_the_named_one_alone() {
        let (supervisor, mut faults) = Supervisor::new();
        let other = supervisor.spawn("other", std::future::pending());
        supervisor.spawn("task", std::future::pending());
        supervisor.provoke("task");
        assert_eq!(faults.recv().await, Some(fault("task", "panicked: provoked")));
        supervisor
            .thread("thread", |post| {
                loop {
                    post.check()
                }
            })
            .unwrap();
        supervisor.provoke("thread");
        assert_eq!(faults.recv().await, Some(fault("thread", "panicked: provoked")));
        assert!(!other.is_finished());
    }
}
