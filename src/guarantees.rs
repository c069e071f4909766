//! What this tool guarantees: each with what it rests on, the tests that show it, and what it does not cover.
//!
//! The README has the short form. `tests/it/guarantees.rs` holds that each part names tests, that those tests exist,
//! and that the README names the same guarantees. `it` and `lib` are the tests of this crate, `live` those on a real
//! Temporal server.
//!
//! # A write is sent once
//!
//! No layer sends a write a second time: not the client, not the transport, not the engine. Only reads are tried
//! again.
//!
//! Rests on: a reset is not idempotent; calls with one request id make a run each (measured on server 1.32). So the
//! official client's retries are bypassed, and each call has one outcome.
//!
//! Shown by: `it::conformance::resets::request_ids_do_not_protect`, `it::service::no_layer_retries_a_write`,
//! `it::service::network::over_tcp_no_layer_retries_a_write`, `it::simulation::planted::a_blind_retry_is_found`.
//!
//! Does not cover: a proxy between this tool and the service that repeats requests by itself. The Workflow is then
//! reset twice by one call; the ledger names one of the runs.
//!
//! # A write is announced before it leaves
//!
//! What is about to be done is in the state file, forced to the disk, before the request leaves. A run killed at any
//! instant knows afterwards which writes may have happened.
//!
//! Rests on: `fdatasync` of the file, and `fsync` of its folder when it is made.
//!
//! Shown by: `it::simulation::the_promises_are_kept`,
//! `it::simulation::planted::an_outcome_before_its_intent_is_found`,
//! `it::simulation::planted::a_skipped_fsync_is_found`,
//! `it::rehearsal::killed_before_and_after_every_effect_nothing_is_done_twice_or_lost`,
//! `live::test_killed::test_fifty_kills_and_a_resume_reset_everything_once`.
//!
//! Does not cover: a disk that says it has written and has not.
//!
//! # Doubt is settled by asking
//!
//! A write whose answer did not come, or says nothing about whether it happened, is in doubt. Ten seconds after its
//! deadline the service is asked: `reset_run_id` of the base run, the Versioning Override, the request id of a start
//! or a Signal, the batch job's id. Only what is found not to have happened is decided anew, from a new look.
//!
//! Rests on: a base run that was reset, also a closed one, names the newest run that came of it.
//!
//! Shown by: `it::conformance::resets::of_a_closed_run`,
//! `lib::ledger::life::a_write_follows_only_a_claim_and_doubt_is_never_written_again`,
//! `it::service::a_service_in_memory_that_never_answers_puts_the_write_in_doubt_after_one_call`,
//! `it::simulation::planted::a_restart_that_is_sent_again_is_found`,
//! `it::batch::a_start_whose_fate_is_not_known_is_looked_for_and_not_repeated_blindly`,
//! `live::test_cut_connection::test_whatever_happens_to_the_connection`.
//!
//! Does not cover: a reset that the network holds back for longer than the deadline and ten seconds more; it may
//! arrive after it was found not to have happened (`live::test_late_answers::test_what_is_held_beyond_the_deadline`).
//!
//! # A write rests on a look
//!
//! Before a write the Workflow itself is asked, by Describe and where needed by its history, and the request leaves
//! at most two seconds after that was asked (where the service is slower to answer, ten). A look that grew older,
//! because the process was suspended or the machine slept, is taken again. What somebody else did meanwhile is found,
//! and skipped.
//!
//! Rests on: Describe reads the mutable state, Visibility is a copy that lags.
//!
//! Shown by: `it::simulation::planted::a_stale_look_is_found`,
//! `it::simulation::planted::a_row_chosen_before_the_look_is_found`,
//! `it::simulation::planted::trusting_visibility_is_found`,
//! `live::test_suspended::test_what_was_seen_before_it_slept_is_looked_at_again`,
//! `it::command_line::locks::without_a_lock_the_look_keeps_the_second_tool_away`.
//!
//! Does not cover: the time between the look and the write. Temporal has no compare-and-set; what somebody else does
//! to the same Workflow in that time is done too, and the newer one wins
//! (`it::two_operators::without_a_lock_both_reset_a_workflow_only_between_a_look_and_its_write`).
//!
//! # Everything else that writes happens once too
//!
//! A Signal reaches a Workflow ID once a step, whichever of its runs took it. A batch job starts once an iteration. A
//! program that is not idempotent is never run again by itself.
//!
//! Rests on: a request id that the run of the tool, the step and the Workflow give; a job id that the iteration
//! gives. A reset makes a run that has forgotten request ids, hence the Workflow ID.
//!
//! Shown by: `it::conformance::interrupts::a_reset_forgets_request_ids`,
//! `it::interrupt::wherever_a_campaign_is_killed_each_gets_one_signal`,
//! `it::batch::killed_before_and_after_each_start_each_job_runs_once`,
//! `it::simulation::planted::a_job_id_that_repeats_is_found`,
//! `it::general::what_is_not_idempotent_runs_once_however_often_it_is_resumed`,
//! `live::test_batch::test_a_killed_run_finds_its_job_again`.
//!
//! Does not cover: a program whose tool was killed outright goes on alone
//! (`it::general::after_a_crash_only_what_is_idempotent_runs_again`).
//!
//! # One at a time
//!
//! A state file is held by one process. A runbook with a `lock:` is carried out by one run at a time, on whatever
//! machine; the service itself holds the lease. It is broken by nobody but `runbook unlock`, after a typed word.
//!
//! Rests on: a Workflow ID has one running Workflow, and a start with conflict policy FAIL is refused by the service.
//!
//! Shown by: `it::conformance::starts::an_id_that_is_taken`, `live::test_two_resumes::test_ten_resumes_at_once`,
//! `it::command_line::locks::the_second_is_refused_until_the_first_has_ended`,
//! `it::command_line::locks::killed_while_it_takes_or_gives_back_its_lock_it_goes_on`,
//! `it::two_operators::with_a_lock_one_of_two_is_refused_and_nothing_is_reset_twice`,
//! `live::test_lock::test_of_two_at_once_one_wins`.
//!
//! Does not cover: the minute until a run notices that its lock was broken; the look protects the Workflows then
//! (`live::test_lock::test_a_run_whose_lock_is_broken_halts_within_a_minute_and_its_sign_of_life_is_seen`).
//!
//! # A run goes on where it was
//!
//! Killed, cut off, suspended or interrupted, at any byte of its state file, a run is resumed on the plan that it
//! began with, and comes to the same end.
//!
//! Rests on: the first record holds the whole plan, and the rest is a fold of the records.
//!
//! Shown by: `it::rehearsal::killed_after_every_odd_record_each_resume_reaches_the_same_end`,
//! `it::rehearsal::killed_after_every_even_record_each_resume_reaches_the_same_end`,
//! `lib::journal::tests::a_cut_at_any_byte_leaves_a_prefix_that_goes_on`, `it::simulation::the_promises_are_kept`,
//! `live::test_server_dies::test_a_halted_tool_is_resumed_when_the_server_is_back`.
//!
//! Does not cover: a state file that is gone. A new run finds moves, restarts and resets of running Workflows done;
//! who did them, and what was in doubt, went with the file
//! (`it::command_line::a_second_complete_run_asks_nothing_also_about_what_was_reopened`).
//!
//! # The state file is whole, or refused
//!
//! A torn last line is cut off; any other damage, another format or another service is refused, and nothing is
//! changed.
//!
//! Rests on: a checksum a line, and records numbered without a gap.
//!
//! Shown by: `lib::journal::tests::a_changed_last_line_is_damage`,
//! `lib::journal::tests::missing_and_repeated_lines_are_damage`,
//! `lib::journal::tests::other_files_and_other_versions_are_refused`, `it::corpus::journals`.
//!
//! Does not cover: a file that was cut short between two lines, or put back from an older copy, while no run used it;
//! and somebody who changes a line and makes its checksum fit (`it::corpus::journals` folds such lines, and none
//! makes the tool fall over).
//!
//! # Without a record nothing is written
//!
//! Where the disk is full, or the state file was deleted, replaced or cut, the run stops before its next write to the
//! service and says how to go on.
//!
//! Rests on: no effect leaves before its intent was committed, and a commit that fails ends the process.
//!
//! Shown by: `it::crashes::a_run_that_is_starved_or_interrupted_goes_on`,
//! `live::test_full_disk::test_no_file_may_grow_any_more`,
//! `live::test_journal_taken::test_who_follows_the_hint_goes_on`,
//! `live::test_journal_taken::test_nobody_goes_on_with_one_that_was_cut`.
//!
//! Does not cover: writes that had left when the file was taken away
//! (`live::test_journal_taken::test_who_follows_the_hint_goes_on`).
//!
//! # Nothing is lost
//!
//! Every Workflow that a listing showed ends as recovered, skipped, refused, failed or released, with a reason, or
//! the run says that it is not finished. The listing is repeated until a full pass brings nothing new.
//!
//! Rests on: new rows sort to the front while pages are read and are missed in that pass.
//!
//! Shown by: `it::simulation::the_promises_are_kept`, `it::simulation::planted::a_replayed_page_is_found`,
//! `it::simulation::planted::a_claim_that_is_never_released_is_found`,
//! `live::test_recover::test_everything_is_recovered_once`.
//!
//! Does not cover: a Workflow that Visibility never shows; nor one whose first Workflow Task never completed and that
//! has no Override, which carries no Version and follows the Current one.
//!
//! # Nothing is written unseen
//!
//! A dry run and a plan use a connection that lets through only the RPCs on a read-only list; a write is refused
//! before it reaches the network.
//!
//! Rests on: the one transport that all calls pass.
//!
//! Shown by: `it::service::a_dry_run_refuses_each_write_before_the_backend`,
//! `it::command_line::a_dry_run_writes_nothing_and_is_not_resumed`, `it::simulation::the_promises_are_kept`,
//! `live::test_quiet::test_plan_explain_and_dry_run_write_nothing`.
//!
//! Does not cover: a Query runs a Workflow's own code, and a dry run asks Queries; a program that is declared to read
//! runs in a dry run (`it::general::a_dry_run_runs_only_what_reads_and_without_a_terminal_a_write_is_asked_about`).
//!
//! # An answer grants what was shown
//!
//! No write can be built without a permit, which only a grant makes: for this query or selection, action, arguments
//! and Version, for what was shown and a tenth, for four hours. What goes beyond it asks again.
//!
//! Rests on: the type `approval::Permit`, which nothing else can make.
//!
//! Shown by: `it::grants::another_target_in_a_later_round_is_asked_about_before_anything_goes_there`,
//! `it::grants::an_old_answer_is_renewed_before_the_next_write`,
//! `it::grants::a_job_that_waited_longer_than_its_grant_is_asked_about_again_before_it_starts`,
//! `it::simulation::the_promises_are_kept`.
//!
//! Does not cover: what a batch job of the service does to Workflows that match its query only after it was counted;
//! the question says so (`it::batch::the_question_says_what_the_service_does_not`).
//!
//! # Two people are two people
//!
//! Who answered is written down: name, from where, through what. Where a step wants several people, each counts once,
//! whoever began or resumed the run not at all where the runbook says so, and each for four hours and for what was
//! asked of them. Names that may be one person's are one person's: `alice`, `Alice`, `alice@example.com`, and two names
//! of one user id on one host. The first answer stands, and one no is a no.
//!
//! Rests on: each yes is a record of its own, and what counts is found out from the records alone, by whoever resumes.
//!
//! Shown by: `lib::desk::tests::any_sequence_of_answers_comes_to_what_the_rules_say`,
//! `lib::desk::tests::votes_outlive_the_process_for_four_hours`,
//! `lib::desk::tests::whoever_resumes_is_a_starter_too_and_their_vote_counts_no_more`,
//! `it::grants::what_two_people_must_agree_to_waits_for_the_second`,
//! `it::simulation::planted::a_vote_that_counts_twice_is_found`,
//! `it::simulation::planted::a_starter_who_counts_is_found`.
//!
//! Does not cover: who sits at a terminal. Its user is whom `$USER` names, and a second user id on the machine is taken
//! for a second person. Nor who can write to the state file, or whom an authority gives two certificates.
//!
//! # Guards hold whoever agrees
//!
//! Namespaces, addresses, actions and counts that a runbook's `guards:` rule out are refused before the first call,
//! or when they are counted, with the rule and its line.
//!
//! Rests on: guards are written out; no parameter reaches them, and the plan in the state file holds them.
//!
//! Shown by: `it::command_line::guards::another_namespace_or_address_is_refused_before_anybody_is_called`,
//! `it::command_line::guards::a_resume_elsewhere_is_refused_by_the_rules_that_the_run_began_with`,
//! `it::grants::a_guard_holds_whoever_agrees_and_however_the_incident_grows`.
//!
//! Does not cover: another name for the same address; nothing is resolved
//! (`it::command_line::guards::another_namespace_or_address_is_refused_before_anybody_is_called`).
//!
//! # No value changes what a query means
//!
//! A value that comes into a query is one literal or a list of literals, whatever it holds.
//!
//! Rests on: the query is parsed once, and values go into its tree, not into its text.
//!
//! Shown by: `it::corpus::expressions`, `it::corpus::list_filters`,
//! `it::conformance::filters::filters_of_every_form_find_the_same_rows`,
//! `live::test_quiet::test_a_hostile_value_matches_nothing`.
//!
//! Does not cover: on SQLite a value with a backslash or a double quote matches nothing, so such values are compared
//! here (`it::conformance::filters::awkward_values_are_found_by_themselves`).
//!
//! # Visibility only says where to look
//!
//! What is listed is never taken for what is: a decision rests on the look, and what could not be found out is said
//! to be unknown.
//!
//! Rests on: Visibility lags by seconds, and `TemporalReportedProblems` by a minute.
//!
//! Shown by: `it::simulation::planted::trusting_visibility_is_found`,
//! `it::service::reads::a_preflight_says_what_it_could_not_find_out`,
//! `it::conformance::transcript::a_difference_must_be_known_and_differ`.
//!
//! Does not cover: counts in a question are Visibility's, and said to be
//! (`it::command_line::planning::a_plan_says_what_a_run_would_do`).
//!
//! # Drained is not recovered
//!
//! Healthy is only a Workflow that completed a Workflow Task on its target; an idle one is unproven, and is said to
//! be.
//!
//! Rests on: drainage counts by an attribute that an Override flips at once, while a started task stays with its old
//! Worker until it times out.
//!
//! Shown by: `it::conformance::deployments::drainage`,
//! `it::simulation::planted::drained_taken_for_recovered_is_found`,
//! `it::rehearsal::every_scenario_of_the_flagship_holds`, `live::test_recover::test_then_every_workflow_ends_well`.
//!
//! Does not cover: an idle Workflow proves itself only at its next event
//! (`it::rehearsal::every_scenario_of_the_flagship_holds`). One that keeps failing in its very first Workflow Task is
//! not moved by an Override on server 1.32, only by a reset; verification names it
//! (`it::conformance::problems::an_override_on_a_first_task_that_fails`).
//!
//! # What comes from outside is shown harmlessly
//!
//! Names, reasons and errors are shown without anything that a terminal acts on, whatever they hold, and files and
//! answers of any content are read or refused.
//!
//! Rests on: one function that all text for a terminal passes, and fuzzed parsers.
//!
//! Shown by: `it::corpus::yaml`, `it::corpus::histories`, `it::corpus::payloads`,
//! `it::language::hostile_files_are_refused_quickly`.
//!
//! Does not cover: what another program makes of a file that `--output json` or CSV was written to.
//!
//! # Secrets stay secret
//!
//! A secret parameter, an API key and a codec's credential are in no plan, question, state file, report, diagnostic
//! or log, and in no program's environment that was not given them.
//!
//! Rests on: secrets are a type of their own that is never written, and what programs put out is searched for them.
//!
//! Shown by: `it::general::no_secret_is_left_anywhere`,
//! `it::command_line::secrets::a_secret_parameter_is_in_nothing_that_is_said_or_kept`,
//! `it::command_line::secrets::credentials_of_the_connection_are_in_nothing_that_is_said`,
//! `it::command_line::secrets::a_program_gets_the_variables_that_are_declared_and_no_others`,
//! `it::command_line::secrets::what_is_kept_is_its_owners_alone_whatever_the_umask`.
//!
//! Does not cover: what a program computes from a secret, and puts out.
