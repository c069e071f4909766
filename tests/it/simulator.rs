//! The simulator, through Temporal's messages: each test holds a fact that was measured on server 1.32.

mod scenes;

#[allow(deprecated)] // the service still sends the deprecated fields too
mod deployments;
mod faults;
mod moves;
mod resets;
mod scale;
mod starts;
mod visibility;
