//! A folder to run the command in, and the comparison with what it should print.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A training of a second or less.
pub const TINY: &str = "pde = 'poisson'
grid = 8
seed = 3
[data]
count = 64
validation = 16
[net]
width = 8
multipliers = [1]
blocks = 1
[train]
batch = 8
steps = 20
warmup = 2
log_every = 5
[distill]
batch = 8
levels = [5.0, 1.0]
log_every = 2
evaluate_every = 5
[[distill.phase]]
kind = 'matching'
steps = 10
warmup = 10
";

/// The phases after matching: a calibration, an anchored phase, another calibration.
pub const PHASES: &str = "[[distill.phase]]
kind = 'calibrate'
[[distill.phase]]
kind = 'anchored'
steps = 5
[[distill.phase]]
kind = 'calibrate'
channels = 'solution'
";

pub struct Sandbox {
    folder: tempfile::TempDir,
}

/// The exit code and the output of one run.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    line: String,
}

impl Sandbox {
    /// A folder with `tiny.toml` in it.
    pub fn new() -> Self {
        let sandbox = Self { folder: tempfile::tempdir().unwrap() };
        sandbox.write("tiny.toml", TINY.as_bytes());
        sandbox
    }

    /// A folder with a teacher and a student too.
    pub fn with_models() -> Self {
        let sandbox = Self::new();
        sandbox.good("train tiny.toml --out teacher");
        sandbox.good("distill tiny.toml --teacher teacher --out student");
        sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// The command with its words, separated by blanks.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_phys-instruct"));
        command
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env("PHYS_INSTRUCT_MODELS", self.path("models"))
            .env("PHYS_INSTRUCT_CACHE", self.path("cache"))
            .env("RAYON_NUM_THREADS", "2")
            .env("NO_COLOR", "1");
        command
    }

    pub fn run(&self, line: &str) -> Run {
        Run::of(self.command(line).output().unwrap(), line)
    }

    /// A run that must succeed.
    pub fn good(&self, line: &str) -> Run {
        let run = self.run(line);
        assert_eq!(run.code, Some(0), "{line}\n{}", run.stderr);
        run
    }

    /// A run that must be refused, with a word of the reason.
    pub fn refuses(&self, line: &str, reason: &str) {
        let run = self.run(line);
        assert_eq!(run.code, Some(2), "{line}");
        assert!(run.stderr.contains(reason), "{line}: {}", run.stderr);
    }

    /// The JSON of a run that must succeed.
    pub fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.good(&format!("{line} --json")).stdout).unwrap()
    }
}

impl Run {
    /// The run of a command with the words `line`, from its `output`.
    pub fn of(output: Output, line: &str) -> Self {
        let Output { status, stdout, stderr } = output;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let line = line.to_owned();
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr), line }
    }

    /// The whole run as text.
    fn transcript(&self) -> String {
        let code = self.code.map_or("signal".into(), |code| code.to_string());
        let mut text = format!("$ phys-instruct {}\n[exit code {code}]\n", self.line);
        for (name, stream) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !stream.is_empty() {
                text += &format!("[{name}]\n{}\n", stream.trim_end());
            }
        }
        without_folders(&without_checksums(&text))
    }

    /// Compares exit code and both streams with the snapshot.
    pub fn matches(&self, name: &str) {
        compare(name, &self.transcript());
    }

    /// Compares as [`Run::matches`] does, measured numbers and times blotted out: they depend on
    /// the processor.
    pub fn matches_but_for_numbers(&self, name: &str) {
        let lines = self.transcript();
        compare(name, &lines.lines().map(|line| blot(line) + "\n").collect::<String>());
    }
}

/// The text with every SHA-256 blotted out: trained weights depend on the processor.
fn without_checksums(text: &str) -> String {
    let is_checksum = |word: &&str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(is_checksum).fold(text.to_owned(), |text, sum| text.replace(sum, "[checksum]"))
}

/// The text with the names of temporary folders blotted out.
fn without_folders(text: &str) -> String {
    let start = std::env::temp_dir().join(".tmp");
    let mut pieces = text.split(start.to_str().unwrap());
    let first = pieces.next().unwrap_or_default().to_owned();
    let rest =
        |piece: &str| piece.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).to_owned();
    pieces.fold(first, |text, piece| text + "[folder]" + &rest(piece))
}

/// Several runs in one snapshot.
pub fn all_match(name: &str, runs: &[Run]) {
    let parts: Vec<String> = runs.iter().map(Run::transcript).collect();
    compare(name, &parts.join("\n"));
}

fn compare(name: &str, found: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let path = folder.join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let first = (1..).zip(found.lines().zip(expected.lines())).find(|(_, (a, b))| a != b);
    let (ours, theirs) = (found.lines().count(), expected.lines().count());
    assert!(
        found == expected,
        "the snapshot {name} differs; if the new output is right, UPDATE_SNAPSHOTS=1 writes it. \
         First difference (line, (found, expected)): {first:#?}; {ours} lines against {theirs}"
    );
}

/// `line` without its fractional numbers; a line of times keeps its name alone.
fn blot(line: &str) -> String {
    if line.starts_with("time") {
        return "time [#]".into();
    }
    let part = |c: char| c.is_ascii_digit() || c == '.';
    let (mut out, mut rest) = (String::new(), line);
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let end = rest[start..].find(|c| !part(c)).map_or(rest.len(), |n| start + n);
        let token = &rest[start..end];
        out += rest[..start].trim_end_matches('-');
        rest = &rest[end..];
        if let Some(exponent) = rest.strip_prefix('e') {
            let digits = exponent.trim_start_matches('-');
            rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
            out += "[#]";
        } else if token.trim_end_matches('.').contains('.') {
            out += "[#]";
        } else {
            out += token;
        }
    }
    out + rest
}

#[test]
fn blotting_keeps_whole_numbers() {
    assert_eq!(blot("a -0.5 (data: 1.2e-7), 8 x 8, 3e5 x"), "a [#] (data: [#]), 8 x 8, [#] x");
    assert_eq!(blot("time per sample  3.2 us"), "time [#]");
}
