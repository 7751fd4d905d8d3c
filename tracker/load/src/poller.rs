//! Waits until sockets are ready or a moment has come, to the microsecond.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::socket::Socket;

/// Waits for sockets, with a timer of its own: the time-outs of epoll are whole milliseconds.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    timer: OwnedFd,
    is_armed: bool,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let data = epoll::EventData::new_u64(u64::MAX);
        epoll::add(&epoll, &timer, data, epoll::EventFlags::IN)?;
        Ok(Self {
            epoll,
            timer,
            is_armed: false,
        })
    }

    /// Reports when a socket can be read, under the number `at`.
    pub(crate) fn add(&self, socket: &Socket, at: usize) -> io::Result<()> {
        let data = epoll::EventData::new_u64(at as u64);
        Ok(epoll::add(&self.epoll, socket, data, READABLE)?)
    }

    /// Asks to be told, or no longer, when a socket can be written to.
    pub(crate) fn ask(&self, socket: &Socket, index: u32, writable: bool) -> io::Result<()> {
        let mut flags = READABLE;
        flags.set(epoll::EventFlags::OUT, writable);
        let data = epoll::EventData::new_u64(u64::from(index));
        Ok(epoll::modify(&self.epoll, socket, data, flags)?)
    }

    /// Adds what is ready to `events`, as soon as something is or `timeout` is over.
    pub(crate) fn wait(
        &mut self,
        events: &mut Vec<epoll::Event>,
        timeout: Duration,
    ) -> io::Result<()> {
        let is_short = timeout < SHORT;
        if !is_short {
            self.set(timeout)?;
        } else if self.is_armed {
            self.set(Duration::ZERO)?;
        }
        let no_wait = Timespec::default();
        let buffer = rustix::buffer::spare_capacity(events);
        match epoll::wait(&self.epoll, buffer, is_short.then_some(&no_wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets the timer, which also makes it unreadable; zero stops it.
    fn set(&mut self, timeout: Duration) -> io::Result<()> {
        let value = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec::try_from(timeout).map_err(io::Error::other)?,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value)?;
        self.is_armed = !timeout.is_zero();
        Ok(())
    }
}

/// What ends a wait for a socket to be read.
pub(crate) const READABLE: epoll::EventFlags = epoll::EventFlags::IN
    .union(epoll::EventFlags::ERR)
    .union(epoll::EventFlags::HUP);

/// Waits shorter than this are not worth a timer.
const SHORT: Duration = Duration::from_micros(10);
