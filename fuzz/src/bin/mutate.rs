//! A program that gives mutated inputs to every reader, and counts panics, aborts, hangs and
//! memory.
//!
//! The inputs depend on seed, target and number alone. Each target runs in a process of its own. An
//! abort is noticed there, and the next input follows in a new process.

// A test tool: a failure to set something up ends it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use peak_alloc::PeakAlloc;
use phys_instruct_fuzz::{TARGETS, Target};
use serde::{Deserialize, Serialize};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The largest number of bytes that reading may take beyond the file's own size.
const MOST_MEMORY: usize = 256 << 20;

/// The largest address space of a process, in KiB. An allocation beyond it fails and ends the
/// process as an abort, instead of taking the machine's memory.
const ADDRESS_SPACE: u64 = 8 << 20;

/// The longest time that one input may take.
const MOST_TIME: Duration = Duration::from_secs(10);

/// The exit code of a process whose input takes longer.
const HANGS: i32 = 124;

/// Number of aborts after which a target is given up.
const MOST_ABORTS: usize = 20;

/// Number of inputs that are kept of one kind of finding.
const KEPT: u64 = 3;

/// Gives mutated inputs to the readers; exit code 1 if one does what it must not
#[derive(Parser, Clone)]
struct Options {
    /// Inputs of each target
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// Seconds of each target at most
    #[arg(long)]
    seconds: Option<u64>,
    /// The seed of all inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Targets [default: all]
    #[arg(long = "target", value_name = "NAME")]
    targets: Vec<String>,
    /// The folder for the inputs that were found
    #[arg(long, default_value = "fuzz/artifacts")]
    keep: PathBuf,
    /// Write the seeds into a folder for each target, and do nothing else
    #[arg(long, value_name = "FOLDER")]
    corpus: Option<PathBuf>,
    /// Read this one file as the target's input, and do nothing else
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// The first input of a process that works for this program
    #[arg(long, hide = true)]
    first: Option<u64>,
}

/// The outcome of one target's inputs.
#[derive(Default, Serialize, Deserialize)]
struct Report {
    inputs: u64,
    accepted: u64,
    /// Findings by their description, with the number of each.
    findings: BTreeMap<String, u64>,
    peak: usize,
    longest_ms: f64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let chosen: Vec<&Target> = match options.targets.is_empty() {
        true => TARGETS.iter().collect(),
        false => options.targets.iter().map(|name| Target::named(name).unwrap()).collect(),
    };

    if let Some(folder) = &options.corpus {
        chosen.iter().for_each(|target| write_corpus(target, folder));
        return ExitCode::SUCCESS;
    }
    if let Some(file) = &options.replay {
        println!("{:?}", (chosen[0].read)(&std::fs::read(file).unwrap()));
        return ExitCode::SUCCESS;
    }
    if let Some(first) = options.first {
        work(chosen[0], &options, first);
        return ExitCode::SUCCESS;
    }

    println!("target      inputs  accepted  findings  peak MiB  longest ms");
    let mut any = false;
    for target in chosen {
        let report = attack(target, &options);
        println!(
            "{:10} {:>7}  {:>8}  {:>8}  {:>8.1}  {:>10.1}",
            target.name,
            report.inputs,
            report.accepted,
            report.findings.values().sum::<u64>(),
            report.peak as f64 / f64::from(1 << 20),
            report.longest_ms
        );

        for (finding, count) in &report.findings {
            println!("  {count} x {finding}");
        }
        any |= !report.findings.is_empty();
    }
    ExitCode::from(u8::from(any))
}

fn write_corpus(target: &Target, folder: &Path) {
    let folder = folder.join(target.name);
    std::fs::create_dir_all(&folder).unwrap();
    for (i, seed) in (target.seeds)().iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{i}")), seed).unwrap();
    }
}

/// Runs a target's inputs in processes, with a new process after each that died.
fn attack(target: &Target, options: &Options) -> Report {
    let scratch = scratch();
    let mut all = Report::default();
    let (mut first, mut aborts) = (0, 0);
    loop {
        let output = worker(target, options, scratch.path(), first).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let report = std::fs::read(scratch.path().join("report")).unwrap_or_default();
        let report: Report = serde_json::from_slice(&report)
            .unwrap_or_else(|_| panic!("{}: no input was read: {stderr}", target.name));

        let code = output.status.code();
        first += report.inputs;
        add(&mut all, report);
        // The exit code is 0 only after the last input.
        if code == Some(0) || aborts == MOST_ABORTS {
            return all;
        }

        // The input that was being read follows those that were counted.
        let input = target.input(&(target.seeds)(), options.seed, first);
        let said = stderr.lines().last().unwrap_or_default();
        let finding = match code {
            Some(HANGS) => format!("hang: more than {} s", MOST_TIME.as_secs()),
            _ => format!("abort ({}): {said}", output.status),
        };

        keep(options, target, first, &input);
        *all.findings.entry(finding).or_default() += 1;
        all.inputs += 1;
        (first, aborts) = (first + 1, aborts + 1);
    }
}

