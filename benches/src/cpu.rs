//! What a process costs: the time its threads ran, and the memory it holds. And where threads run.

#![allow(unsafe_code, reason = "scheduling calls are syscalls")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};

/// CPUs that this process may use.
pub(crate) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Pins the calling thread and those it starts. A CPU that is not there leaves the thread where it is.
pub(crate) fn pin(cpu: usize) {
    if cpu >= libc::CPU_SETSIZE as usize {
        return;
    }
    // SAFETY: an all-zero set is valid, `cpu` was checked to be in it, and the set outlives the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// Pins all threads of a process, and those they start later; `realtime`: they run before all others that did not ask for it.
pub(crate) fn place(pid: u32, cpu: usize, realtime: bool) -> Result<()> {
    ensure!(cpu < libc::CPU_SETSIZE as usize, "there is no CPU {cpu}");
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let name = task?.file_name();
        let thread: libc::pid_t = name.to_str().context("a thread without a number")?.parse()?;
        let parameters = libc::sched_param { sched_priority: 1 };
        // SAFETY: an all-zero set is valid, `cpu` was checked to be in it; set and parameters outlive the calls. A thread that has
        // ended meanwhile is refused, and another one is not placed in its stead: numbers are not used again so soon.
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

/// Lets the calling thread, and the threads and processes it starts, run before all others that did not ask for it.
pub(crate) fn run_before_others() -> Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: `parameters` outlives the call; 0 names the calling thread.
    let refused = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const parameters) } < 0;
    if refused { Err(std::io::Error::last_os_error().into()) } else { Ok(()) }
}

/// Whether this process may run before others.
pub(crate) fn may_run_before_others() -> bool {
    // A thread of its own: the caller's scheduling stays as it is.
    std::thread::spawn(run_before_others).join().is_ok_and(|tried| tried.is_ok())
}

/// Nanoseconds that the calling thread ran.
pub(crate) fn own_run_time_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Asks a process to end.
pub(crate) fn terminate(pid: u32) {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return };
    // SAFETY: no memory is involved; a process that has ended is not waited for yet, so its number is not another's.
    unsafe { libc::kill(pid, libc::SIGTERM) };
}

/// Reads how long all threads of a process ran: the sum of the first fields of `/proc/PID/task/*/schedstat`.
pub(crate) struct RunTime {
    threads: Vec<File>,
}

impl RunTime {
    /// Opens the files of the threads that there are now, so that a reading costs some microseconds only.
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

    /// The same for a process and its children.
    pub(crate) fn of_family(pid: u32) -> Result<RunTime> {
        let mut family = RunTime::of(pid)?;
        for entry in fs::read_dir("/proc")? {
            let Some(child) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // The parent is the second field behind the name, which may hold anything. Others may end meanwhile.
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            let parent = stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().nth(1)?.parse().ok());
            if parent == Some(pid) {
                family.threads.extend(RunTime::of(child)?.threads);
            }
        }
        Ok(family)
    }

    /// Nanoseconds since the threads began.
    pub(crate) fn read_ns(&self) -> Result<u64> {
        let mut sum = 0;
        for thread in &self.threads {
            let mut bytes = [0; 96];
            // A thread that ended is read as an error: what it ran is lost, and nothing here ends threads.
            let Ok(length) = thread.read_at(&mut bytes, 0) else { continue };
            let text = std::str::from_utf8(&bytes[..length])?;
            let field = text.split_whitespace().next().context("the kernel gives no schedstat")?;
            sum += field.parse::<u64>().context("unknown schedstat")?;
        }
        Ok(sum)
    }
}

/// Resident memory of a process in kB.
pub(crate) fn resident_kb(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the kernel tells no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
