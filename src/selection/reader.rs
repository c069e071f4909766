//! Workflow names in a file, one after the other: lines (`ID`, `ID,RUN`, tab-separated, quoted as in CSV), JSON
//! Lines, or one JSON array, as `temporal workflow list` prints them.
//!
//! Reads from bytes that somebody else opened, keeps one name at a time, and can go on where it stopped. A line that
//! is wrong is said to be so and passed over, so that all wrong ones are found in one pass.

use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::Named;

/// Bytes of one line, or of one JSON element, at the most.
pub const MOST_BYTES: usize = 1 << 20;
/// Characters of a Workflow ID at the most, as the service has it by default.
const MOST_CHARACTERS: usize = 1_000;

/// Where to go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Bytes before it.
    pub offset: u64,
    /// Lines before it.
    pub line: u64,
}

/// A name, or what is wrong with the text in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// The name, or what is wrong.
    pub name: Result<Named, String>,
}

/// How a file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// A name a line, or a JSON object a line.
    Lines,
    /// One JSON array.
    Array,
}

/// Reads names.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    at: Cursor,
    layout: Layout,
    ended: bool,
}

impl<R: BufRead> Reader<R> {
    /// From the beginning of a file. The inner error is about the file as a whole.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn new(mut input: R) -> io::Result<Result<Self, String>> {
        let head = input.fill_buf()?;
        let utf16 = head.starts_with(&[0xFF, 0xFE]) || head.starts_with(&[0xFE, 0xFF]);
        if utf16 {
            return Ok(Err("it is UTF-16; save it as UTF-8".to_owned()));
        }
        let mark = if head.starts_with(&[0xEF, 0xBB, 0xBF]) {
            3
        } else {
            0
        };
        let layout = layout_of(&head[mark..]);
        input.consume(mark);
        let mut reader = Self {
            input,
            at: Cursor {
                offset: mark as u64,
                line: 0,
            },
            layout,
            ended: false,
        };
        if layout == Layout::Array {
            reader.skip_blank()?;
            reader.take()?;
        }
        Ok(Ok(reader))
    }

    /// What it read from.
    pub fn into_input(self) -> R {
        self.input
    }

    /// Where the next name begins, at the earliest.
    pub fn cursor(&self) -> Cursor {
        self.at
    }

    /// Goes on where an earlier reader of the same bytes stopped; `input` has been moved there.
    pub fn resume(self, input: R, at: Cursor) -> Self {
        if at.offset <= self.at.offset {
            return self;
        }
        Self { input, at, ..self }
    }

    /// The next name; none at the end.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn next_name(&mut self) -> io::Result<Option<Item>> {
        match self.layout {
            Layout::Lines => self.next_line(),
            Layout::Array => self.next_element(),
        }
    }

    fn next_line(&mut self) -> io::Result<Option<Item>> {
        loop {
            let mut bytes = Vec::new();
            let (read, whole) = self.line(&mut bytes)?;
            if read == 0 {
                return Ok(None);
            }
            let line = self.at.line + 1;
            self.at.offset += read;
            self.at.line += 1;
            let name = if whole {
                match std::str::from_utf8(&bytes) {
                    Ok(text) => name_of_line(text),
                    Err(_) => Some(Err("it is not UTF-8".to_owned())),
                }
            } else {
                Some(Err(too_long()))
            };
            if let Some(name) = name {
                return Ok(Some(Item { line, name }));
            }
        }
    }

    /// One line without its end, and no more of it than is permitted; how many bytes it took.
    fn line(&mut self, into: &mut Vec<u8>) -> io::Result<(u64, bool)> {
        let (mut read, mut whole) = (0, true);
        loop {
            let (used, done) = {
                let buffer = fill(&mut self.input)?;
                if buffer.is_empty() {
                    return Ok((read, whole));
                }
                let end = buffer.iter().position(|byte| *byte == b'\n');
                let piece = &buffer[..end.unwrap_or(buffer.len())];
                if into.len() + piece.len() <= MOST_BYTES {
                    into.extend_from_slice(piece);
                } else {
                    whole = false;
                }
                (end.map_or(buffer.len(), |end| end + 1), end.is_some())
            };
            self.input.consume(used);
            read += used as u64;
            if done {
                return Ok((read, whole));
            }
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(fill(&mut self.input)?.first().copied())
    }

    fn take(&mut self) -> io::Result<Option<u8>> {
        let byte = self.peek()?;
        if let Some(byte) = byte {
            self.input.consume(1);
            self.at.offset += 1;
            self.at.line += u64::from(byte == b'\n');
        }
        Ok(byte)
    }

    fn skip_blank(&mut self) -> io::Result<()> {
        while self.peek()?.is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.take()?;
        }
        Ok(())
    }

    fn next_element(&mut self) -> io::Result<Option<Item>> {
        if self.ended {
            return Ok(None);
        }
        self.skip_blank()?;
        while self.peek()? == Some(b',') {
            self.take()?;
            self.skip_blank()?;
        }
        let line = self.at.line + 1;
        let wrong = |line: u64, message: &str| {
            Ok(Some(Item {
                line,
                name: Err(message.to_owned()),
            }))
        };
        match self.peek()? {
            None => {
                self.ended = true;
                wrong(line, "the file ends in the middle of its JSON array")
            }
            Some(b']') => {
                self.take()?;
                self.skip_blank()?;
                self.ended = true;
                match self.peek()? {
                    None => Ok(None),
                    Some(_) => wrong(
                        self.at.line + 1,
                        "there is text after the end of the JSON array",
                    ),
                }
            }
            Some(_) => {
                let name = self.element()?;
                Ok(Some(Item { line, name }))
            }
        }
    }

    /// One element of the array: up to the comma or bracket that is not inside of it.
    fn element(&mut self) -> io::Result<Result<Named, String>> {
        let mut bytes = Vec::new();
        let (mut depth, mut in_text, mut escaped, mut whole) = (0_u32, false, false, true);
        loop {
            let Some(byte) = self.peek()? else {
                self.ended = true;
                return Ok(Err("the file ends in the middle of this element".to_owned()));
            };
            if !in_text && depth == 0 && matches!(byte, b',' | b']') {
                break;
            }
            self.take()?;
            if bytes.len() < MOST_BYTES {
                bytes.push(byte);
            } else {
                whole = false;
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                b'{' | b'[' if !in_text => depth += 1,
                b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        if !whole {
            return Ok(Err(too_long()));
        }
        Ok(match std::str::from_utf8(&bytes) {
            Ok(text) => name_of_json(text),
            Err(_) => Err("it is not UTF-8".to_owned()),
        })
    }
}

/// What can be read at once; a signal that came between is no reason to stop.
fn fill<R: BufRead>(input: &mut R) -> io::Result<&[u8]> {
    loop {
        match input.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    input.fill_buf()
}

/// An array begins with `[` and then a text, an object or its end; a Workflow ID may begin with `[` too.
fn layout_of(head: &[u8]) -> Layout {
    let mut bytes = head.iter().filter(|byte| !byte.is_ascii_whitespace());
    match (bytes.next(), bytes.next()) {
        (Some(b'['), Some(b'{' | b'"' | b']') | None) => Layout::Array,
        _ => Layout::Lines,
    }
}

fn too_long() -> String {
    format!("it is longer than {} KiB", MOST_BYTES / 1024)
}

/// A line's name; none where it is empty or a comment.
fn name_of_line(line: &str) -> Option<Result<Named, String>> {
    let line = line.strip_suffix('\r').unwrap_or(line);
    let text = line.trim();
    if text.is_empty() || text.starts_with('#') {
        return None;
    }
    if text.starts_with('{') && text.ends_with('}') {
        return Some(name_of_json(text));
    }
    Some(fields(line).and_then(|fields| match fields.as_slice() {
        [id] => named(id, ""),
        [id, run] => named(id, run),
        more => Err(format!(
            "{} fields; expected ID or ID,RUN (quote a Workflow ID that holds a comma)",
            more.len()
        )),
    }))
}

/// The fields of a line: separated by tabs where it has any, else by commas; `"` quotes, `""` inside is one.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let separator = if line.contains('\t') { '\t' } else { ',' };
    let mut found = Vec::new();
    let mut rest = line;
    loop {
        let start = rest.trim_start_matches(|c: char| c != separator && c.is_whitespace());
        let (field, after) = if let Some(inner) = start.strip_prefix('"') {
            let (field, after) = quoted(inner)?;
            (
                field,
                after.trim_start_matches(|c: char| c != separator && c.is_whitespace()),
            )
        } else {
            let end = start.find(separator).unwrap_or(start.len());
            (start[..end].trim().to_owned(), &start[end..])
        };
        found.push(field);
        if after.is_empty() {
            return Ok(found);
        }
        rest = after
            .strip_prefix(separator)
            .ok_or("there is text after the closing quote")?;
    }
}

fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let end = rest
            .find('"')
            .ok_or("its quote is not closed on this line")?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Ok((field, rest)),
        }
    }
}

