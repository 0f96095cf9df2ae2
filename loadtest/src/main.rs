//! Load benchmarks for skyring and its peers.
fn main() {}
