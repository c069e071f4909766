//! `runbook` carries out an operational procedure that was written as YAML, reviewed in git and
//! rehearsed. Its first home is Temporal.
//!
//! The modules stand in the order of the data's path, and each uses only those above it (the test
//! `tests/it/layers.rs` holds that). A file becomes a [`document`] (text with a position for every
//! node), passes the [`schema`], and becomes a [`runbook`] whose expressions ([`template`]) and
//! queries ([`list_filter`]) are parsed once. With parameters and a [`survey`] of the live service
//! that is a [`plan`]. [`payload`] writes and reads what Workflows take and give. A run folds
//! [`record`]s into [`ledger`] and [`steps`], which name the next effects; everything up to there is
//! pure: no I/O, no clock, no async. Below [`clock`] the world begins: [`temporal`] calls the service
//! (or the [`simulator`], which is served behind the same client), [`action`] has the only effects,
//! [`journal`] makes records durable, [`run`] is the loop, [`desk`] is where it is answered from elsewhere, and [`api`]
//! brings the answers there; [`page`] does so for a browser. [`report`] and [`ui`] show records and call nothing.
//!
//! [`review`] shows a runbook itself, and what an edit of it changes for operators.

pub mod sabotage;
pub mod diagnostic;
pub mod document;
pub mod template;
pub mod history;
pub mod survey;
pub mod lease;
pub mod payload;
pub mod list_filter;
pub mod catalog;
pub mod selection;
pub mod schema;
pub mod runbook;
pub mod record;
pub mod decision;
pub mod equivalent;
pub mod health;
pub mod plan;
pub mod approval;
pub mod ledger;
pub mod steps;
pub mod clock;
pub mod pace;
pub mod connection;
pub mod temporal;
pub mod simulator;
pub mod action;
pub mod journal;
pub mod run;
pub mod desk;
pub mod rehearsal;
pub mod report;
pub mod api;
pub mod review;
pub mod page;
pub mod ui;
pub mod cli;
pub mod guarantees;
