//! Load benchmarks for skyring and its peers.

mod serve;

use clap::Parser;

#[derive(Parser)]
#[command(name = "skyring-load", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Start one of the servers that skyring is measured against.
    Serve(serve::Args),
}

fn main() -> std::io::Result<()> {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
    }
}
