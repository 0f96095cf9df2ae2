//! The raw request files of gunicorn's source package against the server. `.ci/run` fetches them;
//! docs/CHECKS.md has the command.

use std::path::{Path, PathBuf};
use std::process::Command;

use skyring::http::{Request, Response, Router, Version};
use skyring::prelude::*;

use crate::common::{Server, config, deadline};

/// Where `.ci/run` unpacks the package.
fn folder() -> Option<PathBuf> {
    let conformance = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/conformance");
    let unpacked = std::fs::read_dir(conformance).ok()?;
    let mut folders = unpacked.filter_map(|entry| Some(entry.ok()?.path().join("tests/requests")));
    folders.find(|folder| folder.is_dir())
}

/// Tells what was understood of a request.
async fn tell(mut request: Request) -> Result<Response> {
    let version = if request.version() == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut told = format!("{}\n{}\n{version}", request.method(), request.target()).into_bytes();
    for (name, value) in request.headers() {
        told.extend_from_slice(format!("\n{}: ", name.to_ascii_lowercase()).as_bytes());
        told.extend_from_slice(value);
    }
    told.extend_from_slice(b"\n\n");
    told.extend_from_slice(&request.bytes().await?);
    Ok(Response::bytes("application/octet-stream", told))
}

fn start(config: Config) -> Server {
    Server::of(Engine::new(config).http("127.0.0.1:0", |_| Router::new().fallback(tell)))
}

#[test]
fn gunicorns_requests_are_understood_or_refused_as_their_names_say() {
    let has_python = Command::new("python3").arg("--version").output().is_ok();
    let Some(folder) = folder().filter(|_| has_python) else {
        eprintln!(
            "SKIPPED: no gunicorn-*/ in target/conformance, or no python3: see docs/CHECKS.md"
        );
        return;
    };
    deadline(move || {
        let network = "127.0.0.0/8".parse::<skyring::limit::Network>().expect("a network");
        let (plain, proxied) = (start(config()), start(config().proxies(vec![network])));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http/gunicorn.py");
        let output = Command::new("python3")
            .arg(script)
            .arg(folder)
            .args([plain.address.to_string(), proxied.address.to_string()])
            .output()
            .expect("python3 starts");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("{told}");
        assert!(output.status.success(), "{told}{errors}");
    });
}
