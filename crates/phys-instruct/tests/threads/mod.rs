//! A team of threads in one process, each with a pool of its own, for tests of what several
//! processes do together.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use phys_instruct::Result;
use phys_instruct::team::{Ranks, Team};

/// The time after which a thread that waits for the others takes them for lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// The values that the threads exchange, one slot each.
struct Table {
    count: usize,
    /// The threads that wait, and the number of meetings so far.
    waiting: Mutex<(usize, u64)>,
    met: Condvar,
    sums: Mutex<Vec<Vec<f64>>>,
    bytes: Mutex<Vec<u8>>,
}

impl Table {
    /// Returns once all threads have come here.
    fn meet(&self) {
        let mut waiting = self.waiting.lock().unwrap();
        waiting.0 += 1;
        if waiting.0 == self.count {
            *waiting = (0, waiting.1 + 1);
            self.met.notify_all();
            return;
        }
        let meeting = waiting.1;
        let (_held, timeout) =
            self.met.wait_timeout_while(waiting, PATIENCE, |now| now.1 == meeting).unwrap();
        assert!(!timeout.timed_out(), "a thread of the team did not come");
    }
}

/// One of the threads.
struct Thread {
    rank: usize,
    table: Arc<Table>,
}

/// Runs `work` in `count` threads that are a team; returns their results in order.
pub fn together<T: Send>(count: usize, work: impl Fn(Team) -> T + Sync) -> Vec<T> {
    let table = Arc::new(Table {
        count,
        waiting: Mutex::new((0, 0)),
        met: Condvar::new(),
        sums: Mutex::new(vec![Vec::new(); count]),
        bytes: Mutex::new(Vec::new()),
    });

    std::thread::scope(|scope| {
        let work = &work;
        let start = |rank| {
            let team = Team::new(Arc::new(Thread { rank, table: table.clone() }));
            // A thread that waits for another must not wait in a pool that the other needs.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            scope.spawn(move || pool.install(|| work(team)))
        };
        let all: Vec<_> = (0..count).map(start).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

impl Ranks for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.table.count
    }

    fn sum(&self, values: Vec<f32>) -> Result<Vec<f32>> {
        let wide = values.into_iter().map(f64::from).collect();
        Ok(self.sum_f64(wide)?.into_iter().map(|sum| sum as f32).collect())
    }

    fn sum_f64(&self, values: Vec<f64>) -> Result<Vec<f64>> {
        self.table.sums.lock().unwrap()[self.rank] = values;
        self.table.meet();
        let sums = {
            let all = self.table.sums.lock().unwrap();
            (0..all[0].len()).map(|i| all.iter().map(|own| own[i]).sum()).collect()
        };
        self.table.meet();
        Ok(sums)
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        if self.rank == 0 {
            *self.table.bytes.lock().unwrap() = bytes;
        }
        self.table.meet();
        let theirs = self.table.bytes.lock().unwrap().clone();
        self.table.meet();
        Ok(theirs)
    }
}
