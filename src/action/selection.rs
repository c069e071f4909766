//! Workflows by `select:`: files of names, names looked up one by one, and what is left of a selection.
//!
//! Describe is what says whether a name is there, and which run it has: Visibility may be late. A file is read
//! in pieces; what is kept of it is 16 bytes a name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use sha2::{Digest, Sha256};

use super::{PAGE, World, fatal, problem};
use crate::catalog::{Named, Select};
use crate::decision::Table;
use crate::list_filter::Filter;
use crate::runbook::evaluate::ELSEWHERE;
use crate::selection::reader::{Cursor, Reader};
use crate::selection::{Draw, FileSeen, Found, NameSet, SAMPLES, Selection, Source};
use crate::steps::{ListedPage, Next, Problem};
use crate::survey::{Listed, WorkflowKey};

/// Names that are looked up at once.
const LOOKUPS: usize = 8;
/// Wrong lines that are named.
const MOST_PROBLEMS: usize = 50;
/// The most that a reading action looks up by name.
pub(crate) const MOST_NAMED: usize = 10_000;

/// Files that were read, so that one that did not change is not read again.
#[derive(Clone, Debug, Default)]
pub struct Files(Arc<Mutex<BTreeMap<PathBuf, Arc<Scanned>>>>);

/// A file that was read from end to end without a problem.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// What it was.
    pub seen: FileSeen,
    /// Its names, each once.
    pub names: NameSet,
    stamp: Stamp,
}

/// What tells a changed file from an unchanged one without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::other(
                "it is no regular file, and it must be read more than once",
            ));
        }
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// Hashes what passes through.
struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

impl Files {
    /// Reads a file from end to end, unless that was done and it has not changed since.
    ///
    /// # Errors
    /// It cannot be read, or lines in it are wrong: all of them, with their numbers.
    pub(crate) fn scan(&self, name: &str) -> Result<Arc<Scanned>, Problem> {
        let cannot = |error: io::Error| fatal(format!("{name} cannot be read: {error}"));
        let path = std::path::absolute(name).map_err(cannot)?;
        let stamp = Stamp::of(&path).map_err(cannot)?;
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scanned) = known().get(&path).filter(|scanned| scanned.stamp == stamp) {
            return Ok(scanned.clone());
        }
        let scanned = Arc::new(scan(name, &path, stamp)?);
        known().insert(path, scanned.clone());
        Ok(scanned)
    }

    /// Reads it, and refuses one that is not as it was when somebody was asked about it, and one that leads out of
    /// the folder that it must stay `within`.
    ///
    /// # Errors
    /// As [`Files::scan`]; and where it has changed, or leads out.
    pub(crate) fn scan_frozen(
        &self,
        name: &str,
        within: Option<&str>,
        frozen: &[FileSeen],
    ) -> Result<Arc<Scanned>, Problem> {
        let Some(before) = frozen.iter().find(|file| file.name == name) else {
            stays(name, within)?;
            return self.scan(name);
        };
        let now = self.scan(&before.path)?;
        if now.seen.sha256 == before.sha256 {
            return Ok(now);
        }
        Err(fatal(format!(
            "{} has changed since this run was asked about it (SHA-256 {} then, {} now): nothing of the new content is taken. \
             Put the old content back and resume, or begin a new run.",
            before.path,
            short(&before.sha256),
            short(&now.seen.sha256),
        )))
    }

    /// Names from a place in a file on, at most so many, and how far that was; it is the end where it is the file's length.
    pub(crate) fn names(
        &self,
        file: &Scanned,
        from: Cursor,
        most: usize,
    ) -> Result<(Vec<Named>, Cursor), Problem> {
        let path = &file.seen.path;
        let cannot = |error: io::Error| fatal(format!("{path} cannot be read: {error}"));
        let mut reader = open(Path::new(path), from)
            .map_err(cannot)?
            .map_err(|message| fatal(format!("{path}: {message}")))?;
        let mut names = Vec::new();
        while from.offset < file.stamp.length
            && names.len() < most
            && let Some(item) = reader.next_name().map_err(cannot)?
        {
            // The scan found nothing wrong; a change since then is refused below.
            names.extend(item.name);
        }
        let read = if names.len() < most || from.offset >= file.stamp.length {
            Cursor {
                offset: file.stamp.length,
                line: reader.cursor().line,
            }
        } else {
            reader.cursor()
        };
        if Stamp::of(Path::new(path)).map_err(cannot)? != file.stamp {
            return Err(fatal(format!("{path} changed while it was read")));
        }
        Ok((names, read))
    }

    /// Where a file goes on after what was read; none at its end.
    fn rest(file: &Scanned, read: Cursor) -> Option<Cursor> {
        (read.offset < file.stamp.length).then_some(read)
    }
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn open(path: &Path, from: Cursor) -> io::Result<Result<Reader<BufReader<File>>, String>> {
    let reader = match Reader::new(BufReader::new(File::open(path)?))? {
        Ok(reader) => reader,
        Err(message) => return Ok(Err(message)),
    };
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from.offset))?;
    Ok(Ok(reader.resume(BufReader::new(file), from)))
}

