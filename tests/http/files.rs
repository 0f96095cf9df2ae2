//! Files of a folder: types, ranges, conditions, and no way out. Gzip.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use skyring::http::{Client, Response, Router};
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};

use crate::common::{Server, config, deadline};
use crate::support::{Answer, Peer};

/// A folder of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("skyring-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        let www = path.join("www");
        fs::create_dir_all(www.join("sub/empty")).expect("a folder");
        fs::write(path.join("secret"), "secret").expect("a file");
        fs::write(www.join("a b.txt"), "0123456789").expect("a file");
        fs::write(www.join("sub/index.html"), "<p>").expect("a file");
        fs::write(www.join(".env"), "hidden").expect("a file");
        fs::write(www.join("empty.css"), "").expect("a file");
        let large: Vec<u8> = (0..1_000_000).map(|n| (n % 251) as u8).collect();
        fs::write(www.join("large"), large).expect("a file");
        symlink(path.join("secret"), www.join("out")).expect("a link");
        symlink("../secret", www.join("up")).expect("a link");
        symlink("a b.txt", www.join("inside")).expect("a link");
        Folder(path)
    }

    fn serve(&self) -> Server {
        let www = self.0.join("www");
        Server::of(Engine::new(config()).http("127.0.0.1:0", move |_| {
            Router::new()
                .files("/f", &www)
                .gzip(100)
                .get("/text", async |_| Ok(Response::text("text ".repeat(1000))))
                .get("/long", async |_| Ok(Response::text("text ".repeat(100_000))))
        }))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn get(peer: &mut Peer, path: &str, field: &str) -> Answer {
    peer.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{field}\r\n")).answer()
}

#[test]
fn files_come_whole_in_parts_or_not_at_all() {
    deadline(|| {
        let folder = Folder::new("files");
        let server = folder.serve();
        let mut peer = Peer::of(&server);
        let whole = get(&mut peer, "/f/a%20b.txt", "");
        assert_eq!((whole.status, whole.text()), (200, "0123456789"));
        assert_eq!(whole.header("content-type"), Some("text/plain; charset=utf-8"));
        let tag = whole.header("etag").expect("a tag").to_owned();
        let date = whole.header("last-modified").expect("a date").to_owned();
        for field in [format!("If-None-Match: {tag}\r\n"), format!("If-Modified-Since: {date}\r\n")]
        {
            let answer = get(&mut peer, "/f/a%20b.txt", &field);
            assert_eq!((answer.status, answer.header("etag")), (304, Some(&*tag)));
        }
        let answer = get(&mut peer, "/f/a%20b.txt", "If-Match: \"another\"\r\n");
        assert_eq!((answer.status, answer.header("content-range")), (412, None));
        let part = get(&mut peer, "/f/a%20b.txt", "Range: bytes=2-4\r\n");
        assert_eq!((part.status, part.text()), (206, "234"));
        assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
        let beyond = get(&mut peer, "/f/a%20b.txt", "Range: bytes=10-\r\n");
        assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */10")));
        let large = get(&mut peer, "/f/large", "");
        assert_eq!(large.header("content-length"), Some("1000000"));
        assert!(large.body.iter().enumerate().all(|(n, byte)| usize::from(*byte) == n % 251));
        let part = get(&mut peer, "/f/large", "Range: bytes=500000-899999\r\n");
        assert_eq!(part.body, large.body[500_000..900_000]);
        let empty = get(&mut peer, "/f/empty.css", "");
        assert_eq!((empty.status, empty.body.len()), (200, 0));
        assert_eq!(get(&mut peer, "/f/sub/", "").text(), "<p>");
        let moved = get(&mut peer, "/f/sub", "");
        assert_eq!((moved.status, moved.header("location")), (308, Some("/f/sub/")));
        assert_eq!(get(&mut peer, "/f/inside", "").text(), "0123456789");
    });
}

#[test]
fn files_and_long_answers_come_in_a_simulation_too() {
    let folder = Folder::new("simulated");
    for seed in 0..10 {
        let www = folder.0.join("www");
        let mut sim = Simulation::new(seed).weather(Faults::bad_weather());
        let engine = Engine::new(Config::new().cores(2)).http("127.0.0.1:80", move |_| {
            Router::new()
                .files("/f", &www)
                .gzip(100)
                .get("/long", async |_| Ok(Response::text("text ".repeat(100_000))))
        });
        sim.start(engine).expect("it starts");
        let read: Result<Vec<usize>> = sim
            .run(async {
                let client = Client::new();
                let mut lengths = Vec::new();
                for path in ["f/a%20b.txt", "f/large", "f/sub/", "f/none", "long"] {
                    let mut answer = client.get(format!("http://127.0.0.1/{path}")).send().await?;
                    lengths.push(usize::from(answer.status()));
                    lengths.push(answer.bytes().await?.len());
                }
                Ok(lengths)
            })
            .unwrap_or_else(|stuck| panic!("{stuck}"));
        let read = read.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(read, [200, 10, 200, 1_000_000, 200, 3, 404, 10, 200, 500_000], "seed {seed}");
        sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn no_name_leads_out_of_the_folder() {
    deadline(|| {
        let folder = Folder::new("out");
        let server = folder.serve();
        let mut peer = Peer::of(&server);
        for path in [
            "/f/../secret",
            "/f/..%2fsecret",
            "/f/%2e%2e/secret",
            "/f/sub/../../secret",
            "/f//etc/passwd",
            "/f/%2fetc/passwd",
            "/f/out",
            "/f/up",
            "/f/.env",
            "/f/nothing",
            "/f/a%00b",
            "/f/%zz",
            "/f/sub/empty/",
            "/f/a%20b.txt/",
            "/f/..%5csecret",
            "/f/",
        ] {
            assert_eq!(get(&mut peer, path, "").status, 404, "{path}");
        }
    });
}

#[test]
fn a_folder_that_is_not_there_stops_the_start() {
    let engine =
        Engine::new(config()).http("127.0.0.1:0", |_| Router::new().files("/", "/nothing/is/here"));
    let error = engine.start().expect_err("no folder").to_string();
    assert!(error.contains("/nothing/is/here"), "{error}");
}

#[test]
fn what_is_long_is_sent_short_to_who_takes_it() {
    deadline(|| {
        let folder = Folder::new("gzip");
        let server = folder.serve();
        let mut peer = Peer::of(&server);
        for (path, len) in [("/text", 5000), ("/long", 500_000)] {
            assert_eq!(get(&mut peer, path, "").body.len(), len);
            let short = get(&mut peer, path, "Accept-Encoding: gzip\r\n");
            assert_eq!(short.header("content-encoding"), Some("gzip"));
            assert_eq!(short.header("vary"), Some("accept-encoding"));
            assert!(short.body.len() < len / 10 && short.body.starts_with(b"\x1f\x8b"));
        }
        let file = get(&mut peer, "/f/a%20b.txt", "Accept-Encoding: gzip\r\n");
        assert_eq!(file.header("content-encoding"), None, "too short");
    });
}

#[test]
fn a_long_file_comes_whole_where_the_lane_is_full() {
    deadline(|| {
        let folder = Folder::new("full");
        let www = folder.0.join("www");
        let make = move |_: &skyring::Core| Router::new().files("/f", &www);
        let config = config().set("lane_calls_max", "1").expect("a knob");
        let server = Server::of(Engine::new(config).http("127.0.0.1:0", make));
        let mut peers: Vec<Peer> = (0..8).map(|_| Peer::of(&server)).collect();
        for peer in &mut peers {
            peer.send("GET /f/large HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        for peer in &mut peers {
            assert_eq!(peer.answer().body.len(), 1_000_000);
        }
    });
}
