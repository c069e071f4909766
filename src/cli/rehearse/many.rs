//! `runbook rehearse DIR`: every scenario of every runbook below it, many at once, and a table of them.
//!
//! Each scenario has a runtime and a clock of its own, so that they cannot disturb each other; what is printed
//! comes in the order of names, whichever ends first. A bug that one scenario meets loses no other.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde::Serialize;

use super::{Arguments, Told, in_simulated_time, load, parameter_problems};
use crate::cli::{Exit, Output};
use crate::diagnostic::{self, Diagnostic, Kind};
use crate::record::Record;
use crate::rehearsal::{Rehearsal, Rehearsing};
use crate::report::Report;
use crate::run::{Display, Progress};
use crate::runbook::Runbook;
use crate::ui::{Align, Style, Table, Text, Tone, Ui, count, duration, shell_word};

/// Without a terminal it says this often how far it is.
const SILENT: Duration = Duration::from_secs(10);

/// A runbook, as it was found.
struct Book {
    file: PathBuf,
    found: Found,
}

enum Found {
    /// With its rehearsal.
    Whole(Box<(Runbook, Rehearsal)>),
    /// Without one.
    Alone,
    /// One of the two cannot be used.
    Broken(Vec<Diagnostic>),
}

/// Runs the verb.
pub(super) fn run(arguments: &Arguments, ui: &Ui, output: Output) -> Exit {
    if let Some(flag) = of_one(arguments) {
        let hint = format!("{flag} is for one runbook: runbook rehearse FILE {flag} …");
        ui.error(
            &format!("{flag} and several runbooks do not go together"),
            Some(&hint),
        );
        return Exit::Invalid;
    }
    let books = match collect(&arguments.files) {
        Ok(books) => books,
        Err(problems) => return crate::cli::invalid(&problems, ui, output),
    };
    let tasks: Vec<(usize, &str)> = books
        .iter()
        .enumerate()
        .flat_map(|(index, book)| scenarios(book).into_iter().map(move |name| (index, name)))
        .collect();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.map_or(cores, usize::from);
    let ended = Mutex::new((0, Instant::now()));
    let results = at_once(jobs, tasks.len(), |task| {
        let (book, name) = tasks[task];
        let done = rehearse(&books[book], name, arguments.seed);
        let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.0 += 1;
        let so_far = format!(
            "rehearsed {} of {}",
            ended.0,
            count(tasks.len() as u64, "scenario")
        );
        ui.draw(std::slice::from_ref(&so_far));
        if !ui.is_live() && ended.1.elapsed() >= SILENT {
            ended.1 = Instant::now();
            ui.line(Tone::Faint, &so_far);
        }
        done
    });
    ui.clear();
    let rows = tasks.iter().zip(results).map(|((book, name), result)| Row {
        book: *book,
        told: result,
        name,
    });
    let account = Account {
        books: &books,
        rows: rows.collect(),
    };
    account.print(ui, output)
}

/// A flag that only means something of one runbook.
fn of_one(arguments: &Arguments) -> Option<&'static str> {
    [
        ("--rehearsal", arguments.rehearsal.is_some()),
        ("--scenario", !arguments.scenario.is_empty()),
        ("--interactive", arguments.interactive),
    ]
    .into_iter()
    .find_map(|(flag, given)| given.then_some(flag))
}

fn scenarios(book: &Book) -> Vec<&str> {
    match &book.found {
        Found::Whole(files) => files.1.scenarios.keys().map(String::as_str).collect(),
        Found::Alone | Found::Broken(_) => Vec::new(),
    }
}

/// Does `count` tasks, `jobs` at a time, and gives their results in order: of one that panicked, what it said.
fn at_once<T: Send>(
    jobs: usize,
    count: usize,
    task: impl Fn(usize) -> T + Sync,
) -> Vec<Result<T, String>> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<T, String>>>> =
        Mutex::new(std::iter::repeat_with(|| None).take(count).collect());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            let result = catch_unwind(AssertUnwindSafe(|| task(index))).map_err(|payload| {
                let text = payload
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned());
                let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
                text.unwrap_or_default()
            });
            results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(result);
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.min(count) {
            scope.spawn(work);
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results
        .into_iter()
        .map(|result| result.unwrap_or_else(|| Err("it was not rehearsed".to_owned())))
        .collect()
}

