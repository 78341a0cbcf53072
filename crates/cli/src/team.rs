//! The processes that `mpirun` starts for one training or one answer (the feature `mpi`).

use phys_instruct::Error;
use phys_instruct::team::Team;

use crate::failure::{Failure, Outcome};

/// Ends the connection if the work of all processes ends as that of this one does: it is done,
/// interrupted or given up. After any other failure the engine that started them ends the others.
pub fn leave(team: &Team, outcome: Outcome) -> Outcome {
    // A check fails once the work is done, and the leading process alone tells it.
    if matches!(
        outcome,
        Ok(()) | Err(Failure::Check(_) | Failure::Library(Error::Interrupted | Error::Diverged(_)))
    ) {
        team.end();
    }
    outcome
}

/// The number of processes among which an MPI library says that this one was started.
fn started() -> usize {
    // Open MPI, and MPICH with its relatives.
    let sizes = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"].map(|name| std::env::var(name).ok());
    let count = sizes.into_iter().flatten().find_map(|size| size.parse().ok());
    count.unwrap_or(1)
}

/// Refuses to be one of several processes.
///
/// # Errors
/// Fails where an MPI library has started more than one.
pub fn refuse_many() -> Outcome {
    match started() {
        1 => Ok(()),
        n => Err(Failure::Usage(format!(
            "one of {n} processes of mpirun, each of which would do the same: train, distill and a \
             single answer of solve are shared, generate, solve and bench have --part, as in \
             `mpirun -n {n} deploy/part ...`; without OMPI_COMM_WORLD_SIZE and PMI_SIZE in its \
             environment this one runs alone"
        ))),
    }
}

/// The processes among which this one was started.
///
/// # Errors
/// Fails if this is one of several processes of `mpirun`, but the program was built without MPI.
#[cfg(not(feature = "mpi"))]
pub fn of_process() -> Result<Team, Failure> {
    match started() {
        1 => Ok(Team::ALONE),
        n => Err(Failure::Usage(format!(
            "one of {n} processes of mpirun, but this program was built without MPI: build it \
             with `--features mpi`"
        ))),
    }
}

#[cfg(feature = "mpi")]
pub use self::engine::of_process;

