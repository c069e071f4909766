//! Files of names in every layout and with every mistake; sets, draws and exclusions.

use std::io::{BufReader, Cursor as Bytes};

use proptest::prelude::*;

use super::reader::{Cursor, Item, Reader, line_of};
use super::*;

fn read(bytes: &[u8]) -> Vec<Item> {
    // A small buffer: names lie across its end.
    let input = BufReader::with_capacity(7, Bytes::new(bytes.to_vec()));
    let mut reader = Reader::new(input)
        .expect("bytes are read")
        .expect("a layout");
    let mut items = Vec::new();
    while let Some(item) = reader.next_name().expect("bytes are read") {
        items.push(item);
    }
    items
}

/// `LINE ID[,RUN]` or `LINE ! MESSAGE`.
fn told(bytes: &[u8]) -> Vec<String> {
    let tell = |item: Item| match item.name {
        Ok(name) => format!("{} {}", item.line, line_of(&name)),
        Err(message) => format!("{} ! {message}", item.line),
    };
    read(bytes).into_iter().map(tell).collect()
}

const RUN: &str = "0198f6f0-0000-7000-8000-000000000001";

#[test]
fn lines_comments_blank_lines_a_mark_and_a_missing_end_are_fine() {
    let text = "\u{feff}# of today\r\norder-1\r\n\r\n  order 2  \n\t\n#x\norder-3";
    assert_eq!(
        told(text.as_bytes()),
        ["2 order-1", "4 order 2", "7 order-3"]
    );
    assert_eq!(told(b""), [""; 0]);
    assert_eq!(told(b"# nothing\n\n"), [""; 0]);
}

#[test]
fn a_run_follows_a_comma_or_a_tab_and_quotes_hold_commas() {
    let text = format!("a,{RUN}\nb\t{RUN}\n\"c,d\",{RUN}\n\"say \"\"e\"\"\"\nf,\n \"#g\" \n");
    let expected = [
        format!("1 a,{RUN}"),
        format!("2 b,{RUN}"),
        format!("3 \"c,d\",{RUN}"),
        "4 \"say \"\"e\"\"\"".to_owned(),
        "5 f".to_owned(),
        "6 \"#g\"".to_owned(),
    ];
    assert_eq!(told(text.as_bytes()), expected);
}

#[test]
fn json_is_read_as_the_cli_prints_it() {
    let lines = format!(
        "{{\"execution\":{{\"workflowId\":\"a\",\"runId\":\"{RUN}\"}},\"type\":{{\"name\":\"Order\"}}}}\n{{\"workflowId\":\"b\"}}\n"
    );
    let expected = [format!("1 a,{RUN}"), "2 b".to_owned()];
    assert_eq!(told(lines.as_bytes()), expected);
    let array = format!(
        "[\n  {{\n    \"execution\": {{\n      \"workflowId\": \"a]}}\\\"\",\n      \"runId\": \"{RUN}\"\n    }}\n  }},\n  {{ \"workflow_id\": \"b\" }},\n  \"c\"\n]\n"
    );
    let expected = [
        format!("2 \"a]}}\"\"\",{RUN}"),
        "8 b".to_owned(),
        "9 c".to_owned(),
    ];
    assert_eq!(told(array.as_bytes()), expected);
    assert_eq!(told(b"[]"), [""; 0]);
    assert_eq!(told(b" [ ] \n"), [""; 0]);
}