/// Folds what happens, and shows nothing.
struct Folded(Report);

impl Display for Folded {
    fn record(&mut self, record: &Record) {
        self.0.apply(record);
    }

    fn progress(&mut self, _: &Progress) {}
}

/// One scenario, and how long it took by the clock on the wall.
fn rehearse(book: &Book, name: &str, seed: Option<u64>) -> Result<(Told, Duration), String> {
    let Found::Whole(files) = &book.found else {
        return Err("it has no rehearsal".to_owned());
    };
    let (runbook, rehearsal) = files.as_ref();
    let mut display = Folded(Report::new());
    let began = Instant::now();
    let outcome = in_simulated_time(Rehearsing {
        runbook,
        rehearsal,
        name,
        seed,
        operator: None,
        display: &mut display,
        kill: None,
    });
    let outcome = outcome.map_err(|error| format!("cannot start: {error}"))?;
    let title = rehearsal.scenarios[name].title.clone();
    Ok((Told::of(name, title, outcome, &display.0), began.elapsed()))
}

/// The runbooks that are meant, each once, in the order of the arguments; those of a folder by name.
fn collect(files: &[PathBuf]) -> Result<Vec<Book>, Vec<Diagnostic>> {
    let mut seen = BTreeSet::new();
    let mut books = Vec::new();
    let mut problems = Vec::new();
    for file in files {
        if !file.is_dir() {
            let file = runbook_of(file);
            if seen.insert(file.clone()) {
                books.push(open(file, false));
            }
            continue;
        }
        let found = below(file);
        if found.is_empty() {
            let message = "there is no runbook in this folder or below it";
            let problem = Diagnostic::of_file(&file.display().to_string(), Kind::File, message);
            problems.push(problem.expected("a file NAME.yaml with a line `schema: runbook/v1`"));
        }
        for file in found {
            if seen.insert(file.clone()) {
                books.push(open(file, true));
            }
        }
    }
    if problems.is_empty() {
        Ok(books)
    } else {
        Err(problems)
    }
}

/// `NAME.rehearsal.yaml` stands for the runbook beside it: tools hand over whatever file was changed.
fn runbook_of(file: &Path) -> PathBuf {
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    match name.strip_suffix(".rehearsal.yaml") {
        Some(stem) => file.with_file_name(format!("{stem}.yaml")),
        None => file.to_owned(),
    }
}

/// In a folder a runbook need not have a rehearsal; one that was named must.
fn open(file: PathBuf, may_be_alone: bool) -> Book {
    let beside = file.with_extension("rehearsal.yaml");
    let found = if may_be_alone && !beside.exists() {
        Found::Alone
    } else {
        match load(&file, None) {
            Err(problems) => Found::Broken(problems),
            Ok((runbook, rehearsal)) => {
                let names: Vec<&str> = rehearsal.scenarios.keys().map(String::as_str).collect();
                let problems = parameter_problems(&runbook, &rehearsal, &names);
                match problems.is_empty() {
                    true => Found::Whole(Box::new((runbook, rehearsal))),
                    false => Found::Broken(problems),
                }
            }
        }
    };
    Book { file, found }
}

/// YAML files below a folder that say that they are runbooks. Hidden folders are left out, links to folders
/// are not followed.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if !hidden {
                    open.push(path);
                }
            } else if is_runbook(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn is_runbook(path: &Path) -> bool {
    let yaml = path
        .extension()
        .is_some_and(|ending| ending == "yaml" || ending == "yml");
    let declares = |line: &[u8]| {
        let value = line.strip_prefix(b"schema:").map(<[u8]>::trim_ascii);
        value.is_some_and(|value| value.starts_with(b"runbook/"))
    };
    yaml && crate::cli::read(path)
        .is_ok_and(|bytes| bytes.split(|byte| *byte == b'\n').any(declares))
}

/// A scenario's place and what came of it.
struct Row<'a> {
    book: usize,
    name: &'a str,
    told: Result<Result<(Told, Duration), String>, String>,
}

