//! The library's work between two moments of the interpreter: without its lock, ended by Ctrl-C.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use phys_instruct::{Error, Result};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;

use crate::failure::{of, raise};

/// The time between two looks at Ctrl-C, and between two reports of progress.
const LOOK: Duration = Duration::from_millis(50);
/// The stack of a thread that answers, which is that of a main thread.
const STACK: usize = 8 << 20;

/// The process in which the library worked first; 0 before that.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// Refuses a process that was forked after the library had worked. Its threads stayed in the other
/// process, and work would wait for them for ever.
fn enter(py: Python<'_>) -> PyResult<()> {
    let own = process::id();
    match OWNER.compare_exchange(0, own, Ordering::Relaxed, Ordering::Relaxed) {
        Err(owner) if owner != own => Err(raise(
            py,
            "ForkError",
            "this process was forked from one in which phys_instruct had worked already, and lacks \
             its threads; start processes with multiprocessing.get_context(\"spawn\")",
        )),
        _ => Ok(()),
    }
}

/// Work that ended in a panic, as the message of an exception.
fn fault(py: Python<'_>, panic: &(dyn std::any::Any + Send)) -> PyErr {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    raise(
        py,
        "InternalError",
        &format!("a fault of phys_instruct itself, please report it: {text}"),
    )
}

/// A receiver of progress that ends the work at Ctrl-C.
pub struct Watcher<'a> {
    stop: &'a AtomicBool,
    /// A function of the finished parts, all parts, and what they are.
    progress: Option<Py<PyAny>>,
    last: Instant,
    raised: Option<PyErr>,
    /// True if the work leaves a checkpoint when it is stopped.
    pub resumes: bool,
}

impl Watcher<'_> {
    /// Reports progress and looks at Ctrl-C, if the last time is long enough ago.
    pub fn report(&mut self, done: u64, total: u64, what: &str) {
        if self.last.elapsed() < LOOK && done < total {
            return;
        }
        self.last = Instant::now();
        self.tell(done, total, what);
    }

    /// Reports whatever the time is.
    pub fn tell(&mut self, done: u64, total: u64, what: &str) {
        if self.raised.is_some() {
            return;
        }
        let seen = Python::attach(|py| {
            py.check_signals()?;
            let told = self.progress.as_ref().map(|f| f.call1(py, (done, total, what)));
            told.transpose().map(drop)
        });
        if let Err(error) = seen {
            self.stop.store(true, Ordering::Relaxed);
            self.raised = Some(error);
        }
    }
}

/// Runs work on this thread, which looks at Ctrl-C whenever it reports.
pub fn watched<T: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&mut Watcher, &AtomicBool) -> Result<T> + Send,
) -> PyResult<T> {
    enter(py)?;
    let stop = AtomicBool::new(false);
    let mut watcher =
        Watcher { stop: &stop, progress, last: Instant::now(), raised: None, resumes: false };
    let outcome = py.detach(|| catch_unwind(AssertUnwindSafe(|| work(&mut watcher, &stop))));

    let resumes = watcher.resumes;
    match (outcome, watcher.raised) {
        (Ok(Ok(value)), None) => Ok(value),
        // The words of a training say that the same call goes on.
        (Ok(Err(error @ Error::Interrupted)), Some(raised))
            if resumes && raised.is_instance_of::<PyKeyboardInterrupt>(py) =>
        {
            Err(of(py, &error))
        }
        (Err(panic), _) => Err(fault(py, panic.as_ref())),
        (Ok(_), Some(raised)) => Err(raised),
        (Ok(Err(error)), None) => Err(of(py, &error)),
    }
}

/// Runs work that cannot be stopped on another thread. Ctrl-C leaves it to end by itself, and its
/// result is lost.
pub fn aside<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> PyResult<T> {
    waited(py, None, "", work)
}

/// [`aside`], which tells `progress` at every look that `what` goes on: 0 of 1 parts.
pub fn waited<T: Send + 'static>(
    py: Python<'_>,
    progress: Option<&Py<PyAny>>,
    what: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> PyResult<T> {
    enter(py)?;
    let (sender, receiver) = channel();
    let receiver = Mutex::new(receiver);
    let run = move || {
        // Nobody listens any more after Ctrl-C.
        let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
    };
    let started = thread::Builder::new().name("phys_instruct".into()).stack_size(STACK).spawn(run);
    started.map_err(|error| raise(py, "BackendError", &format!("no thread: {error}")))?;

    loop {
        let received = py.detach(|| {
            let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
            receiver.recv_timeout(LOOK)
        });
        match received {
            Ok(Ok(Ok(value))) => return Ok(value),
            Ok(Ok(Err(error))) => return Err(of(py, &error)),
            Ok(Err(panic)) => return Err(fault(py, panic.as_ref())),
            Err(RecvTimeoutError::Timeout) => {
                py.check_signals()?;
                progress.map(|told| told.call1(py, (0, 1, what))).transpose()?;
            }
            Err(RecvTimeoutError::Disconnected) => return Err(fault(py, &"the thread is gone")),
        }
    }
}
