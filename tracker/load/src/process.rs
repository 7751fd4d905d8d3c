//! Processor time and memory of a tracker's process, and starting one.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::time::{ClockId, clock_gettime};

/// A process that is watched, all its threads together.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    /// Ended with us if we started it.
    child: Option<Child>,
}

/// Processor time used between two moments, by the tracker and by the generator.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// The tracker's, to 10 ms; of all nodes, where there are several.
    pub tracker: Duration,
    /// The generator's.
    pub generator: Duration,
    /// How long it was.
    pub elapsed: Duration,
}

impl Process {
    /// Watches a process that runs already.
    ///
    /// # Errors
    /// When there is none of this number.
    pub fn watch(pid: i32) -> anyhow::Result<Self> {
        let process = Self { pid, child: None };
        process.cpu()?;
        Ok(process)
    }

    /// Starts a tracker and waits until it listens at `address`. Its standard output is dropped.
    ///
    /// # Errors
    /// When it cannot be started, ends, or does not listen in time.
    pub fn start<S: AsRef<OsStr>>(command: &[S], address: SocketAddr) -> anyhow::Result<Self> {
        let (program, arguments) = command.split_first().context("no program to start")?;
        let name = program.as_ref().display();
        // Or it would be measured in place of the one that is started.
        anyhow::ensure!(
            TcpStream::connect(address).is_err(),
            "something listens at {address} already"
        );
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut process = Self {
            pid: i32::try_from(child.id())?,
            child: Some(child),
        };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = process
                .child
                .as_mut()
                .and_then(|child| child.try_wait().ok()?)
            {
                anyhow::bail!("{name} ended ({status}) before it listened");
            }
            anyhow::ensure!(
                start.elapsed() < START_TIMEOUT,
                "{name} does not listen at {address} after {START_TIMEOUT:?}"
            );
            std::thread::sleep(POLL);
        }
        Ok(process)
    }

    /// Returns the processor time used so far, in steps of 10 ms.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = self.proc()?.stat()?;
        let ticks = (stat.utime + stat.stime) as f64;
        Ok(Duration::from_secs_f64(
            ticks / procfs::ticks_per_second() as f64,
        ))
    }

    /// Returns the resident memory in bytes.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn memory(&self) -> anyhow::Result<u64> {
        let kibibytes = self.proc()?.status()?.vmrss;
        Ok(kibibytes.context("the system does not tell")? * 1024)
    }

    /// Returns the most resident memory so far in bytes.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        let kibibytes = self.proc()?.status()?.vmhwm;
        Ok(kibibytes.context("the system does not tell")? * 1024)
    }

    /// Does something and returns what it cost.
    ///
    /// # Errors
    /// Its own, or when the process has ended.
    pub fn during<T>(&self, act: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Usage)> {
        during(std::slice::from_ref(self), act)
    }

    fn proc(&self) -> anyhow::Result<procfs::process::Process> {
        let gone = || format!("there is no process {} (any more)", self.pid);
        let process = procfs::process::Process::new(self.pid).with_context(gone)?;
        // One that we have started stays in the list until it is waited for.
        anyhow::ensure!(process.stat()?.state != 'Z', gone());
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Usage {
    /// Returns the tracker's processor time for one of `count` things, in microseconds.
    #[must_use]
    pub fn tracker_each(&self, count: u64) -> f64 {
        self.tracker.as_secs_f64() * 1e6 / count as f64
    }

    /// Returns the generator's processor time for one of `count` things, in microseconds.
    #[must_use]
    pub fn generator_each(&self, count: u64) -> f64 {
        self.generator.as_secs_f64() * 1e6 / count as f64
    }

    /// Returns how many cores the tracker had busy.
    #[must_use]
    pub fn tracker_cores(&self) -> f64 {
        self.tracker.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    /// Returns how many cores the generator had busy.
    #[must_use]
    pub fn generator_cores(&self) -> f64 {
        self.generator.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

/// Does something and returns what it cost several processes together.
///
/// # Errors
/// Its own, or when one of them has ended.
pub fn during<T>(
    trackers: &[Process],
    act: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, Usage)> {
    let cpu = || {
        let each = trackers.iter().map(Process::cpu);
        each.sum::<anyhow::Result<Duration>>()
    };
    let (tracker, generator, start) = (cpu()?, own_cpu(), Instant::now());
    let result = act()?;
    let usage = Usage {
        tracker: cpu()?.saturating_sub(tracker),
        generator: own_cpu().saturating_sub(generator),
        elapsed: start.elapsed(),
    };
    Ok((result, usage))
}

/// Finds an address on this machine that nobody listens at.
///
/// # Errors
/// When the system has none.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The processor time of this process.
fn own_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// How long a tracker may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How often it is asked meanwhile.
const POLL: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Process {
        Process::watch(i32::try_from(std::process::id()).unwrap()).unwrap()
    }

    #[test]
    fn work_costs_time_and_memory_is_held() {
        let process = own();
        let (sum, usage) = process
            .during(|| {
                let start = own_cpu();
                let mut sum = 0_u64;
                while own_cpu() < start + Duration::from_millis(50) {
                    sum = std::hint::black_box(sum + 1);
                }
                Ok(sum)
            })
            .unwrap();
        assert!(sum > 0);
        assert!(usage.generator >= Duration::from_millis(50));
        assert!(usage.tracker >= Duration::from_millis(30), "{usage:?}");
        assert!(process.memory().unwrap() <= process.peak_memory().unwrap());
    }

    #[test]
    fn nothing_is_measured_in_place_of_what_was_started() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let error = Process::start(&["sh", "-c", "exit"], address).unwrap_err();
        assert!(error.to_string().contains("already"), "{error}");

        let child = Command::new("true").spawn().unwrap();
        let ended = Process {
            pid: i32::try_from(child.id()).unwrap(),
            child: Some(child),
        };
        // It ends by itself; until it is waited for, the system lists it.
        while ended.cpu().is_ok() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_cannot_start_says_so() {
        let address = free_address().unwrap();
        let error = Process::start(&["/nowhere/tracker"], address).unwrap_err();
        assert_eq!(error.to_string(), "cannot start /nowhere/tracker");
        let error = Process::start(&["false"], address).unwrap_err();
        assert!(error.to_string().contains("before it listened"), "{error}");
    }
}
