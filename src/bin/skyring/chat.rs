//! `skyring chat`: rooms in which people talk.

use std::error::Error;
use std::process::ExitCode;

use skyring::limit::Limit;
use skyring::servers::chat::{self, Limits};
use skyring::{Framing, LengthPrefix};

use super::Knobs;

/// Options of `skyring chat`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where to listen: host:port (port 0 takes a free one) or unix:/path.
    #[arg(long, default_value = "127.0.0.1:8888", value_name = "ADDR")]
    listen: String,
    /// How commands are cut: u16 or u32 (big-endian length before each), varint, or line.
    #[arg(long, default_value = "u16", value_parser = framing)]
    framing: Framing,
    /// Commands of one client a second, three times as many at once; 0 for no limit.
    #[arg(long, default_value = "10", value_name = "COUNT")]
    rate: u32,
    /// Rooms at the same time.
    #[arg(long, default_value = "1000", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    rooms: u32,
    /// Members of one room.
    #[arg(long, default_value = "1000", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    members: u32,
    #[command(flatten)]
    knobs: Knobs,
}

/// A command is a frame of any length, so raw bytes and fixed sizes do not do.
fn framing(text: &str) -> Result<Framing, String> {
    match text.parse().map_err(|error: skyring::wire::UnknownFraming| error.to_string())? {
        framing @ (Framing::Line
        | Framing::Length(
            LengthPrefix::U16 | LengthPrefix::U32 | LengthPrefix::Varint,
        )) => Ok(framing),
        _ => Err("commands have lengths of their own: use u16, u32, varint or line".into()),
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let (config, _log) = options.knobs.serving()?;
    let limits = Limits {
        commands: Limit::per_second(options.rate, options.rate.saturating_mul(3)),
        rooms_max: options.rooms as usize,
        members_max: options.members as usize,
        ..Limits::default()
    };
    let engine = chat::engine(config, &options.listen, options.framing, limits);
    super::serve(engine, &format!("chat, {}", options.framing))
}