impl Row<'_> {
    fn verdict(&self) -> &'static str {
        match &self.told {
            Ok(Ok((told, _))) if told.ok => "ok",
            Ok(_) => "FAILED",
            Err(_) => "BUG",
        }
    }

    fn failures(&self) -> Vec<String> {
        match &self.told {
            Ok(Ok((told, _))) => told.failures.clone(),
            Ok(Err(text)) => vec![text.clone()],
            Err(text) => vec![format!("a bug in runbook: {text}")],
        }
    }
}

/// What `--output json` holds. Fields are only ever added.
#[derive(Serialize)]
struct Document<'a> {
    /// `rehearsals/v1`
    schema: &'static str,
    ok: bool,
    runbooks: Vec<BookDocument<'a>>,
    /// Runbooks in the folders that have no rehearsal.
    without_rehearsal: Vec<String>,
}

#[derive(Serialize)]
struct BookDocument<'a> {
    file: String,
    /// What is wrong with it or its rehearsal.
    diagnostics: &'a [Diagnostic],
    scenarios: Vec<ScenarioDocument<'a>>,
}

#[derive(Serialize)]
struct ScenarioDocument<'a> {
    scenario: &'a str,
    ok: bool,
    failures: Vec<String>,
    /// Seconds by the clock on the wall.
    #[serde(skip_serializing_if = "Option::is_none")]
    took_seconds: Option<f64>,
    /// As in `rehearse FILE --output json`; not where it could not be rehearsed.
    #[serde(skip_serializing_if = "Option::is_none")]
    rehearsed: Option<&'a Told>,
}

/// All of them.
struct Account<'a> {
    books: &'a [Book],
    rows: Vec<Row<'a>>,
}

impl Account<'_> {
    fn alone(&self) -> Vec<String> {
        let alone = self
            .books
            .iter()
            .filter(|book| matches!(book.found, Found::Alone));
        alone.map(|book| book.file.display().to_string()).collect()
    }

    fn problems(&self) -> Vec<Diagnostic> {
        let found = self.books.iter().flat_map(|book| book.problems());
        found.cloned().collect()
    }

    /// The worst of what came out.
    fn exit(&self) -> Exit {
        let is = |verdict: &str| self.rows.iter().any(|row| row.verdict() == verdict);
        match () {
            () if is("BUG") => Exit::Bug,
            () if !self.problems().is_empty() => Exit::Invalid,
            () if is("FAILED") => Exit::Failed,
            () => Exit::Done,
        }
    }

    fn print(&self, ui: &Ui, output: Output) -> Exit {
        let printed = match output {
            Output::Text => ui.data(&self.text(ui.out_style())),
            Output::Json => serde_json::to_value(self.document())
                .map_err(std::io::Error::from)
                .and_then(|value| crate::cli::print_json(ui, &value)),
        };
        let problems = self.problems();
        if output == Output::Text && !problems.is_empty() {
            let style = ui.err_style();
            ui.say(&diagnostic::render(
                &problems,
                style.colour,
                style.width.unwrap_or(140),
            ));
        }
        match crate::cli::runs::written(printed, ui) {
            Exit::Done => self.exit(),
            failed => failed,
        }
    }

    fn document(&self) -> Document<'_> {
        let books = self.books.iter().enumerate();
        Document {
            schema: "rehearsals/v1",
            ok: self.exit() == Exit::Done,
            runbooks: books
                .map(|(index, book)| self.of_book(index, book))
                .collect(),
            without_rehearsal: self.alone(),
        }
    }

    fn of_book<'b>(&'b self, index: usize, book: &'b Book) -> BookDocument<'b> {
        let rows = self.rows.iter().filter(|row| row.book == index);
        BookDocument {
            file: book.file.display().to_string(),
            diagnostics: book.problems(),
            scenarios: rows.map(Row::document).collect(),
        }
    }

    fn text(&self, style: Style) -> String {
        let mut text = Text::new(style);
        let mut table = Table::new(&[
            ("RUNBOOK", Align::Left),
            ("SCENARIO", Align::Left),
            ("RESULT", Align::Left),
            ("SIMULATED", Align::Right),
            ("WRITES", Align::Right),
            ("TOOK", Align::Right),
        ]);
        for row in &self.rows {
            let file = self.books[row.book].file.display().to_string();
            let (simulated, writes, took) = row.figures();
            table.row([
                file,
                row.name.to_owned(),
                row.verdict().to_owned(),
                simulated,
                writes,
                took,
            ]);
        }
        text.table(&table);
        for row in self.rows.iter().filter(|row| row.verdict() != "ok") {
            self.failure(row, &mut text);
        }
        text.gap();
        for file in self.alone() {
            text.line(Tone::Warn, &format!("{file} has no rehearsal"));
        }
        self.last_line(&mut text);
        text.into_string()
    }

    fn failure(&self, row: &Row<'_>, text: &mut Text) {
        let file = self.books[row.book].file.display().to_string();
        text.gap();
        text.line(
            Tone::Bad,
            &format!("{file}: {} {}", row.name, row.verdict()),
        );
        for failure in row.failures() {
            text.line(Tone::Plain, &format!("  - {failure}"));
        }
        let (file, name) = (shell_word(&file), shell_word(row.name));
        text.command(&format!("runbook rehearse {file} --scenario {name}"));
    }

    fn last_line(&self, text: &mut Text) {
        let whole = self
            .books
            .iter()
            .filter(|book| matches!(book.found, Found::Whole(_)))
            .count();
        let broken = self
            .books
            .iter()
            .filter(|book| matches!(book.found, Found::Broken(_)))
            .count();
        let failed = self.rows.iter().filter(|row| row.verdict() != "ok").count();
        let of = format!(
            "{} of {}",
            count(self.rows.len() as u64, "scenario"),
            count(whole as u64, "runbook")
        );
        let invalid = match broken {
            0 => String::new(),
            _ => format!("; {} cannot be rehearsed", count(broken as u64, "runbook")),
        };
        if self.rows.is_empty() && broken > 0 {
            text.line(Tone::Bad, invalid.trim_start_matches("; "));
            return;
        }
        match (failed, broken) {
            (0, 0) => text.line(Tone::Good, &format!("{of}: all ok")),
            (0, _) => text.line(Tone::Bad, &format!("{of}: ok{invalid}")),
            (failed, _) => text.line(Tone::Bad, &format!("{of}: {failed} FAILED{invalid}")),
        }
    }
}

