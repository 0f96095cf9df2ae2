//! `skyring agent`: welcome, login, echo, quit; and `skyring agent hash`, which makes accounts.

use std::error::Error;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use skyring::limit::Limit;
use skyring::servers::accounts::Accounts;
use skyring::servers::accounts::file::{self, PASSWORD_BYTES_MAX};
use skyring::servers::agent;
use skyring::{Framing, LengthPrefix};

use super::Knobs;

/// Options of `skyring agent`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// Where to listen: host:port (port 0 takes a free one) or unix:/path.
    #[arg(long, default_value = "127.0.0.1:8888", value_name = "ADDR")]
    listen: String,
    /// Who may log in: a file of lines `name:$argon2id$...`, as `skyring agent hash` prints them.
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// How requests are cut: u16 or u32 (big-endian length before each), varint, or line.
    #[arg(long, default_value = "u16", value_parser = framing)]
    framing: Framing,
    /// Logins that one address may try in a minute, ten of them at once; 0 for no limit.
    #[arg(long, default_value = "30", value_name = "COUNT")]
    logins: u32,
    #[command(flatten)]
    knobs: Knobs,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Read a password from stdin and print the line of that account.
    Hash {
        /// The name of the account.
        name: String,
    },
}

/// A request is a frame of any length, so raw bytes and fixed sizes do not do.
fn framing(text: &str) -> Result<Framing, String> {
    match text.parse().map_err(|error: skyring::wire::UnknownFraming| error.to_string())? {
        framing @ (Framing::Line
        | Framing::Length(
            LengthPrefix::U16 | LengthPrefix::U32 | LengthPrefix::Varint,
        )) => Ok(framing),
        _ => Err("requests have lengths of their own: use u16, u32, varint or line".into()),
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    if let Some(Command::Hash { name }) = &options.command {
        return hash(name);
    }
    let (config, _log) = options.knobs.serving()?;
    let accounts = match &options.accounts {
        Some(path) => Accounts::load(path)?,
        None => Accounts::none(),
    };
    if accounts.is_empty() {
        let why = match &options.accounts {
            Some(path) => format!("{} has no accounts", path.display()),
            None => "no --accounts FILE is given".into(),
        };
        super::complain(&format!(
            "every login is refused: {why}; `skyring agent hash NAME` makes one"
        ));
    }
    let what = format!("agent, {}, {} accounts", options.framing, accounts.len());
    let burst = 10.min(options.logins);
    let logins = Limit::new(options.logins, Duration::from_secs(60), burst);
    let engine = agent::engine(config, &options.listen, options.framing, accounts, logins);
    super::serve(engine, &what)
}

fn hash(name: &str) -> Result<ExitCode, Box<dyn Error>> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprint!("password (it is shown): ");
    }
    let mut password = String::new();
    let mut input = std::io::Read::take(stdin.lock(), PASSWORD_BYTES_MAX as u64 + 2);
    input.read_line(&mut password)?;
    let password = password.strip_suffix('\n').unwrap_or(&password);
    let password = password.strip_suffix('\r').unwrap_or(password);
    super::print(&format!("{}\n", file::line(name, password)?))?;
    Ok(ExitCode::SUCCESS)
}
