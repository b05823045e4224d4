//! CPUs of threads: pinning, and the time they ran.

#![allow(unsafe_code, reason = "sched_setaffinity is a syscall")]

use std::fs;

use anyhow::{Context, Result};

/// CPUs that this process may use.
pub(crate) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Pins the calling thread. A CPU that is not there leaves the thread where it is.
pub(crate) fn pin(cpu: usize) {
    if cpu >= count() {
        return;
    }
    // SAFETY: an all-zero set is valid, `cpu` was checked to be small, and the set outlives the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// Lets the calling thread and those it starts run before all others that did not ask for it.
pub(crate) fn run_before_others() -> Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: `parameters` outlives the call; 0 names the calling thread.
    let refused = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const parameters) } < 0;
    if refused { Err(std::io::Error::last_os_error().into()) } else { Ok(()) }
}

/// Nanoseconds on a CPU of this process's thread `name` (`/proc/self/task/*/schedstat`, first field).
pub(crate) fn run_time_ns(name: &str) -> Result<u64> {
    for task in fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        // A thread may end between listing and reading.
        let Ok(comm) = fs::read_to_string(path.join("comm")) else { continue };
        if comm.trim() == name {
            let text = fs::read_to_string(path.join("schedstat")).context("the kernel gives no schedstat")?;
            return text.split_whitespace().next().and_then(|field| field.parse().ok()).context("unknown schedstat");
        }
    }
    anyhow::bail!("no thread is named {name}")
}