#[test]
fn every_wrong_line_is_said_with_its_number_and_the_others_are_read() {
    let mut bytes = b"order-1\nworkflow_id,run_id\n\"open\n".to_vec();
    bytes.extend_from_slice(b"caf\xff\n");
    bytes.extend_from_slice(b"nul\0\n,\na,b,c\n{\"type\":1}\n{bad}\n\"x\"y\n");
    bytes.extend(std::iter::repeat_n(b'x', reader::MOST_BYTES + 1));
    bytes.extend_from_slice(b"\nlast");
    insta::assert_snapshot!(told(&bytes).join("\n"), @r#"
    1 order-1
    2 ! `run_id` is no Run ID (quote a Workflow ID that holds a comma; put # before a heading)
    3 ! its quote is not closed on this line
    4 ! it is not UTF-8
    5 ! its Workflow ID holds a control character
    6 ! there is no Workflow ID
    7 ! 3 fields; expected ID or ID,RUN (quote a Workflow ID that holds a comma)
    8 ! there is no Workflow ID in it (`execution.workflowId`, or `workflowId`)
    9 ! it is not JSON: key must be a string at line 1 column 2
    10 ! there is text after the closing quote
    11 ! it is longer than 1024 KiB
    12 last
    "#);
}

#[test]
fn a_torn_array_and_text_behind_one_are_wrong() {
    assert_eq!(
        told(b"[\n\"a\",\n{\"id\": \"b\""),
        ["2 a", "3 ! the file ends in the middle of this element"]
    );
    assert_eq!(
        told(b"[\"a\",\n"),
        ["1 a", "2 ! the file ends in the middle of its JSON array"]
    );
    assert_eq!(
        told(b"[\"a\"]\nb\n"),
        ["1 a", "2 ! there is text after the end of the JSON array"]
    );
}

#[test]
fn utf_16_is_refused_as_a_whole() {
    let input = BufReader::new(Bytes::new(b"\xff\xfea\0".to_vec()));
    let refused = Reader::new(input).expect("bytes are read").err();
    assert_eq!(refused.as_deref(), Some("it is UTF-16; save it as UTF-8"));
}

/// A million lines that are made while they are read.
struct Endless {
    next: u64,
    most: u64,
    line: Vec<u8>,
    at: usize,
}

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.line.len() {
            if self.next == self.most {
                return Ok(0);
            }
            self.line = format!("order-{}\n", self.next).into_bytes();
            self.next += 1;
            self.at = 0;
        }
        let count = buffer.len().min(self.line.len() - self.at);
        buffer[..count].copy_from_slice(&self.line[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[test]
fn a_million_lines_pass_through_one_at_a_time() {
    let endless = Endless {
        next: 0,
        most: 1_000_000,
        line: Vec::new(),
        at: 0,
    };
    let mut reader = Reader::new(BufReader::new(endless))
        .expect("read")
        .expect("a layout");
    let mut count = 0;
    while let Some(item) = reader.next_name().expect("read") {
        assert_eq!(item.name, Ok(Named::new(format!("order-{count}"))));
        count += 1;
    }
    assert_eq!((count, reader.cursor().line), (1_000_000, 1_000_000));
}

fn name() -> impl Strategy<Value = Named> {
    let id = "[ -~é]{1,12}".prop_filter("no blank name", |id| !id.trim().is_empty());
    let run =
        prop::option::of(any::<u128>().prop_map(|bits| uuid::Uuid::from_u128(bits).to_string()));
    (id, run).prop_map(|(id, run)| Named { id, run })
}

proptest! {
    /// What is written is read as it was, wherever a reader stops and goes on.
    #[test]
    fn names_survive_the_round_trip(names in prop::collection::vec(name(), 0..20), stop in 0_usize..20, json: bool) {
        let text = if json {
            let objects: Vec<_> = names
                .iter()
                .map(|name| serde_json::json!({ "execution": { "workflowId": name.id, "runId": name.run.as_deref().unwrap_or("") } }))
                .collect();
            serde_json::to_string_pretty(&objects).expect("json")
        } else {
            names.iter().map(|name| format!("{}\n", line_of(name))).collect()
        };
        let bytes = text.into_bytes();
        let found: Vec<_> = read(&bytes).into_iter().map(|item| item.name).collect();
        prop_assert_eq!(&found, &names.iter().cloned().map(Ok).collect::<Vec<_>>());

        let mut reader = Reader::new(&bytes[..]).expect("read").expect("a layout");
        let mut pieces = Vec::new();
        while pieces.len() < stop && let Some(item) = reader.next_name().expect("read") {
            pieces.push(item.name);
        }
        if pieces.len() < names.len() {
            let at: Cursor = reader.cursor();
            let fresh = Reader::new(&bytes[..]).expect("read").expect("a layout");
            let offset = usize::try_from(at.offset).expect("a small file");
            let mut resumed = fresh.resume(&bytes[offset..], at);
            while let Some(item) = resumed.next_name().expect("read") {
                pieces.push(item.name);
            }
            prop_assert_eq!(pieces, found);
        }
    }

    /// No bytes make it fail, loop or find a name that is none.
    #[test]
    fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(mut reader) = Reader::new(&bytes[..]).expect("read") {
            let mut count = 0;
            while let Some(item) = reader.next_name().expect("read") {
                count += 1;
                prop_assert!(count <= bytes.len() + 1);
                if let Ok(name) = item.name {
                    prop_assert!(!name.id.is_empty());
                }
            }
        }
    }

    /// A draw depends on neither order nor repetition, and is of the right size.
    #[test]
    fn a_draw_is_the_same_in_any_order(ids in prop::collection::btree_set("[a-z]{1,4}", 0..30), size in 1_u64..10) {
        let draw = |ids: Vec<&String>| {
            let mut draw = Draw::new("rb-1", size);
            ids.into_iter().for_each(|id| draw.add(id, "", id.clone()));
            draw.finish()
        };
        let forth = draw(ids.iter().collect());
        let back = draw(ids.iter().rev().chain(&ids).collect());
        prop_assert_eq!(&forth, &back);
        prop_assert_eq!(forth.len() as u64, size.min(ids.len() as u64));
    }

    /// A name without a run leaves out every run; one with a run that run alone.
    #[test]
    fn a_set_covers_what_it_names(names in prop::collection::vec(name(), 0..10), key in name()) {
        let set = NameSet::of(&names);
        let run = key.run.clone().unwrap_or_else(|| RUN.to_owned());
        let workflow = WorkflowKey { workflow_id: key.id.clone(), run_id: run.clone() };
        let expected = names.iter().any(|name| {
            name.id == key.id && name.run.as_ref().is_none_or(|named| *named == run)
        });
        prop_assert_eq!(set.covers(&workflow), expected);
        for name in &names {
            prop_assert!(set.covers_name(name));
        }
    }
}

#[test]
fn a_selection_has_one_source_and_leaves_out_only_what_can_be_judged() {
    let select = |value| {
        let select: Select = serde_json::from_value(value).expect("a selection");
        Selection::new(&select, None)
    };
    let by_query = serde_json::json!({ "query": "WorkflowType = 'A'" });
    assert!(select(by_query).expect("a query").1.is_plain());
    for wrong in [
        serde_json::json!({}),
        serde_json::json!({ "query": "WorkflowType = 'A'", "ids": ["a"] }),
        serde_json::json!({ "ids": ["a"], "exclude": { "query": "HistoryLength > 5" } }),
    ] {
        assert!(select(wrong.clone()).is_err(), "{wrong}");
    }
    let safe = serde_json::json!({ "ids": ["a"], "exclude": { "query": "WorkflowType = 'B'" } });
    let sent = select(safe).expect("safe").1.exclude.sent();
    assert_eq!(
        sent.map(|sent| sent.fold().render()).as_deref(),
        Some("NOT WorkflowType = 'B'")
    );
    // Elsewhere `NOT (Tier = 'gold')` may drop those without a tier: that is judged here.
    let unsafe_one = serde_json::json!({ "ids": ["a"], "exclude": { "query": "Tier = 'gold'" } });
    assert_eq!(
        select(unsafe_one).expect("it parses").1.exclude.sent(),
        None
    );
}
