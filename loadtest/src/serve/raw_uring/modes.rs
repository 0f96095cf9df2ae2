//! The ways to receive and send between which the experiment chooses.

use std::fmt;

use clap::ValueEnum;

/// How the server receives and sends. The defaults are what measured best.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Modes {
    /// How the raw-uring server receives.
    #[arg(long, value_enum, default_value_t = Receive::Multishot)]
    pub(crate) receive: Receive,
    /// How the raw-uring server sends what it received into blocks.
    #[arg(long, value_enum, default_value_t = Send::Gather)]
    pub(crate) send: Send,
    /// Bytes of a block that multishot receives fill.
    #[arg(long, value_parser = crate::serve::parse_buffer, default_value = "16k")]
    #[arg(value_name = "BYTES")]
    pub(crate) block: usize,
    /// Blocks in the buffer ring; a power of two.
    #[arg(long, value_parser = parse_blocks, default_value = "1024", value_name = "N")]
    pub(crate) blocks: u16,
}

/// How bytes come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Receive {
    /// One receive for the life of a connection, into blocks of a shared ring.
    Multishot,
    /// A receive for each turn, into the connection's own 64 KiB.
    Oneshot,
    /// The same, which waits for readiness first instead of trying.
    OneshotPollFirst,
}

/// How bytes go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Send {
    /// One sendmsg that gathers all pieces of a turn; a plain send where there is one. It is told
    /// not to wait and ends unseen, so that a turn needs one enter.
    Gather,
    /// The same, but every send may wait in the kernel, and its end is worth a wake-up.
    GatherWait,
    /// As gather, with a send bundle out of a buffer ring of the connection's own (6.10).
    Bundle,
}

impl fmt::Display for Modes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.expect("no mode is hidden").get_name().to_owned()
        };
        write!(f, "receive {}", name(self.receive.to_possible_value()))?;
        if self.receive == Receive::Multishot {
            let send = name(self.send.to_possible_value());
            write!(f, ", send {send}, {} blocks of {} B", self.blocks, self.block)?;
        }
        Ok(())
    }
}

fn parse_blocks(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(blocks @ 8..=32_768) if blocks.is_power_of_two() => Ok(blocks),
        _ => Err(format!("{text}: expected a power of two from 8 to 32768")),
    }
}
