//! Calls `cli`, returns the exit code.


fn main() {}
