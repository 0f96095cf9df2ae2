//! skyring-load: load benchmarks for skyring and its peers.

// Tables, progress and errors are what this program is for.
#![allow(clippy::print_stderr)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use skyring_load::{calibrate, chat, compare, echo, http, serve, websocket};

/// Load benchmarks for skyring and its peers: open loop, honest latencies, ratios taken in one
/// run.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures the latency of an echo server at a rate.
    Echo(echo::Args),
    /// Measures the latency of an HTTP server at a rate.
    Http(http::Args),
    /// Measures the latency of a WebSocket server at a rate.
    Websocket(websocket::Args),
    /// Measures the deliveries of a chat server: rate, latency, order, losses.
    Chat(chat::Args),
    /// Compares two servers' CPU a request in one run.
    Compare(compare::Args),
    /// Checks this tool: a stopped server must show as latency.
    Calibrate(calibrate::Args),
    /// Runs a server to compare with.
    Serve(serve::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Echo(args) => echo::run(&args),
        Command::Http(args) => http::run(&args),
        Command::Websocket(args) => websocket::run(&args),
        Command::Chat(args) => chat::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Serve(args) => serve::run(&args),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            eprintln!("skyring-load: {error}");
            ExitCode::from(error.exit_status())
        }
    }
}