#[cfg(feature = "mpi")]
mod engine {
    use std::ops::Add;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};
    use std::thread::JoinHandle;

    use ::mpi::Threading;
    use ::mpi::point_to_point::send_receive_into;
    use ::mpi::topology::SimpleCommunicator;
    use ::mpi::traits::{Communicator, Equivalence, Root};
    use phys_instruct::store::dataset::file_hash;
    use phys_instruct::team::{Ranks, Team};
    use phys_instruct::{Error, Result};

    use crate::failure::Failure;
    use crate::output::{Told, tell_at_most};

    /// The processes among which this one was started, all of the same program.
    ///
    /// # Errors
    /// Fails if MPI cannot be set up, and if a process runs another program.
    pub fn of_process() -> std::result::Result<Team, Failure> {
        let team = Team::new(Arc::new(Connection::open()?));
        let program = std::env::current_exe();
        let program = program.map_err(|e| Failure::Usage(format!("this program's file: {e}")))?;
        team.agree("program", &file_hash(&program)?)?;
        if !team.leads() {
            tell_at_most(Told::Nothing);
        }
        Ok(team)
    }

    /// An exchange with all other processes, and where its result goes.
    enum Request {
        Sum(Vec<f32>, Sender<Vec<f32>>),
        SumF64(Vec<f64>, Sender<Vec<f64>>),
        Broadcast(Vec<u8>, Sender<Vec<u8>>),
        End(Sender<()>),
    }

    /// The connection, held by a thread of its own: MPI is begun, used and ended by one thread,
    /// whichever thread asks.
    struct Connection {
        rank: usize,
        count: usize,
        requests: Option<Mutex<Sender<Request>>>,
        thread: Option<JoinHandle<()>>,
    }

    impl Connection {
        fn open() -> Result<Self> {
            let (requests, inbox) = channel();
            let (ready, started) = channel();
            let thread = std::thread::spawn(move || {
                let Some((universe, _)) = ::mpi::initialize_with_threading(Threading::Funneled)
                else {
                    return;
                };
                let world = universe.world();
                // The other side has gone if this fails, and then nothing is asked.
                let _ = ready.send((world.rank() as usize, world.size() as usize));
                if !serve(&world, &inbox) {
                    // A process that failed must not wait for the others, as the end of MPI would.
                    std::mem::forget(universe);
                }
            });

            let (rank, count) = started.recv().map_err(|_| failed())?;
            let requests = Some(Mutex::new(requests));
            Ok(Self { rank, count, requests, thread: Some(thread) })
        }

        /// Asks the thread and waits for its answer.
        fn ask<T>(&self, request: impl FnOnce(Sender<T>) -> Request) -> Result<T> {
            let (reply, answer) = channel();
            let requests = self.requests.as_ref().and_then(|requests| requests.lock().ok());
            requests.ok_or_else(failed)?.send(request(reply)).map_err(|_| failed())?;
            answer.recv().map_err(|_| failed())
        }
    }

    impl Ranks for Connection {
        fn rank(&self) -> usize {
            self.rank
        }

        fn count(&self) -> usize {
            self.count
        }

        fn sum(&self, values: Vec<f32>) -> Result<Vec<f32>> {
            self.ask(|reply| Request::Sum(values, reply))
        }

        fn sum_f64(&self, values: Vec<f64>) -> Result<Vec<f64>> {
            self.ask(|reply| Request::SumF64(values, reply))
        }

        fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
            self.ask(|reply| Request::Broadcast(bytes, reply))
        }

        fn end(&self) {
            // A thread that has ended has nothing more to end.
            let _ = self.ask(Request::End);
        }
    }

    impl Drop for Connection {
        /// Waits for the thread, which has no more requests.
        fn drop(&mut self) {
            self.requests = None;
            let _ = self.thread.take().map(JoinHandle::join);
        }
    }

    fn failed() -> Error {
        Error::Request("the connection between the processes of mpirun is broken".into())
    }

    /// Carries out requests until nobody can ask any more; tells whether the end was asked for.
    fn serve(world: &SimpleCommunicator, inbox: &Receiver<Request>) -> bool {
        for request in inbox {
            // A reply that nobody waits for is no fault.
            let _ = match request {
                Request::Sum(values, reply) => reply.send(summed(world, values)).is_ok(),
                Request::SumF64(values, reply) => reply.send(summed(world, values)).is_ok(),
                Request::Broadcast(bytes, reply) => reply.send(spread(world, bytes)).is_ok(),
                Request::End(reply) => return reply.send(()).is_ok(),
            };
        }
        false
    }

    /// The sums over all processes, by recursive doubling: in round k each adds the values of the
    /// process whose number differs in bit k. The pairs form one tree, whatever the library does
    /// inside, and both of a pair add the same two numbers, so that all receive the same bits.
    fn summed<T>(world: &SimpleCommunicator, mut values: Vec<T>) -> Vec<T>
    where
        T: Equivalence + Add<Output = T> + Copy + Default,
    {
        let (rank, count) = (world.rank(), world.size());
        // The largest power of two; the processes beyond it add to a partner first, and take the
        // whole sum from it.
        let even = 1 << (i32::BITS - 1 - count.leading_zeros());
        let mut theirs = vec![T::default(); values.len()];

        if rank >= even {
            let partner = world.process_at_rank(rank - even);
            send_receive_into(&values[..], &partner, &mut theirs[..], &partner);
            send_receive_into(&values[..], &partner, &mut theirs[..], &partner);
            return theirs;
        }
        if rank + even < count {
            let partner = world.process_at_rank(rank + even);
            send_receive_into(&values[..], &partner, &mut theirs[..], &partner);
            add(&mut values, &theirs);
        }

        let mut bit = 1;
        while bit < even {
            let partner = world.process_at_rank(rank ^ bit);
            send_receive_into(&values[..], &partner, &mut theirs[..], &partner);
            add(&mut values, &theirs);
            bit <<= 1;
        }
        if rank + even < count {
            let partner = world.process_at_rank(rank + even);
            send_receive_into(&values[..], &partner, &mut theirs[..], &partner);
        }
        values
    }

    fn add<T: Add<Output = T> + Copy>(values: &mut [T], more: &[T]) {
        values.iter_mut().zip(more).for_each(|(value, more)| *value = *value + *more);
    }

    /// The bytes of process 0.
    fn spread(world: &SimpleCommunicator, mut bytes: Vec<u8>) -> Vec<u8> {
        let first = world.process_at_rank(0);
        let mut length = bytes.len() as u64;
        first.broadcast_into(&mut length);
        bytes.resize(length as usize, 0);
        first.broadcast_into(&mut bytes[..]);
        bytes
    }
}
