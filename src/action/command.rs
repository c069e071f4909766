//! `command.run`: a program on this machine, in a process group of its own, without a shell.
//!
//! It gets a short list of environment variables and what the step gives it, never what else is in the
//! environment; no file of this process stays open in it. At its timeout, where it puts out too much, or
//! when the run is interrupted, its whole group is told to end (TERM), then made to (KILL); dropping the
//! future makes it end at once. In a rehearsal nothing is run: the rehearsal's world answers. What comes
//! back is free of secrets before it leaves this module.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::{World, fatal};
use crate::catalog::{CommandOutput, RunCommand};
use crate::connection::Access;
use crate::runbook::outputs;
use crate::schema::interval;
use crate::steps::Problem;
use crate::steps::command::{Ran, Sealed, line};
use crate::steps::notice::Notice;

/// Environment variables that every program gets.
const INHERITED: &[&str] = &[
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
];
/// How long it may run where the step does not say.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes of output where the step does not say.
const MOST: u64 = 1024 * 1024;
/// How long a program may go on after the run was interrupted, before it is told to end.
const GRACE: Duration = Duration::from_secs(5);
/// How long it may take to end, once it was told.
const ENDING: Duration = Duration::from_secs(5);
/// How long its output may stay open after it ended, by something that it left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(1);
/// Bytes of its complaints that are kept.
const COMPLAINTS: usize = 4 * 1024;
/// Bytes of its complaints that are looked through for secrets.
const COMPLAINTS_READ: usize = 64 * 1024;

/// What a rehearsal's world answers for a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Exit code.
    pub exit_code: i32,
    /// Output.
    pub stdout: String,
    /// Complaints.
    pub stderr: String,
    /// How long it takes.
    pub takes: Duration,
}

/// Whoever answers for programs in a rehearsal.
pub trait Answers: Send + Sync {
    /// The answer for this program, if there is one; each call is one run of it.
    fn answer(&self, argv: &[String]) -> Option<Answer>;
}

/// Who runs programs.
#[derive(Clone)]
pub struct Commands {
    kind: Kind,
    /// Programs that a rehearsal has no answer for.
    unanswered: Arc<Mutex<Vec<String>>>,
    /// What a rehearsal would have told, and whom.
    told: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
enum Kind {
    Here(Arc<watch::Sender<bool>>),
    Rehearsed(Arc<dyn Answers>),
}

impl Commands {
    /// This machine.
    pub fn here() -> Self {
        Self::with(Kind::Here(Arc::new(watch::channel(false).0)))
    }

    /// A rehearsal: nothing is run.
    pub fn rehearsed(answers: Arc<dyn Answers>) -> Self {
        Self::with(Kind::Rehearsed(answers))
    }

    fn with(kind: Kind) -> Self {
        Self {
            kind,
            unanswered: Arc::default(),
            told: Arc::default(),
        }
    }

    /// The run is interrupted: what runs has a grace.
    pub fn interrupt(&self) {
        if let Kind::Here(stop) = &self.kind {
            stop.send_replace(true);
        }
    }

