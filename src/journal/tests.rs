//! The laws of the journal.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::record::{Claim, FORMAT, Outcome, Place, RunId, RunStatus};

fn at(seq: u64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_760_000_000 + i64::try_from(seq).expect("small")).expect("valid")
}

fn record(seq: u64, body: Body) -> Record {
    Record {
        seq,
        at: at(seq),
        body,
    }
}

fn opened(seq: u64) -> Record {
    record(
        seq,
        Body::Opened {
            format: FORMAT,
            run: RunId("rb-1a2b".to_owned()),
            plan: Box::new(json!({ "name": "test ünïcode \u{0}" })),
            tool: "0.1.0".to_owned(),
            dry: false,
            rehearsal: false,
            saved: None,
        },
    )
}

/// The `seq`-th record of some run.
fn nth(seq: u64) -> Record {
    let place = || Place {
        step: "recover".to_owned(),
        iteration: 1,
    };
    let body = match seq % 4 {
        _ if seq == 1 => return opened(1),
        0 => Body::StepStarted { place: place() },
        1 => Body::Page {
            place: place(),
            pass: 1,
            claims: vec![Claim {
                ordinal: 0,
                id: format!("order \"{seq}\"\n\\"),
                run: "r".to_owned(),
                workflow_type: "Order".to_owned(),
                latest: false,
            }],
            cursor: None,
        },
        2 => Body::Outcome {
            ordinal: 0,
            row: "stuck".to_owned(),
            outcome: Outcome::Done { new_run: None },
        },
        _ => Body::PassEnded {
            place: place(),
            pass: 1,
            claimed: 1,
            unmatched: BTreeMap::new(),
        },
    };
    record(seq, body)
}

fn some(from: u64, count: u64) -> Vec<Record> {
    (from..from + count).map(nth).collect()
}

/// Writes groups of these sizes to memory.
fn written(groups: &[u64]) -> (Memory, Vec<Record>) {
    let memory = Memory::default();
    let mut journal = Journal::in_memory(&memory);
    let mut all = Vec::new();
    for size in groups {
        let group = some(journal.next_seq(), *size);
        journal.append(&group).expect("room");
        all.extend(group);
    }
    (memory, all)
}

fn reopened(bytes: Vec<u8>) -> Result<(Journal, Memory, Vec<Record>, Option<Torn>), JournalError> {
    let memory = Memory::of(bytes);
    let mut records = Vec::new();
    let opened = Journal::open_memory(&memory, |record| records.push(record))?;
    Ok((opened.journal, memory, records, opened.torn))
}

fn kind_of<T>(result: Result<T, JournalError>) -> ErrorKind {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(error) => error.kind,
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn read_all(path: &Path) -> Vec<Record> {
    read(path)
        .expect("a journal")
        .map(|record| record.expect("a record"))
        .collect()
}

#[test]
fn what_is_appended_is_read() {
    let folder = Folder::new();
    let path = folder.path("a/b/rb-1a2b.jsonl");
    let mut journal = Journal::create(&path).expect("created");
    journal.append(&some(1, 3)).expect("appended");
    journal.append(&some(4, 2)).expect("appended");
    journal.append(&[]).expect("nothing to do");
    assert_eq!(read_all(&path), some(1, 5));
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&folder.path("a")), 0o700);
    assert_eq!(mode(&folder.path("a/b/rb-1a2b.jsonl.lock")), 0o600);
    drop(journal);
    assert!(!folder.path("a/b/rb-1a2b.jsonl.lock").exists());

    let mut records = Vec::new();
    let mut opened = Journal::open(&path, |record| records.push(record)).expect("opened");
    assert_eq!(opened.torn, None);
    assert_eq!(records, some(1, 5));
    opened.journal.append(&some(6, 1)).expect("appended");
    assert_eq!(read_all(&path), some(1, 6));
    assert_eq!(
        fs::read(&path)
            .expect("bytes")
            .iter()
            .filter(|b| **b == b'\n')
            .count(),
        3
    );
}

