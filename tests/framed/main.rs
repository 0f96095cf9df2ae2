//! Streams in frames, and codecs of a user's own, as a user sees them: in the simulated kernel by
//! seed, and once in the real one.

mod codecs;
mod cuts;
mod gate;
mod real;
mod stream;