    /// What a rehearsal would have told, in order: the event, and the program.
    pub fn told(&self) -> Vec<String> {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Programs that a rehearsal had no answer for.
    pub fn unanswered(&self) -> Vec<String> {
        self.unanswered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Tells a program how a run stands, within the program's own time. What went wrong with that, if anything did: no run
/// depends on it. In a rehearsal it is written down only.
pub async fn tell(world: &World, notice: &Notice) -> Option<String> {
    let sealed = &notice.sealed;
    if let Kind::Rehearsed(_) = &world.commands.kind {
        let mut told = world
            .commands
            .told
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        told.push(notice.line());
        return None;
    }
    // Nothing interrupts it but its own time, or the end of this future.
    let (_keep, never) = watch::channel(false);
    match here(sealed, never).await {
        Ok(ended) => ended.judged(sealed).problem.map(|problem| problem.message),
        Err(message) => Some(sealed.mask.text(&message)),
    }
}

/// Runs a program to its end, one way or another.
pub(super) async fn run(world: &World, sealed: &Sealed) -> Ran {
    let command = &sealed.command;
    let writes = command.effect.writes();
    if writes && world.temporal.connection().access() == Access::ReadOnly {
        return unstarted("a dry run runs no program that writes");
    }
    let ended = match &world.commands.kind {
        Kind::Here(stop) => here(sealed, stop.subscribe()).await,
        Kind::Rehearsed(answers) => rehearsed(world, answers.as_ref(), command).await,
    };
    match ended {
        Ok(ended) => ended.judged(sealed),
        Err(message) => unstarted(&sealed.mask.text(&message)),
    }
}

/// Certainly no process was started: why.
pub(super) fn unstarted(message: &str) -> Ran {
    Ran {
        problem: Some(fatal(message)),
        unstarted: true,
        ..Ran::default()
    }
}

async fn rehearsed(
    world: &World,
    answers: &dyn Answers,
    command: &RunCommand,
) -> Result<Ended, String> {
    let argv: Vec<String> = command.argv.iter().map(|word| word.0.clone()).collect();
    let Some(answer) = answers.answer(&argv) else {
        let line = line(command);
        let mut unanswered = world
            .commands
            .unanswered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        unanswered.push(line.clone());
        return Err(format!(
            "the rehearsal has no answer for `{line}`: add one to `world.commands`"
        ));
    };
    let limit = timeout(command);
    world.clock.sleep(answer.takes.min(limit)).await;
    let too_long = answer.takes > limit;
    Ok(Ended {
        how: match too_long {
            true => How::TimedOut,
            false => How::Exited(answer.exit_code),
        },
        too_much: answer.stdout.len() as u64 > most(command),
        stdout: answer.stdout.into_bytes(),
        stderr: Tail::of(answer.stderr.as_bytes()),
    })
}

fn timeout(command: &RunCommand) -> Duration {
    let given = command.timeout.as_deref().and_then(interval);
    given.unwrap_or(TIMEOUT)
}

fn most(command: &RunCommand) -> u64 {
    command.max_output.unwrap_or(MOST)
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Exited(i32),
    Signal(i32),
    TimedOut,
    Interrupted,
}

/// A program's end, with secrets still in it.
struct Ended {
    how: How,
    stdout: Vec<u8>,
    too_much: bool,
    stderr: Tail,
}

impl Ended {
    /// What it means for the step.
    fn judged(self, sealed: &Sealed) -> Ran {
        let (command, mask) = (&sealed.command, &sealed.mask);
        let mut complaints = self.stderr.text(sealed);
        if !matches!(self.how, How::Exited(_)) {
            mask.cut(&mut complaints);
        }
        let stdout = String::from_utf8_lossy(&self.stdout);
        let (problem, read) = match self.problem(command, &complaints) {
            Some(problem) => (Some(problem), None),
            None => match read(command, &stdout) {
                Ok(read) => (None, Some(read)),
                Err(message) => (Some(message), None),
            },
        };
        let mut output = Map::new();
        if let How::Exited(code) = self.how {
            output.insert("exit_code".to_owned(), Value::from(code));
        } else if let How::Signal(signal) = self.how {
            output.insert("exit_code".to_owned(), Value::from(128 + signal));
        }
        let (name, value) = read.unwrap_or_else(|| {
            // What it said before it failed helps to find out why. What was cut off may end in a part of
            // a secret.
            let whole = matches!(self.how, How::Exited(_)) && !self.too_much;
            let mut shown = if whole {
                mask.text(&stdout)
            } else {
                String::new()
            };
            shown.truncate(shown.floor_char_boundary(COMPLAINTS));
            ("stdout", Value::from(shown))
        });
        output.insert(name.to_owned(), mask.value(value));
        output.insert("stderr".to_owned(), Value::from(complaints));
        let retried = matches!(self.how, How::Exited(_) | How::Signal(_) | How::TimedOut);
        Ran {
            output,
            problem: problem.map(|message| Problem {
                message: mask.text(&message),
                transient: retried && !self.too_much,
                not_yet: false,
            }),
            unstarted: false,
            interrupted: self.how == How::Interrupted,
        }
    }

    fn problem(&self, command: &RunCommand, complaints: &str) -> Option<String> {
        let program = &command.argv[0].0;
        if self.too_much {
            return Some(format!(
                "`{program}` put out more than {} bytes and was ended; `max_output` says how much it may",
                most(command)
            ));
        }
        let how = match self.how {
            How::Exited(code) if command.success.contains(&code) => return None,
            How::Exited(code) => format!("`{program}` ended with exit code {code}"),
            How::Signal(signal) => format!("`{program}` was ended by signal {signal}"),
            How::TimedOut => format!(
                "`{program}` took longer than its timeout ({}s) and was ended",
                timeout(command).as_secs_f64()
            ),
            How::Interrupted => format!("`{program}` was ended because the run was interrupted"),
        };
        let last = complaints
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty());
        Some(match last {
            Some(last) => format!("{how}: {}", last.trim()),
            None => how,
        })
    }
}

/// Its output as the step wants it.
fn read(command: &RunCommand, stdout: &str) -> Result<(&'static str, Value), String> {
    let program = &command.argv[0].0;
    match command.output {
        CommandOutput::Text => Ok(("stdout", Value::from(stdout))),
        CommandOutput::Lines => Ok(("lines", stdout.lines().map(Value::from).collect())),
        CommandOutput::Json => {
            let value: Value = serde_json::from_str(stdout)
                .map_err(|error| format!("the output of `{program}` is no JSON: {error}"))?;
            let schema = command.schema.as_ref();
            let violations = schema.map(|schema| outputs::violations(schema, &value));
            match violations.unwrap_or_default().as_slice() {
                [] => Ok(("json", value)),
                found => Err(format!(
                    "the output of `{program}` does not fit its `schema`: {}",
                    found.join("; ")
                )),
            }
        }
    }
}

/// The end of what was written.
#[derive(Default)]
struct Tail {
    bytes: VecDeque<u8>,
    cut: bool,
}

impl Tail {
    fn of(bytes: &[u8]) -> Self {
        let mut tail = Self::default();
        tail.push(bytes);
        tail
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let over = self.bytes.len().saturating_sub(COMPLAINTS_READ);
        self.cut |= over > 0;
        self.bytes.drain(..over);
    }

    /// Its last few KiB, without secrets, and without the rest of one that was cut through.
    fn text(&self, sealed: &Sealed) -> String {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        let masked = sealed.mask.text(&String::from_utf8_lossy(&bytes));
        let doubtful = if self.cut { sealed.mask.longest() } else { 0 };
        let from = masked
            .len()
            .saturating_sub(COMPLAINTS)
            .max(doubtful)
            .min(masked.len());
        masked[masked.ceil_char_boundary(from)..].to_owned()
    }
}

/// A process group that does not outlive this value.
struct Group {
    child: Child,
    group: Option<Pid>,
}

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It may have ended by itself.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

async fn here(sealed: &Sealed, mut stop: watch::Receiver<bool>) -> Result<Ended, String> {
    let mut group = spawn(&sealed.command)?;
    let mut reading = Reading::of(&mut group.child, &sealed.command);
    let limit = timeout(&sealed.command);
    let interrupted = async {
        // The sender lives as long as the run does.
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(GRACE).await;
    };
    let early = tokio::select! {
        status = finished(&mut group, &mut reading) => match status? {
            Some(status) => return Ok(reading.ended(how(status))),
            None => None,
        },
        () = tokio::time::sleep(limit) => Some(How::TimedOut),
        () = interrupted => Some(How::Interrupted),
    };
    group.signal(Signal::TERM);
    let quiet = tokio::time::timeout(ENDING, reading.and_end(&mut group.child)).await;
    if quiet.is_err() {
        group.signal(Signal::KILL);
        // What was killed ends; only what left the group could hold its output open.
        let _ = tokio::time::timeout(LEFT_BEHIND, reading.and_end(&mut group.child)).await;
    }
    Ok(reading.ended(early.unwrap_or(How::Exited(-1))))
}

/// Until the program ended and its output is at its end; none where it put out too much.
async fn finished(group: &mut Group, reading: &mut Reading) -> Result<Option<ExitStatus>, String> {
    let failed = |error: std::io::Error| format!("it cannot be waited for: {error}");
    tokio::select! {
        biased;
        () = reading.too_much() => Ok(None),
        status = group.child.wait() => {
            let status = status.map_err(failed)?;
            let rest = tokio::time::timeout(LEFT_BEHIND, reading.read_to_the_end()).await;
            if rest.is_err() {
                // Something that it started still holds its output.
                group.signal(Signal::KILL);
                let _ = tokio::time::timeout(LEFT_BEHIND, reading.read_to_the_end()).await;
            }
            Ok((!reading.is_too_much()).then_some(status))
        }
    }
}

fn how(status: ExitStatus) -> How {
    match (status.code(), status.signal()) {
        (Some(code), _) => How::Exited(code),
        (None, signal) => How::Signal(signal.unwrap_or_default()),
    }
}

fn spawn(command: &RunCommand) -> Result<Group, String> {
    let program = &command.argv[0].0;
    if program.is_empty() {
        return Err("the program's name is empty".to_owned());
    }
    let mut process = Command::new(program);
    process
        .args(command.argv[1..].iter().map(|word| &word.0))
        .env_clear()
        .stdin(match command.stdin {
            Some(_) => Stdio::piped(),
            None => Stdio::null(),
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let inherited = INHERITED.iter().copied();
    for name in inherited.chain(command.inherit.iter().map(String::as_str)) {
        if let Some(value) = std::env::var_os(name).filter(|_| !is_secret(name)) {
            process.env(name, value);
        }
    }
    process.envs(command.env.iter().map(|(name, word)| (name, &word.0)));
    if let Some(directory) = &command.directory {
        if !Path::new(directory).is_absolute() {
            return Err(format!("the directory `{directory}` is no absolute path"));
        }
        if !Path::new(directory).is_dir() {
            return Err(format!("there is no directory `{directory}`"));
        }
        process.current_dir(directory);
    }
    let child = process.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound if program.contains('/') => {
            format!("there is no program `{program}`, or what its first line names is not there")
        }
        ErrorKind::NotFound => format!("there is no program `{program}` in PATH"),
        ErrorKind::PermissionDenied => format!("`{program}` is not executable"),
        ErrorKind::ArgumentListTooLong => "its arguments are too long for this system".to_owned(),
        ErrorKind::InvalidInput => "an argument or a variable of it holds a zero byte".to_owned(),
        _ => format!("`{program}` cannot be run: {error}"),
    })?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    Ok(Group {
        group: pid.and_then(Pid::from_raw),
        child,
    })
}

/// Variables that hold secret parameters are for steps to give, not to be passed on.
fn is_secret(name: &str) -> bool {
    name.starts_with("RUNBOOK_PARAM_")
}

/// What is written to a program and read from it, all at the same time.
struct Reading {
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Tail>>,
    most: u64,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    too_much: watch::Receiver<bool>,
}

impl Reading {
    fn of(child: &mut Child, command: &RunCommand) -> Self {
        let (stdout, stderr) = (
            Arc::<Mutex<Vec<u8>>>::default(),
            Arc::<Mutex<Tail>>::default(),
        );
        let most = most(command);
        let (over, too_much) = watch::channel(false);
        let mut tasks = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            let kept = Arc::clone(&stdout);
            tasks.push(tokio::spawn(pump(pipe, move |bytes| {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(bytes);
                let fits = kept.len() as u64 <= most;
                if !fits {
                    over.send_replace(true);
                }
                fits
            })));
        }
        if let Some(pipe) = child.stderr.take() {
            let kept = Arc::clone(&stderr);
            tasks.push(tokio::spawn(pump(pipe, move |bytes| {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push(bytes);
                true
            })));
        }
        if let (Some(mut pipe), Some(text)) = (child.stdin.take(), command.stdin.clone()) {
            // Nothing waits for it: a program may end without having read everything.
            tokio::spawn(async move {
                let _ = pipe.write_all(text.as_bytes()).await;
            });
        }
        Self {
            stdout,
            stderr,
            most,
            tasks,
            too_much,
        }
    }

    fn is_too_much(&self) -> bool {
        *self.too_much.borrow()
    }

    /// Comes back when there is too much.
    async fn too_much(&mut self) {
        let mut too_much = self.too_much.clone();
        if too_much.wait_for(|over| *over).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn read_to_the_end(&mut self) {
        for task in &mut self.tasks {
            // May be polled again after it was given up once.
            if !task.is_finished() {
                let _ = task.await;
            }
        }
    }

    async fn and_end(&mut self, child: &mut Child) {
        self.read_to_the_end().await;
        let _ = child.wait().await;
    }

    fn ended(&mut self, how: How) -> Ended {
        let mut stdout =
            std::mem::take(&mut *self.stdout.lock().unwrap_or_else(PoisonError::into_inner));
        let too_much = stdout.len() as u64 > self.most;
        stdout.truncate(usize::try_from(self.most).unwrap_or(usize::MAX));
        let stderr =
            std::mem::take(&mut *self.stderr.lock().unwrap_or_else(PoisonError::into_inner));
        Ended {
            how,
            stdout,
            too_much,
            stderr,
        }
    }
}

/// Reads to the end, or until `take` has enough.
async fn pump<R: AsyncRead + Unpin>(mut pipe: R, mut take: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        if !take(&buffer[..count]) {
            return;
        }
    }
}
