//! Cost of a process: run time of its threads and memory. Also the placement of threads on CPUs.

#![allow(unsafe_code, reason = "scheduling calls are syscalls")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};

/// Number of CPUs that this process may use.
pub(crate) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Pins the calling thread and its later children to a CPU. If the CPU does not exist, the thread is not pinned.
pub(crate) fn pin(cpu: usize) {
    if cpu >= libc::CPU_SETSIZE as usize {
        return;
    }
    // SAFETY: an all-zero set is valid, `cpu` was checked to be in range, and the set outlives the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// Pins all threads of a process, and those that they start later. With `realtime` they run before all threads without that
/// priority.
pub(crate) fn place(pid: u32, cpu: usize, realtime: bool) -> Result<()> {
    ensure!(cpu < libc::CPU_SETSIZE as usize, "CPU {cpu} does not exist");
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let name = task?.file_name();
        let thread: libc::pid_t = name.to_str().context("a thread without a number")?.parse()?;
        let parameters = libc::sched_param { sched_priority: 1 };
        // SAFETY: an all-zero set is valid, `cpu` was checked to be in range; set and parameters outlive the calls. A thread that
        // has ended meanwhile is refused, and no other one is placed instead: thread ids are not reused that soon.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(cpu, &mut set);
            libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &raw const set);
            if realtime {
                libc::sched_setscheduler(thread, libc::SCHED_RR, &raw const parameters);
            }
        }
    }
    Ok(())
}

/// Gives the calling thread, and the threads and processes that it starts, priority over all that did not request it.
pub(crate) fn run_before_others() -> Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: `parameters` outlives the call; 0 means the calling thread.
    let refused = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const parameters) } < 0;
    if refused { Err(std::io::Error::last_os_error().into()) } else { Ok(()) }
}

/// Returns whether the system permits this process real-time priority.
pub(crate) fn may_run_before_others() -> bool {
    // A separate thread, so that the caller's scheduling does not change.
    std::thread::spawn(run_before_others).join().is_ok_and(|tried| tried.is_ok())
}

/// Nanoseconds for which the calling thread has run.
pub(crate) fn own_run_time_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sends SIGTERM to a process.
pub(crate) fn terminate(pid: u32) {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return };
    // SAFETY: no memory is involved; a process that has ended is not reaped yet, so its id is not reused.
    unsafe { libc::kill(pid, libc::SIGTERM) };
}

/// Reader of the run time of a process's threads: the sum of the first fields of `/proc/PID/task/*/schedstat`.
pub(crate) struct RunTime {
    threads: Vec<File>,
}

impl RunTime {
    /// Opens the files of the current threads, so that a reading takes only some microseconds.
    pub(crate) fn of(pid: u32) -> Result<RunTime> {
        let mut threads = Vec::new();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end between listing and opening.
            if let Ok(file) = File::open(task?.path().join("schedstat")) {
                threads.push(file);
            }
        }
        ensure!(!threads.is_empty(), "process {pid} has no threads");
        Ok(RunTime { threads })
    }

    /// Like [`RunTime::of`], for a process and its children.
    pub(crate) fn of_family(pid: u32) -> Result<RunTime> {
        let mut family = RunTime::of(pid)?;
        for entry in fs::read_dir("/proc")? {
            let Some(child) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // The parent is the second field after the name, which may contain any characters. Other processes may end meanwhile.
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            let parent = stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().nth(1)?.parse().ok());
            if parent == Some(pid) {
                family.threads.extend(RunTime::of(child)?.threads);
            }
        }
        Ok(family)
    }

    /// Run time in nanoseconds since the threads began.
    pub(crate) fn read_ns(&self) -> Result<u64> {
        let mut sum = 0;
        for thread in &self.threads {
            let mut bytes = [0; 96];
            // Reading an ended thread fails: its run time is lost. No thread ends during a measurement.
            let Ok(length) = thread.read_at(&mut bytes, 0) else { continue };
            let text = std::str::from_utf8(&bytes[..length])?;
            let field = text.split_whitespace().next().context("the kernel provides no schedstat")?;
            sum += field.parse::<u64>().context("unknown schedstat")?;
        }
        Ok(sum)
    }
}

/// Resident memory of a process in kB.
pub(crate) fn resident_kb(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the kernel reports no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
