//! Clients that others wrote: Python's websockets, and ws of Node.

use std::process::{Command, Stdio};

use skyring::prelude::*;

use crate::common::{Server, config, deadline};
use crate::support::router;

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
/// Whether a program runs like this; says loudly when a test has to be skipped.
fn has(program: &str, arguments: &[&str], how: &str) -> bool {
    let found = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED: {how} is not installed, and this test talks to it");
    }
    found
}

/// Runs a client against the echo; it says `passed`.
fn passes(program: &'static str, arguments: &'static [&'static str]) {
    deadline(move || {
        let server = Server::of(Engine::new(config()).http("127.0.0.1:0", |_| router()));
        let url = format!("ws://{}/ws", server.address);
        let output = Command::new(program).args(arguments).arg(url).output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && text.trim() == "passed", "{text}{errors}");
        assert_eq!(server.metrics().websocket_failed, 0);
        server.settle();
        server.stop();
    });
}

const PYTHON: &str = r#"
import asyncio, sys, websockets
async def main(url):
    for compression in (None, "deflate"):
        async with websockets.connect(url, compression=compression, max_size=None) as ws:
            for n in (0, 1, 125, 126, 65535, 65536, 300000):
                await ws.send("\u20ac" * (n // 3))
                assert await ws.recv() == "\u20ac" * (n // 3)
                await ws.send(bytes(n))
                assert await ws.recv() == bytes(n)
            async def pieces():
                for n in range(100):
                    yield "piece %d " % n
            await ws.send(pieces())
            assert await ws.recv() == "".join(["piece %d " % n for n in range(100)])
            for n in range(1000):
                await ws.send(str(n))
            for n in range(1000):
                assert await ws.recv() == str(n)
            await (await ws.ping(b"there?"))
            await ws.close(4001, "done")
            assert ws.close_code == 4001, ws.close_code
        url_of_pieces = url.replace("/ws", "/pieces")
        async with websockets.connect(url_of_pieces, compression=compression, max_size=None) as ws:
            for n in (0, 1, 50, 500):
                words = "".join("piece %d " % n for n in range(n))
                await ws.send(words)
                assert await ws.recv() == words
                await ws.send(words.encode())
                assert await ws.recv() == words.encode()
            if hasattr(ws, "recv_streaming"):
                await ws.send("in three pieces")
                came = [piece async for piece in ws.recv_streaming()]
                assert came == ["in ", "three ", "pieces", ""], came
asyncio.run(main(sys.argv[1]))
print("passed")
"#;

#[test]
fn pythons_websockets_is_echoed() {
    if has("python3", &["-c", "import websockets"], "websockets (pip install websockets)") {
        passes("python3", &["-c", PYTHON]);
    }
}

const NODE: &str = r#"
const WebSocket = require("ws");
const sent = [];
for (const n of [0, 1, 125, 126, 65535, 65536, 300000]) {
    sent.push("\u20ac".repeat(n / 3), Buffer.alloc(n, 7));
}
function converse(options, done) {
    const ws = new WebSocket(process.argv[1], options);
    let read = 0;
    ws.on("open", () => { for (const message of sent) ws.send(message); ws.ping("there?"); });
    ws.on("message", (data, binary) => {
        const expected = sent[read++];
        const same = binary ? data.equals(expected) : data.toString() === expected;
        if (!same) { console.log("message", read, "differs"); process.exit(1); }
        if (read === sent.length) ws.close(4001, "done");
    });
    ws.on("close", (code) => { if (code !== 4001) process.exit(2); done(); });
    ws.on("error", (error) => { console.log(error); process.exit(3); });
}
converse({ perMessageDeflate: false }, () => converse({ perMessageDeflate: true }, () => {
    console.log("passed");
}));
"#;

#[test]
fn nodes_ws_is_echoed() {
    if has("node", &["-e", "require('ws')"], "ws of Node (npm install ws)") {
        passes("node", &["-e", NODE]);
    }
}