fn named(id: &str, run: &str) -> Result<Named, String> {
    if id.is_empty() {
        return Err("there is no Workflow ID".to_owned());
    }
    if id.chars().any(char::is_control) {
        return Err("its Workflow ID holds a control character".to_owned());
    }
    if id.chars().count() > MOST_CHARACTERS {
        return Err(format!(
            "its Workflow ID is longer than {MOST_CHARACTERS} characters"
        ));
    }
    if run.is_empty() {
        return Ok(Named::new(id));
    }
    if run.len() != 36 || uuid::Uuid::parse_str(run).is_err() {
        let shown: String = run.chars().filter(|c| !c.is_control()).take(40).collect();
        return Err(format!(
            "`{shown}` is no Run ID (quote a Workflow ID that holds a comma; put # before a heading)"
        ));
    }
    Ok(Named {
        id: id.to_owned(),
        run: Some(run.to_ascii_lowercase()),
    })
}

fn name_of_json(text: &str) -> Result<Named, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    if let Value::String(id) = &value {
        return named(id, "");
    }
    let inner = value.get("execution").unwrap_or(&value);
    let text = |names: [&str; 3]| {
        let found = names.iter().find_map(|name| inner.get(*name)?.as_str());
        found.unwrap_or_default()
    };
    let id = text(["workflowId", "workflow_id", "id"]);
    if id.is_empty() {
        return Err(
            "there is no Workflow ID in it (`execution.workflowId`, or `workflowId`)".to_owned(),
        );
    }
    named(id, text(["runId", "run_id", "run"]))
}

/// A name as a line that is read as the same name.
pub fn line_of(name: &Named) -> String {
    let plain = !name.id.contains([',', '\t', '"'])
        && name.id.trim() == name.id
        && !name.id.starts_with(['#', '{', '[']);
    let id = if plain {
        name.id.clone()
    } else {
        format!("\"{}\"", name.id.replace('"', "\"\""))
    };
    match &name.run {
        None => id,
        Some(run) => format!("{id},{run}"),
    }
}