/// A path that the runbook names does not lead out of its folder, by symbolic links either.
fn stays(name: &str, within: Option<&str>) -> Result<(), Problem> {
    let Some(folder) = within else {
        return Ok(());
    };
    let cannot = |error: io::Error| fatal(format!("{name} cannot be read: {error}"));
    let folder = Path::new(if folder.is_empty() { "." } else { folder });
    let real = std::fs::canonicalize(name).map_err(cannot)?;
    if real.starts_with(std::fs::canonicalize(folder).map_err(cannot)?) {
        return Ok(());
    }
    Err(fatal(format!(
        "{name} leads to {}, which is not within the runbook's folder; {ELSEWHERE}",
        real.display()
    )))
}

fn scan(name: &str, path: &Path, stamp: Stamp) -> Result<Scanned, Problem> {
    let cannot = |error: io::Error| fatal(format!("{name} cannot be read: {error}"));
    let hashing = Hashing {
        inner: File::open(path).map_err(cannot)?,
        hash: Sha256::new(),
    };
    let input = BufReader::with_capacity(1 << 16, hashing);
    let reader = Reader::new(input).map_err(cannot)?;
    let mut reader = reader.map_err(|message| fatal(format!("{name}: {message}")))?;
    let (mut names, mut set) = (0, NameSet::default());
    let (mut problems, mut wrong) = (Vec::new(), 0_u64);
    while let Some(item) = reader.next_name().map_err(cannot)? {
        match item.name {
            Ok(one) => {
                names += 1;
                set.insert(&one);
            }
            Err(message) => {
                wrong += 1;
                if problems.len() < MOST_PROBLEMS {
                    problems.push(format!("\n  line {}: {message}", item.line));
                }
            }
        }
    }
    if wrong > 0 {
        let more = wrong - problems.len() as u64;
        let more = match more {
            0 => String::new(),
            more => format!("\n  and {more} more"),
        };
        let lines = if wrong == 1 {
            "1 line is"
        } else {
            &format!("{wrong} lines are")
        };
        return Err(fatal(format!(
            "{name}: {lines} wrong:{}{more}",
            problems.concat()
        )));
    }
    let sha256 = hex(&reader.into_input().into_inner().hash.finalize());
    if Stamp::of(path).map_err(cannot)? != stamp {
        return Err(fatal(format!("{name} changed while it was read")));
    }
    Ok(Scanned {
        seen: FileSeen {
            name: name.to_owned(),
            path: path.display().to_string(),
            sha256,
            names,
        },
        names: set,
        stamp,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name, and the Workflow that Describe found under it.
pub(crate) type LookedUp = (Named, Option<Listed>);

/// Looks names up, in their order.
///
/// # Errors
/// The first call that fails.
pub(crate) async fn look_up(world: &World, names: Vec<Named>) -> Result<Vec<LookedUp>, Problem> {
    let lookups = names.into_iter().map(|name| async move {
        let key = WorkflowKey {
            workflow_id: name.id.clone(),
            run_id: name.run.clone().unwrap_or_default(),
        };
        let found = world.temporal.find(&key).await;
        found
            .map(|found| (name, found))
            .map_err(|error| problem(&error))
    });
    let mut lookups = futures::stream::iter(lookups).buffered(LOOKUPS);
    let mut found = Vec::new();
    while let Some(one) = lookups.next().await {
        found.push(one?);
    }
    Ok(found)
}

/// What a selection leaves out by name.
pub(crate) struct Excluded<'a> {
    selection: &'a Selection,
    file: Option<Arc<Scanned>>,
}

impl<'a> Excluded<'a> {
    /// Reads the file that names some, if there is one.
    pub(crate) fn read(
        world: &World,
        selection: &'a Selection,
        frozen: &[FileSeen],
    ) -> Result<Self, Problem> {
        let file = selection.exclude.file.as_deref();
        let file = file.map(|file| {
            let within = selection.exclude.within.as_deref();
            world.files.scan_frozen(file, within, frozen)
        });
        Ok(Self {
            selection,
            file: file.transpose()?,
        })
    }

    fn sets(&self) -> impl Iterator<Item = &NameSet> {
        let file = self.file.as_ref().map(|file| &file.names);
        std::iter::once(&self.selection.exclude.names).chain(file)
    }

    /// Whether a name is left out whatever run it has.
    pub(crate) fn covers_name(&self, name: &Named) -> bool {
        self.sets().any(|set| set.covers_name(name))
    }

    /// Whether a Workflow is left out.
    pub(crate) fn covers(&self, listed: &Listed) -> bool {
        self.sets().any(|set| set.covers(&listed.key))
            || self.selection.exclude.by_attributes(listed).is_some()
    }

    /// The file that was read for it.
    pub(crate) fn file(&self) -> Option<&FileSeen> {
        self.file.as_ref().map(|file| &file.seen)
    }
}

/// Reads what comes next of a step's Workflows.
///
/// # Errors
/// The service or a file cannot be read, or a file is not as it was when somebody was asked.
pub(super) async fn list(
    world: &World,
    table: &Table,
    next: Next,
    frozen: &[FileSeen],
) -> Result<ListedPage, Problem> {
    let selection = &table.selection;
    let excluded = Excluded::read(world, selection, frozen)?;
    let left = |found: Vec<LookedUp>| {
        let kept = |(_, found): &LookedUp| !found.as_ref().is_some_and(|row| excluded.covers(row));
        found.into_iter().filter(kept).collect()
    };
    match next {
        Next::Page(token) => {
            let query = listing_query(&table.scope, selection).render();
            let page = world.temporal.list(&query, PAGE, token).await;
            let page = page.map_err(|error| problem(&error))?;
            let rows = page.rows.into_iter().filter(|row| !excluded.covers(row));
            Ok(ListedPage {
                rows: rows.collect(),
                next: page.next,
                ..ListedPage::default()
            })
        }
        Next::File(from) => {
            let Source::File(file) = &selection.source else {
                return Err(fatal("a file was to be read where there is none"));
            };
            let within = selection.within.as_deref();
            let file = world.files.scan_frozen(file, within, frozen)?;
            let (names, read) = world.files.names(&file, from, PAGE as usize)?;
            let names = names.into_iter().filter(|name| !excluded.covers_name(name));
            Ok(ListedPage {
                names: names.collect(),
                read: Some(read),
                cursor: Files::rest(&file, read),
                ..ListedPage::default()
            })
        }
        Next::Names(names) => {
            let asked = names.len();
            let names = names.into_iter().filter(|name| !excluded.covers_name(name));
            Ok(ListedPage {
                asked,
                named: left(look_up(world, names.collect()).await?),
                ..ListedPage::default()
            })
        }
        Next::Draw => {
            let seed = seed(world, &table.name);
            let mut found = Found::default();
            let mut page = ListedPage::default();
            match names_of(world, selection, &excluded, frozen, &seed, &mut found)? {
                None => page.rows = drawn(world, &table.scope, &excluded, &seed).await?,
                Some(names) => page.named = left(look_up(world, names).await?),
            }
            Ok(page)
        }
    }
}

/// What a sample is drawn by.
fn seed(world: &World, step: &str) -> String {
    format!("{}/{step}", world.run)
}

/// A sample of everything that a query lists.
async fn drawn(
    world: &World,
    scope: &Filter,
    excluded: &Excluded<'_>,
    seed: &str,
) -> Result<Vec<Listed>, Problem> {
    let mut draw = Draw::new(seed, excluded.selection.sample.unwrap_or(u64::MAX));
    let query = listing_query(scope, excluded.selection).render();
    let mut token = None;
    loop {
        let page = world.temporal.list(&query, PAGE, token).await;
        let page = page.map_err(|error| problem(&error))?;
        for listed in page.rows {
            if !excluded.covers(&listed) {
                let key = listed.key.clone();
                draw.add(&key.workflow_id, &key.run_id, listed);
            }
        }
        token = page.next;
        if token.is_none() {
            return Ok(draw.finish());
        }
    }
}

/// What was found of a step's selection before anything is written: its Workflows, as many as could be listed or
/// looked up within reason, and counts before and after exclusion.
pub(super) struct Surveyed {
    /// Listed or looked up.
    pub rows: Vec<Listed>,
    /// Counts.
    pub found: Found,
    /// Whether the rows are all.
    pub whole: bool,
}

/// Surveys names: `most` are looked up.
///
/// # Errors
/// The service or a file cannot be read.
pub(super) async fn survey_names(
    world: &World,
    table: &Table,
    frozen: &[FileSeen],
    most: usize,
) -> Result<Surveyed, Problem> {
    let selection = &table.selection;
    let excluded = Excluded::read(world, selection, frozen)?;
    let mut found = begin(selection, &excluded);
    let seed = seed(world, &table.name);
    let names = names_of(world, selection, &excluded, frozen, &seed, &mut found)?;
    let mut names = names.unwrap_or_default();
    let all = names.len() as u64 + found.not_looked_up;
    let most = selection.limit.map_or(most, |limit| {
        most.min(usize::try_from(limit).unwrap_or(most))
    });
    names.truncate(most);
    let (mut rows, mut missing, mut taken) = (Vec::new(), Vec::new(), NameSet::default());
    let looked_up = names.len() as u64;
    let mut gone = 0;
    for (name, one) in look_up(world, names).await? {
        match one {
            None => missing.push(name),
            Some(listed) if excluded.covers(&listed) => {
                found.excluded += 1;
                gone += 1;
            }
            Some(listed) if !taken.insert(&named(&listed.key)) => {
                found.duplicates += 1;
                gone += 1;
            }
            Some(listed) => rows.push(listed),
        }
    }
    found.not_looked_up = all - looked_up;
    found.missing = missing.len() as u64;
    found.missing_samples = samples(&missing);
    let left = all - found.missing - gone;
    found.left = selection.limit.map_or(left, |limit| left.min(limit));
    let whole = found.left == rows.len() as u64;
    Ok(Surveyed { rows, found, whole })
}

/// Counts that begin with nothing.
fn begin(selection: &Selection, excluded: &Excluded<'_>) -> Found {
    Found {
        from: selection.words(),
        without: selection.exclude.words(),
        files: excluded.file().cloned().into_iter().collect(),
        ..Found::default()
    }
}

/// Takes out of a listing what is left out, and counts it; `rows` are the whole listing, or its beginning.
///
/// # Errors
/// A file cannot be read.
pub(super) fn sift(
    world: &World,
    table: &Table,
    rows: Vec<Listed>,
    whole: bool,
) -> Result<Surveyed, Problem> {
    let selection = &table.selection;
    let excluded = Excluded::read(world, selection, &[])?;
    let mut found = begin(selection, &excluded);
    found.selected = rows.len() as u64;
    let mut rows: Vec<Listed> = rows
        .into_iter()
        .filter(|row| !excluded.covers(row))
        .collect();
    found.excluded = found.selected - rows.len() as u64;
    if let Some(size) = selection.sample {
        let mut draw = Draw::new(seed(world, &table.name), size);
        for listed in rows {
            let key = listed.key.clone();
            draw.add(&key.workflow_id, &key.run_id, listed);
        }
        rows = draw.finish();
    }
    if let Some(limit) = selection.limit {
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    found.left = rows.len() as u64;
    Ok(Surveyed { rows, found, whole })
}

/// The query that lists a selection's scope, less what the service can leave out as it is done here.
pub(crate) fn listing_query(scope: &Filter, selection: &Selection) -> Filter {
    match selection.exclude.sent() {
        Some(without) => scope.clone().and(without).fold(),
        None => scope.fold(),
    }
}

/// What a selection came to, for an action that reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolved {
    /// The Workflows, each once.
    pub rows: Vec<Listed>,
    /// Names under which there is none.
    pub missing: Vec<Named>,
    /// Counts.
    pub found: Found,
    /// Whether there are more than were wanted.
    pub more: bool,
}

/// The Workflows that a selection means, at most so many. What earlier steps had must have been put in as
/// names.
///
/// # Errors
/// The service or a file cannot be read, or the selection makes no sense.
pub(crate) async fn resolve(
    world: &World,
    select: &Select,
    most: usize,
) -> Result<Resolved, Problem> {
    let (scope, selection) = Selection::new(select, None).map_err(fatal)?;
    let excluded = Excluded::read(world, &selection, &[])?;
    let mut resolved = Resolved {
        found: begin(&selection, &excluded),
        ..Resolved::default()
    };
    let wanted = selection.limit.map_or(most, |limit| {
        most.min(usize::try_from(limit).unwrap_or(usize::MAX))
    });
    let seed = &world.run.0;
    match names_of(world, &selection, &excluded, &[], seed, &mut resolved.found)? {
        None => by_query(world, &scope, &selection, &excluded, wanted, &mut resolved).await?,
        Some(names) => by_name(world, &excluded, names, wanted, &mut resolved).await?,
    }
    let limited = selection
        .limit
        .is_some_and(|limit| resolved.rows.len() as u64 >= limit);
    resolved.more &= !limited;
    resolved.found.missing = resolved.missing.len() as u64;
    resolved.found.missing_samples = samples(&resolved.missing);
    resolved.found.left = resolved.rows.len() as u64;
    Ok(resolved)
}

pub(crate) fn samples(names: &[Named]) -> Vec<String> {
    names
        .iter()
        .take(SAMPLES)
        .map(ToString::to_string)
        .collect()
}

/// The names of a selection that has them, each once, less those that are left out; a sample's names
/// only. Holds no more than [`MOST_NAMED`] of a file.
fn names_of(
    world: &World,
    selection: &Selection,
    excluded: &Excluded<'_>,
    frozen: &[FileSeen],
    seed: &str,
    found: &mut Found,
) -> Result<Option<Vec<Named>>, Problem> {
    let mut kept = Kept::new(seed, selection);
    let mut seen = NameSet::default();
    let mut add = |name: Named, found: &mut Found| {
        found.selected += 1;
        if !seen.insert(&name) {
            found.duplicates += 1;
        } else if excluded.covers_name(&name) {
            found.excluded += 1;
        } else {
            kept.add(name);
        }
    };
    match &selection.source {
        Source::Query => return Ok(None),
        Source::Ledger(_) => {
            return Err(fatal("what earlier steps had is not known here"));
        }
        Source::Ids(ids) => ids.iter().cloned().for_each(|name| add(name, found)),
        Source::File(file) => {
            let within = selection.within.as_deref();
            let file = world.files.scan_frozen(file, within, frozen)?;
            found.files.push(file.seen.clone());
            let mut from = Some(Cursor::default());
            while let Some(at) = from {
                let (names, read) = world.files.names(&file, at, PAGE as usize)?;
                names.into_iter().for_each(|name| add(name, found));
                from = Files::rest(&file, read);
            }
        }
    }
    let (names, beyond) = kept.finish();
    found.not_looked_up = beyond;
    Ok(Some(names))
}

/// The first names, or a draw of them.
enum Kept {
    First { names: Vec<Named>, beyond: u64 },
    Drawn(Draw<Named>),
}

impl Kept {
    fn new(seed: &str, selection: &Selection) -> Self {
        match selection.sample {
            Some(size) => Self::Drawn(Draw::new(seed, size)),
            None => Self::First {
                names: Vec::new(),
                beyond: 0,
            },
        }
    }

    fn add(&mut self, name: Named) {
        match self {
            Self::First { names, .. } if names.len() < MOST_NAMED => names.push(name),
            Self::First { beyond, .. } => *beyond += 1,
            Self::Drawn(draw) => {
                let (id, run) = (name.id.clone(), name.run.clone().unwrap_or_default());
                draw.add(&id, &run, name);
            }
        }
    }

    fn finish(self) -> (Vec<Named>, u64) {
        match self {
            Self::First { names, beyond } => (names, beyond),
            Self::Drawn(draw) => (draw.finish(), 0),
        }
    }
}

async fn by_name(
    world: &World,
    excluded: &Excluded<'_>,
    names: Vec<Named>,
    wanted: usize,
    into: &mut Resolved,
) -> Result<(), Problem> {
    let mut taken = NameSet::default();
    let mut left = names.into_iter();
    loop {
        let chunk: Vec<Named> = left.by_ref().take(LOOKUPS * 16).collect();
        if chunk.is_empty() {
            into.more = into.found.not_looked_up > 0;
            return Ok(());
        }
        for (name, found) in look_up(world, chunk).await? {
            let Some(listed) = found else {
                into.missing.push(name);
                continue;
            };
            if excluded.covers(&listed) {
                into.found.excluded += 1;
            } else if !taken.insert(&named(&listed.key)) {
                into.found.duplicates += 1;
            } else if into.rows.len() < wanted {
                into.rows.push(listed);
            } else {
                into.more = true;
            }
        }
        if into.more {
            into.found.not_looked_up += left.len() as u64;
            return Ok(());
        }
    }
}

fn named(key: &WorkflowKey) -> Named {
    Named {
        id: key.workflow_id.clone(),
        run: Some(key.run_id.clone()),
    }
}

async fn by_query(
    world: &World,
    scope: &Filter,
    selection: &Selection,
    excluded: &Excluded<'_>,
    wanted: usize,
    into: &mut Resolved,
) -> Result<(), Problem> {
    let query = listing_query(scope, selection);
    if query.constant() == Some(false) {
        return Ok(());
    }
    let query = query.render();
    let mut draw = selection
        .sample
        .map(|size| Draw::new(world.run.0.as_str(), size));
    let mut taken = NameSet::default();
    let mut token = None;
    loop {
        let size = PAGE.min(u32::try_from(wanted).unwrap_or(PAGE).max(1));
        let size = if draw.is_some() || !selection.is_plain() {
            PAGE
        } else {
            size
        };
        let page = world.temporal.list(&query, size, token).await;
        let page = page.map_err(|error| problem(&error))?;
        for listed in page.rows {
            if !taken.insert(&named(&listed.key)) {
                continue;
            }
            into.found.selected += 1;
            if excluded.covers(&listed) {
                into.found.excluded += 1;
            } else if let Some(draw) = &mut draw {
                let key = listed.key.clone();
                draw.add(&key.workflow_id, &key.run_id, listed);
            } else if into.rows.len() < wanted {
                into.rows.push(listed);
            } else {
                into.more = true;
            }
        }
        token = page.next;
        let enough = draw.is_none() && (into.more || into.rows.len() >= wanted);
        if enough || token.is_none() {
            into.more |= enough && token.is_some();
            break;
        }
    }
    if let Some(draw) = draw {
        into.rows = draw.finish();
        into.more = into.rows.len() > wanted;
        into.rows.truncate(wanted);
    }
    Ok(())
}