impl Book {
    fn problems(&self) -> &[Diagnostic] {
        match &self.found {
            Found::Broken(problems) => problems,
            Found::Whole(_) | Found::Alone => &[],
        }
    }
}

impl Row<'_> {
    fn document(&self) -> ScenarioDocument<'_> {
        let told = match &self.told {
            Ok(Ok((told, took))) => Some((told, took.as_secs_f64())),
            _ => None,
        };
        ScenarioDocument {
            scenario: self.name,
            ok: self.verdict() == "ok",
            failures: self.failures(),
            took_seconds: told.map(|(_, took)| took),
            rehearsed: told.map(|(told, _)| told),
        }
    }

    /// Simulated time, writes, and time by the clock on the wall.
    fn figures(&self) -> (String, String, String) {
        let Ok(Ok((told, took))) = &self.told else {
            return (String::new(), String::new(), String::new());
        };
        let say =
            |time: Result<SignedDuration, jiff::Error>| time.map(duration).unwrap_or_default();
        (
            say(SignedDuration::try_from_secs_f64(told.simulated_seconds)),
            told.writes.to_string(),
            say(SignedDuration::try_from(*took)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_one_result_among_the_others_in_order() {
        let results = at_once(3, 7, |task| {
            assert_ne!(task, 4, "planted");
            task * 2
        });
        let kept: Vec<Option<usize>> = results.iter().map(|result| result.clone().ok()).collect();
        assert_eq!(
            kept,
            [Some(0), Some(2), Some(4), Some(6), None, Some(10), Some(12)]
        );
        assert!(
            results[4]
                .as_ref()
                .is_err_and(|text| text.contains("planted"))
        );
        assert!(at_once(0, 0, |task| task).is_empty());
    }

    #[test]
    fn a_rehearsal_stands_for_its_runbook() {
        for (file, runbook) in [
            ("a/b.rehearsal.yaml", "a/b.yaml"),
            ("a/b.yaml", "a/b.yaml"),
            ("b.yml", "b.yml"),
        ] {
            assert_eq!(runbook_of(Path::new(file)), Path::new(runbook));
        }
    }
}