#[test]
fn a_cut_at_any_byte_leaves_a_prefix_that_goes_on() {
    let (memory, all) = written(&[1, 2, 1, 3]);
    let bytes = memory.bytes();
    for length in 0..=bytes.len() {
        let cut = bytes[..length].to_vec();
        let whole = cut
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        if whole == 0 {
            assert!(
                matches!(kind_of(reopened(cut)), ErrorKind::NoRecords),
                "at {length}"
            );
            continue;
        }
        let (mut journal, memory, records, torn) = reopened(cut).expect("a prefix");
        assert_eq!(records, all[..records.len()], "at {length}");
        assert_eq!(
            torn.map(|torn| torn.bytes),
            (whole < length).then_some((length - whole) as u64)
        );
        journal
            .append(&some(journal.next_seq(), 2))
            .expect("goes on");
        let (_, _, again, torn) = reopened(memory.bytes()).expect("still a journal");
        assert_eq!(again, some(1, records.len() as u64 + 2));
        assert_eq!(torn, None);
    }
}

#[test]
fn a_cut_file_is_cut_on_disk() {
    let folder = Folder::new();
    let path = folder.path("j.jsonl");
    let bytes = written(&[1, 2, 1]).0.bytes();
    fs::write(&path, &bytes[..bytes.len() - 3]).expect("written");
    assert_eq!(
        read_all(&path),
        some(1, 3),
        "a reader stops before the torn line"
    );
    let mut opened = Journal::open(&path, |_| ()).expect("opened");
    assert!(matches!(opened.torn, Some(Torn { line: 3, .. })));
    opened.journal.append(&some(4, 1)).expect("appended");
    assert_eq!(read_all(&path), some(1, 4));
}

proptest! {
    #[test]
    fn no_changed_byte_goes_unnoticed(
        groups in prop::collection::vec(1_u64..4, 1..5),
        place in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let (memory, all) = written(&groups);
        let mut bytes = memory.bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        let before_last = all.len() - usize::try_from(*groups.last().expect("one")).expect("small");
        // Refused, or nothing but the last line is missing.
        if let Ok((_, _, records, torn)) = reopened(bytes) {
            prop_assert_eq!(&records[..], &all[..before_last]);
            prop_assert!(torn.is_some());
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(reopened(bytes).is_err());
    }

    #[test]
    fn a_full_disk_loses_nothing_that_was_committed(room in 0_u64..2_000) {
        let memory = Memory::default();
        let mut journal = Journal::in_memory(&memory);
        journal.append(&some(1, 1)).expect("room");
        journal.inject(Fault::DiskFull { after_bytes: room });
        let mut committed = 1;
        let error = loop {
            match journal.append(&some(journal.next_seq(), 2)) {
                Ok(()) => committed += 2,
                Err(error) => break error,
            }
        };
        let restored = matches!(error.kind, ErrorKind::Append { restored: true, .. });
        prop_assert!(restored, "{}", error);
        let next = some(journal.next_seq(), 1);
        let refused = matches!(kind_of(journal.append(&next)), ErrorKind::Poisoned { .. });
        prop_assert!(refused);
        let (_, _, records, torn) = reopened(memory.bytes()).expect("still a journal");
        prop_assert_eq!(records, some(1, committed));
        prop_assert_eq!(torn, None);
    }
}

#[test]
fn blocks_that_were_never_written_are_a_torn_line_only_at_the_end() {
    let (memory, all) = written(&[1, 2, 1]);
    let mut bytes = memory.bytes();
    let newline = |bytes: &[u8]| bytes.iter().rposition(|b| *b == b'\n').expect("one");
    let end = bytes.len() - 1;
    let last = newline(&bytes[..end]) + 1;
    bytes[last + 4..end - 4].fill(0);
    let (_, _, records, torn) = reopened(bytes.clone()).expect("cut");
    assert_eq!(records, all[..3]);
    assert_eq!(
        torn.map(|torn| (torn.line, torn.offset)),
        Some((3, last as u64))
    );

    let middle = newline(&bytes[..last - 1]) + 1;
    bytes[middle + 20] = 0;
    let kind = kind_of(reopened(bytes));
    assert!(matches!(kind, ErrorKind::Damaged { line: 2, offset, .. } if offset == middle as u64));
}

#[test]
fn a_changed_last_line_is_damage() {
    let mut bytes = written(&[1, 1]).0.bytes();
    let place = bytes.len() - 10;
    bytes[place] ^= 1;
    assert!(matches!(
        kind_of(reopened(bytes)),
        ErrorKind::Damaged { line: 2, .. }
    ));
}

#[test]
fn missing_and_repeated_lines_are_damage() {
    let bytes = written(&[1, 1, 1]).0.bytes();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let gap = reopened([lines[0], lines[2]].concat()).expect_err("refused");
    assert_eq!(
        gap.to_string(),
        format!(
            "memory is damaged: line 2, byte {}: record 3 stands where record 2 belongs",
            lines[0].len()
        )
    );
    assert_eq!(gap.exit_code(), 4);
    assert!(reopened([lines[0], lines[1], lines[1]].concat()).is_err());
    assert!(reopened([lines[1], lines[2]].concat()).is_err());
}

/// A line of these records, with a checksum that is right.
fn framed(records: &str) -> Vec<u8> {
    let crc = crc32fast::hash(records.as_bytes());
    format!("{{\"crc\":\"{crc:08x}\",\"records\":{records}}}\n").into_bytes()
}

#[test]
fn other_files_and_other_versions_are_refused() {
    let foreign = [
        "hello",
        "hello\n",
        "{\"a\":1}\n",
        "\u{feff}{}\n",
        "schema: runbook/v1\n",
    ];
    for text in foreign {
        assert!(
            matches!(kind_of(reopened(text.into())), ErrorKind::Foreign),
            "{text}"
        );
    }
    for empty in [&b""[..], &b"{\"crc\""[..], &[0, 0, 0][..]] {
        assert!(matches!(
            kind_of(reopened(empty.to_vec())),
            ErrorKind::NoRecords
        ));
    }
    let newer = r#"[{"seq":"one","body":{"kind":"opened","format":{"major":2,"minor":7}}}]"#;
    let error = reopened(framed(newer)).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "memory has journal format 2.7; this version reads 1.x"
    );
    let mut unknown = written(&[1]).0.bytes();
    unknown.extend(framed(
        r#"[{"seq":2,"at":"2026-01-01T00:00:00Z","body":{"kind":"novelty"}}]"#,
    ));
    assert!(matches!(
        kind_of(reopened(unknown)),
        ErrorKind::Unknown { line: 2, .. }
    ));
    assert!(matches!(
        kind_of(reopened(framed("[]"))),
        ErrorKind::Damaged { line: 1, .. }
    ));
}

