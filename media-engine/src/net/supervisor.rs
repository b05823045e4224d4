//! Supervision of tasks and threads that must run as long as the server does. When one of them ends before the stop, by a panic
//! or by returning, a [`Fault`] with its name is sent to the owner, which ends the process.
//!
//! ```text
//! spawn, run, thread (name, work) ─▶ work ends ─▶ before `stopping`? ─▶ log, metric, Fault ─▶ the owner
//! ```
//!
//! Invariants: a fault is logged even if nobody receives it; nothing here waits.
//! Not here: work that may fail on its own, such as the task of one call or one connection.

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

/// Capacity of the fault queue; the first fault already ends the process.
const FAULTS: usize = 16;

/// End of a task or thread that must run permanently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Name of the task or thread.
    pub name: String,
    /// The panic's message, or a statement that the work returned.
    pub why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.why)
    }
}

/// Supervisor of tasks and threads. Clones share their state. See the module documentation.
#[derive(Clone, Debug)]
pub struct Supervisor {
    faults: mpsc::Sender<Fault>,
    stopping: Arc<AtomicBool>,
    /// Name of the task that is to panic, for tests.
    provoked: watch::Sender<Option<String>>,
}

impl Supervisor {
    /// Creates a supervisor, and the receiver of its faults.
    pub fn new() -> (Supervisor, mpsc::Receiver<Fault>) {
        let (faults, told) = mpsc::channel(FAULTS);
        (Supervisor { faults, stopping: Arc::default(), provoked: watch::Sender::new(None) }, told)
    }

    /// Creates a supervisor that only logs panics, for parts that run without a server: their creator may end them at any time.
    pub fn log_only() -> Supervisor {
        let (supervisor, _nobody) = Supervisor::new();
        supervisor.stopping();
        supervisor
    }

    /// Declares that from now on all tasks and threads may end.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Starts a task that must run until [`Supervisor::stopping`].
    pub fn spawn(&self, name: &str, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        tokio::spawn(self.run(name, work))
    }

    /// Like [`Supervisor::spawn`], for a task that the caller starts. A panic of `work` does not leave the future.
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
            post.supervisor.report_end(&post.name, ended);
        }
    }

    /// Starts a thread that must run until [`Supervisor::stopping`]; its work has to call [`Post::check`] regularly.
    ///
    /// # Errors
    /// The error of the operating system if no thread can be started.
    pub fn thread(
        &self,
        name: &str,
        work: impl FnOnce(&Post) + Send + 'static,
    ) -> io::Result<std::thread::JoinHandle<()>> {
        let post = self.post(name);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(|| work(&post)));
            post.supervisor.report_end(&post.name, ended);
        })
    }

    /// Makes the task or thread of this name panic, so that a test can observe the result. Not in release builds.
    #[cfg(debug_assertions)]
    pub fn provoke(&self, name: &str) {
        self.provoked.send_replace(Some(name.to_owned()));
    }

    fn post(&self, name: &str) -> Post {
        Post { supervisor: self.clone(), name: name.to_owned() }
    }

    /// Reports the end of `name`, unless the server is stopping and there was no panic.
    fn report_end(&self, name: &str, how: Result<(), Box<dyn Any + Send>>) {
        let why = match &how {
            Ok(()) if self.stopping.load(Ordering::Acquire) => return,
            Ok(()) => "has ended".to_owned(),
            Err(panic) => format!("panicked: {}", message(panic.as_ref())),
        };
        metrics::counter!("tandem_supervised_ends_total", "name" => name.to_owned()).increment(1);
        tracing::error!(name, why, "a part of the server has failed");
        // The owner has ended, or the queue is full of faults.
        let _ = self.faults.try_send(Fault { name: name.to_owned(), why });
    }
}

/// Handle of one supervised task or thread to its supervisor.
#[derive(Debug)]
pub struct Post {
    supervisor: Supervisor,
    name: String,
}

impl Post {
    /// Panics if a test requested it, in debug builds only.
    #[inline]
    pub fn check(&self) {
        #[cfg(debug_assertions)]
        assert!(self.supervisor.provoked.borrow().as_deref() != Some(self.name.as_str()), "provoked");
    }

    /// Waits until a test requests a panic; forever in release builds.
    async fn provoked(&self) {
        if cfg!(debug_assertions) {
            let mut provoked = self.supervisor.provoked.subscribe();
            let own = |name: &Option<String>| name.as_deref() == Some(self.name.as_str());
            // The sender lives as long as this handle.
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
    async fn ends_before_the_stop_are_reported_with_name_and_reason() {
        let (supervisor, mut faults) = Supervisor::new();
        supervisor.spawn("alpha", async { panic!("no {}", 1) });
        assert_eq!(faults.recv().await, Some(fault("alpha", "panicked: no 1")));
        supervisor.spawn("beta", async {});
        assert_eq!(faults.recv().await, Some(fault("beta", "has ended")));
        supervisor.thread("gamma", |_| panic!("bad")).unwrap();
        assert_eq!(faults.recv().await, Some(fault("gamma", "panicked: bad")));
    }

    #[tokio::test]
    async fn after_the_stop_only_panics_are_reported() {
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
