//! The servers, the effective configuration, and the doctor.
fn main() {}