/// Adds the report of a process to that of the target.
fn add(all: &mut Report, more: Report) {
    all.inputs += more.inputs;
    all.accepted += more.accepted;
    all.peak = all.peak.max(more.peak);
    all.longest_ms = all.longest_ms.max(more.longest_ms);
    for (finding, count) in more.findings {
        *all.findings.entry(finding).or_default() += count;
    }
}

/// Returns a folder that is deleted with the value. It is in memory where the system has such a
/// place.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

fn worker(target: &Target, options: &Options, scratch: &Path, first: u64) -> Command {
    let limited = format!("ulimit -v {ADDRESS_SPACE}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &limited]).arg(std::env::current_exe().unwrap());
    command.args(["--target", target.name, "--first", &first.to_string()]);
    command.args(["--seed", &options.seed.to_string(), "--count", &options.count.to_string()]);
    if let Some(seconds) = options.seconds {
        command.args(["--seconds", &seconds.to_string()]);
    }
    command.arg("--keep").arg(&options.keep).env("TMPDIR", scratch);
    command
}

fn keep(options: &Options, target: &Target, index: u64, input: &[u8]) {
    std::fs::create_dir_all(&options.keep).unwrap();
    let name = format!("{}-{}-{index}", target.name, options.seed);
    std::fs::write(options.keep.join(name), input).unwrap();
}

/// The time at which the current input began, in milliseconds of the process; 0 between inputs.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// The message and the place of the last panic.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Reads the inputs from number `first` on. The report is written before each of them.
fn work(target: &Target, options: &Options, first: u64) {
    let clock = Instant::now();
    watch(clock);
    let mut file = std::fs::File::create(std::env::temp_dir().join("report")).unwrap();
    let mut report = Report::default();
    let seeds = (target.seeds)();
    if first == 0 {
        check_seeds(target, &seeds, &mut report);
    }

    std::panic::set_hook(Box::new(|news| {
        *PANIC.lock().unwrap() = news.to_string().replace('\n', " ");
    }));

    for index in first..options.count {
        save(&mut file, &report);
        if options.seconds.is_some_and(|seconds| clock.elapsed().as_secs() >= seconds) {
            break;
        }

        let input = target.input(&seeds, options.seed, index);
        BEGUN.store(1 + clock.elapsed().as_millis() as u64, Ordering::Relaxed);
        let found = measure(target, &input, &mut report);
        BEGUN.store(0, Ordering::Relaxed);

        report.inputs += 1;
        if let Some(finding) = found {
            let count = report.findings.entry(finding).or_default();
            *count += 1;
            if *count <= KEPT {
                keep(options, target, index, &input);
            }
        }
    }
    save(&mut file, &report);
}

/// Reports refused seeds: such a seed would test nothing but the refusal.
fn check_seeds(target: &Target, seeds: &[Vec<u8>], report: &mut Report) {
    for (i, seed) in seeds.iter().enumerate() {
        if let Err(reason) = (target.read)(seed) {
            *report.findings.entry(format!("seed {i} is refused: {reason}")).or_default() += 1;
        }
    }
}

/// Overwrites the former report. Blanks make all reports equally long.
fn save(file: &mut std::fs::File, report: &Report) {
    let text = serde_json::to_string(report).unwrap();
    file.rewind().unwrap();
    file.write_all(format!("{text:4000}").as_bytes()).unwrap();
}

/// Ends the process when an input takes too long.
fn watch(clock: Instant) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let begun = BEGUN.load(Ordering::Relaxed);
            let now = clock.elapsed().as_millis() as u64;
            if begun > 0 && now > begun + MOST_TIME.as_millis() as u64 {
                std::process::exit(HANGS);
            }
        }
    });
}

/// Reads one input. Returns a description if it is a finding.
fn measure(target: &Target, input: &[u8], report: &mut Report) -> Option<String> {
    MEMORY.reset_peak_usage();
    let (before, begun) = (MEMORY.current_usage(), Instant::now());
    let answer = std::panic::catch_unwind(|| (target.read)(input));
    report.longest_ms = report.longest_ms.max(1e3 * begun.elapsed().as_secs_f64());
    let peak = MEMORY.peak_usage().saturating_sub(before + input.len());
    report.peak = report.peak.max(peak);

    match answer {
        Err(_) => return Some(format!("panic: {}", PANIC.lock().unwrap())),
        Ok(Ok(())) => report.accepted += 1,
        Ok(Err(_)) => {}
    }
    (peak > MOST_MEMORY).then(|| format!("memory: more than {} MiB", MOST_MEMORY >> 20))
}