#[test]
fn an_existing_file_is_not_overwritten() {
    let folder = Folder::new();
    let path = folder.path("j.jsonl");
    let mut journal = Journal::create(&path).expect("created");
    journal.append(&some(1, 1)).expect("appended");
    drop(journal);
    let error = Journal::create(&path).expect_err("refused");
    assert_eq!(
        error.to_string(),
        format!(
            "{} already holds the journal of run rb-1a2b",
            path.display()
        )
    );
    assert_eq!(
        error.hint(),
        format!("go on with it: runbook resume {}", path.display())
    );
    assert_eq!(error.exit_code(), 4);
    fs::write(folder.path("other"), "mine").expect("written");
    let kind = kind_of(Journal::create(&folder.path("other")));
    assert!(matches!(kind, ErrorKind::Exists { run: None }));
    assert_eq!(fs::read(folder.path("other")).expect("there"), b"mine");
}

#[test]
fn a_second_runner_is_refused_and_told_who_is_first() {
    let folder = Folder::new();
    let path = folder.path("j.jsonl");
    let mut journal = Journal::create(&path).expect("created");
    journal.append(&some(1, 1)).expect("appended");
    let error = Journal::open(&path, |_| ()).expect_err("refused");
    let ErrorKind::Locked {
        holder: Some(holder),
    } = &error.kind
    else {
        panic!("{error}");
    };
    let here = Holder::here();
    assert_eq!(
        (&holder.host, holder.pid, &holder.user),
        (&here.host, here.pid, &here.user)
    );
    assert_eq!(
        error.to_string(),
        format!("{} is in use by {holder}", path.display())
    );
    assert_eq!(error.exit_code(), 4);
    // Also by another name of the file.
    let link = folder.path("link.jsonl");
    fs::hard_link(&path, &link).expect("linked");
    assert!(matches!(
        kind_of(Journal::open(&link, |_| ())),
        ErrorKind::Locked { holder: None }
    ));
    assert_eq!(running(&path), Some(Some(holder.clone())));
    drop(journal);
    assert_eq!(running(&path), None);
    // What a killed process leaves behind says nothing.
    fs::write(folder.path("j.jsonl.lock"), "{\"host\"").expect("written");
    Journal::open(&path, |_| ()).expect("free again");
}

