//! The integration tests, one binary: linking is what a test build costs most.

mod layers;
mod language;
mod filters;
mod service;
mod simulator;
mod engine;
mod batch;
mod rehearsal;
mod selection;
mod interrupt;
mod command_line;
mod crashes;
mod stage;
mod display;
mod terminal;
mod resets;
mod by_hand;
mod shipped;
mod general;
mod conformance;
mod corpus;
mod grants;
mod two_operators;
mod simulation;
mod guarantees;
mod page;
