//! The gate, by each RPC that the service has.