#[test]
fn a_disk_that_is_full_from_the_start_is_an_error() {
    let device = OpenOptions::new()
        .append(true)
        .open("/dev/full")
        .expect("a Linux system");
    let medium = Medium::file(device, 0, true);
    let mut journal = Journal::new(PathBuf::from("/dev/full"), None, medium, 1);
    let error = journal.append(&some(1, 1)).expect_err("no room");
    let ErrorKind::Append { source, .. } = &error.kind else {
        panic!("{error}");
    };
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    assert_eq!(error.exit_code(), 1);
    assert!(matches!(
        kind_of(journal.append(&some(1, 1))),
        ErrorKind::Poisoned { .. }
    ));
}

/// A journal of one record to which `harm` is done; the error of the next commit, what its file held, and the path.
fn harmed(folder: &Folder, harm: impl FnOnce(&Path)) -> (JournalError, Vec<u8>, PathBuf) {
    let path = folder.path("in/j.jsonl");
    let mut journal = Journal::create(&path).expect("created");
    journal.append(&some(1, 3)).expect("appended");
    let held = fs::read(&path).expect("there");
    harm(&path);
    let error = journal.append(&some(4, 1)).expect_err("nowhere to write");
    assert_eq!(error.exit_code(), 1);
    let again = kind_of(journal.append(&some(4, 1)));
    assert!(matches!(again, ErrorKind::Poisoned { .. }));
    (error, held, path)
}

fn goes_on(path: &Path) {
    let mut records = Vec::new();
    let mut opened = Journal::open(path, |record| records.push(record)).expect("opened");
    assert_eq!((records, opened.torn), (some(1, 3), None));
    opened.journal.append(&some(4, 1)).expect("goes on");
}

#[test]
fn a_file_that_was_removed_is_put_back() {
    let folder = Folder::new();
    let (error, held, path) = harmed(&folder, |path| fs::remove_file(path).expect("removed"));
    assert!(
        error.to_string().contains("the file was removed"),
        "{error}"
    );
    assert_eq!(error.hint(), format!("runbook resume {}", path.display()));
    assert_eq!(fs::read(&path).expect("put back"), held);
    goes_on(&path);

    let folder = Folder::new();
    let remove = |path: &Path| fs::remove_dir_all(path.parent().expect("one")).expect("removed");
    let (_, held, path) = harmed(&folder, remove);
    assert_eq!(fs::read(&path).expect("put back, with its folder"), held);
    goes_on(&path);
}

#[test]
fn a_file_in_whose_place_another_was_put_is_saved_beside_it() {
    let folder = Folder::new();
    let (other, put) = (folder.path("other"), "mine");
    fs::write(&other, put).expect("written");
    let (error, held, path) = harmed(&folder, |path| fs::rename(&other, path).expect("replaced"));
    let Taken::Removed { saved: Some(saved) } = taken(&error) else {
        panic!("{error}");
    };
    assert_eq!(fs::read(&saved).expect("saved"), held);
    assert_eq!(fs::read(&path).expect("left alone"), put.as_bytes());
    assert!(error.hint().starts_with(&format!("mv {}", saved.display())));
    fs::rename(&saved, &path).expect("moved back");
    goes_on(&path);
}

#[test]
fn a_file_that_was_moved_is_named() {
    let folder = Folder::new();
    let (error, _, path) = harmed(&folder, |path| {
        fs::rename(path, path.with_extension("away")).expect("moved");
    });
    let away = path.with_extension("away");
    assert_eq!(
        taken(&error),
        Taken::Moved {
            to: Some(away.clone())
        }
    );
    assert!(error.hint().contains("mv "), "{}", error.hint());
    fs::rename(away, &path).expect("moved back");
    goes_on(&path);
}

#[test]
fn nobody_goes_on_with_a_file_that_was_cut_or_written_to() {
    for left in [0, 1] {
        let folder = Folder::new();
        let (error, held, path) = harmed(&folder, |path| {
            let file = OpenOptions::new().write(true).open(path).expect("there");
            file.set_len(left).expect("cut");
        });
        let written = held.len() as u64;
        assert_eq!(taken(&error), Taken::Cut { left, written });
        let refused = Journal::open(&path, |_| ()).expect_err("refused");
        assert_eq!(refused.exit_code(), 4, "{refused}");
    }
    let folder = Folder::new();
    let (error, _, _) = harmed(&folder, |path| {
        let mut file = OpenOptions::new().append(true).open(path).expect("there");
        file.write_all(b"mine\n").expect("written");
    });
    assert_eq!(taken(&error), Taken::Grown);
}

