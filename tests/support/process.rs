//! A child process whose output lines are stored and can be waited for, and which never outlives its test.
//!
//! Invariants: signals are sent by the stored id and only while the process is known to run; it is reaped exactly once; its output
//! is printed when the test fails.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// Time that a process has to exit after SIGTERM.
const LEAVE: Duration = Duration::from_secs(10);
/// Number of output lines printed when a test fails.
const SHOWN: usize = 120;

/// A running child process. It is stopped when the value is dropped.
pub struct Process {
    name: String,
    pid: u32,
    stdin: Option<ChildStdin>,
    log: Arc<Log>,
    exit: watch::Receiver<Option<ExitStatus>>,
    reaped: std::sync::mpsc::Receiver<()>,
}

struct Log {
    lines: Mutex<Vec<String>>,
    count: watch::Sender<usize>,
}

impl Log {
    fn push(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
        self.count.send_replace(lines.len());
    }

    fn find<T>(&self, from: &mut usize, find: &mut impl FnMut(&str) -> Option<T>) -> Option<T> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        while *from < lines.len() {
            *from += 1;
            if let Some(found) = find(&lines[*from - 1]) {
                return Some(found);
            }
        }
        None
    }

    fn tail(&self, count: usize) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for line in &lines[lines.len().saturating_sub(count)..] {
            // Writing to a String cannot fail.
            let _infallible = writeln!(text, "    {line}");
        }
        text
    }
}

impl Process {
    /// Starts `command`; panics with `advice` when the program is missing.
    pub fn start(name: &str, advice: &str, command: &mut Command) -> Process {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("{name} does not start ({error}): {advice}"),
        };
        let log = Arc::new(Log { lines: Mutex::new(Vec::new()), count: watch::Sender::new(0) });
        keep(child.stdout.take().expect("piped"), Arc::clone(&log));
        keep(child.stderr.take().expect("piped"), Arc::clone(&log));
        let (pid, stdin) = (child.id(), child.stdin.take());
        let (exit_in, exit) = watch::channel(None);
        let (reaped_in, reaped) = std::sync::mpsc::channel();
        thread::spawn(move || {
            if let Ok(status) = child.wait() {
                exit_in.send_replace(Some(status));
            }
            drop(reaped_in);
        });
        Process { name: name.to_owned(), pid, stdin, log, exit, reaped }
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Resident memory in bytes; 0 once the process has ended.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) * 1024
    }

    /// Returns the output so far, of standard output and standard error.
    pub fn output(&self) -> String {
        self.log.tail(usize::MAX)
    }

    /// Waits until `find` accepts a line, starting with the first line of the output.
    pub async fn line<T>(&self, what: &str, deadline: Duration, find: impl FnMut(&str) -> Option<T>) -> T {
        self.line_from(&mut 0, what, deadline, find).await
    }

    /// Like [`Process::line`], starting with line `from`, which is set to the line after the one found.
    pub async fn line_from<T>(
        &self,
        from: &mut usize,
        what: &str,
        deadline: Duration,
        mut find: impl FnMut(&str) -> Option<T>,
    ) -> T {
        let mut count = self.log.count.subscribe();
        let mut exit = self.exit.clone();
        let search = async {
            loop {
                count.borrow_and_update();
                if let Some(found) = self.log.find(from, &mut find) {
                    return Some(found);
                }
                tokio::select! {
                    changed = count.changed() => changed.expect("the log exists as long as the process"),
                    _ = exit.wait_for(Option::is_some) => {
                        // The last lines may still be in the pipes.
                        while timeout(Duration::from_millis(500), count.changed()).await.is_ok_and(|more| more.is_ok()) {
                            if let Some(found) = self.log.find(from, &mut find) {
                                return Some(found);
                            }
                        }
                        return self.log.find(from, &mut find);
                    }
                }
            }
        };
        match timeout(deadline, search).await {
            Ok(Some(found)) => found,
            Ok(None) => panic!("{} ended without: {what}", self.name),
            Err(_) => panic!("{} did not print within {deadline:?}: {what}", self.name),
        }
    }

    /// Writes one line to its standard input.
    pub fn write_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open until the process is stopped");
        let written = stdin.write_all(line.as_bytes()).and_then(|()| stdin.write_all(b"\n"));
        if let Err(error) = written.and_then(|()| stdin.flush()) {
            panic!("{} does not listen any more: {error}", self.name);
        }
    }

    /// Sends a signal unless the process has ended.
    pub fn signal(&self, signal: libc::c_int) {
        if self.exit.borrow().is_none() {
            // SAFETY: kill takes two integers. The thread that reaps this child has not reported its end, so the id still belongs
            // to the child.
            #[allow(unsafe_code)]
            unsafe {
                libc::kill(self.pid as libc::pid_t, signal);
            }
        }
    }

    /// Waits until the process exits, and returns its status.
    pub async fn exited(&mut self, deadline: Duration) -> ExitStatus {
        match timeout(deadline, self.exit.wait_for(Option::is_some)).await {
            Ok(Ok(status)) => status.expect("just seen"),
            Ok(Err(_)) => panic!("{}: its end was lost", self.name),
            Err(_) => panic!("{} did not end within {deadline:?}", self.name),
        }
    }

    /// Sends SIGTERM and waits until the process exits.
    pub async fn stop(mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.exited(LEAVE).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stdin = None;
        self.signal(libc::SIGTERM);
        if self.reaped.recv_timeout(LEAVE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{} does not exit on SIGTERM and is killed", self.name);
            self.signal(libc::SIGKILL);
            // Only the end of the process can follow.
            let _ended = self.reaped.recv();
        }
        if thread::panicking() {
            eprintln!("--- last output of {}:\n{}", self.name, self.log.tail(SHOWN));
        }
    }
}

/// Reads lines until the end of `pipe` on a thread of its own. `\r` ends a line too, because some peers redraw their lines.
fn keep(pipe: impl Read + Send + 'static, log: Arc<Log>) {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while pipe.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&bytes);
            for line in text.split(['\r', '\n']).filter(|line| !line.is_empty()) {
                log.push(line.to_owned());
            }
            bytes.clear();
        }
    });
}