/// A cut between two lines: without the line that is added, a shorter journal would be taken for whole.
#[test]
fn nobody_goes_on_with_a_file_that_was_cut_between_two_lines() {
    let folder = Folder::new();
    let path = folder.path("j.jsonl");
    let mut journal = Journal::create(&path).expect("created");
    journal.append(&some(1, 2)).expect("appended");
    let first = fs::metadata(&path).expect("there").len();
    journal.append(&some(3, 2)).expect("appended");
    let file = OpenOptions::new().write(true).open(&path).expect("there");
    file.set_len(first).expect("cut");
    journal.append(&some(5, 1)).expect_err("noticed");
    drop(journal);
    assert_eq!(
        Journal::open(&path, |_| ())
            .expect_err("refused")
            .exit_code(),
        4
    );
}

fn taken(error: &JournalError) -> Taken {
    match &error.kind {
        ErrorKind::Taken { taken } => taken.clone(),
        _ => panic!("{error}"),
    }
}

#[test]
fn a_process_killed_at_a_record_leaves_exactly_what_was_before() {
    for seq in 1..=6 {
        let memory = Memory::default();
        let mut journal = Journal::in_memory(&memory);
        journal.inject(Fault::KilledAfter { seq });
        let outcome = [1, 2, 3].into_iter().try_for_each(|size| {
            let group = some(journal.next_seq(), size);
            journal.append(&group)
        });
        assert!(matches!(kind_of(outcome), ErrorKind::Killed { after } if after == seq));
        let next = some(journal.next_seq(), 1);
        assert!(journal.append(&next).is_err());
        assert_eq!(reopened(memory.bytes()).expect("a journal").2, some(1, seq));
    }
}

#[test]
fn wrongly_numbered_records_are_a_bug_that_writes_nothing() {
    let memory = Memory::default();
    let mut journal = Journal::in_memory(&memory);
    assert_eq!(
        journal
            .append(&some(2, 1))
            .expect_err("refused")
            .exit_code(),
        70
    );
    let ended = Body::Ended {
        status: RunStatus::Halted,
        message: String::new(),
    };
    assert!(
        journal.append(&[record(1, ended)]).is_err(),
        "`opened` comes first"
    );
    journal.append(&some(1, 2)).expect("in order");
    assert!(journal.append(&[opened(3)]).is_err(), "and only first");
    journal.append(&some(3, 1)).expect("not poisoned");
    assert_eq!(reopened(memory.bytes()).expect("a journal").2, some(1, 3));
}

#[test]
fn runs_are_listed_with_their_errors() {
    let folder = Folder::new();
    for (name, hours) in [("rb-old.jsonl", 1), ("rb-new.jsonl", 2)] {
        let mut first = opened(1);
        first.at += jiff::SignedDuration::from_hours(hours - 1_000_000);
        let mut journal = Journal::create_unsynced(&folder.path(name)).expect("created");
        journal.append(&[first]).expect("appended");
        journal.append(&some(2, 4)).expect("appended");
    }
    File::create(folder.path("rb-zero.jsonl")).expect("created");
    fs::write(folder.path("notes.txt"), "mine").expect("written");
    let listed = list_in(folder.0.path()).expect("listed");
    let names: Vec<_> = listed
        .iter()
        .map(|one| one.path.file_name().expect("a name"))
        .collect();
    assert_eq!(names, ["rb-zero.jsonl", "rb-new.jsonl", "rb-old.jsonl"]);
    assert!(matches!(&listed[0].ends, Err(error) if matches!(error.kind, ErrorKind::NoRecords)));
    assert_eq!(listed[1].ends.as_ref().expect("read").last, nth(5));
    assert_eq!(list_in(&folder.path("absent")).expect("none").len(), 0);
}

#[test]
fn the_last_record_is_found_behind_a_torn_line() {
    let folder = Folder::new();
    let path = folder.path("j.jsonl");
    let bytes = written(&[1, 3, 2]).0.bytes();
    fs::write(&path, &bytes[..bytes.len() - 1]).expect("written");
    assert_eq!(ends(&path).expect("read").last, nth(4));
    fs::write(&path, written(&[2]).0.bytes()).expect("written");
    assert_eq!(ends(&path).expect("read").last, nth(2));
}
