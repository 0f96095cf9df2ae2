//! A server of every kind of answer, and servers that say what a script has them say.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use skyring::http::{Client, ClientError, ClientLimits, Refusal, Request, Response, Router};
use skyring::net::{TcpListener, TcpStream};
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};

pub(crate) const BASE: &str = "http://127.0.0.1";

pub(crate) fn url(path: &str) -> String {
    format!("{BASE}{path}")
}

pub(crate) fn router() -> Router {
    let show = async |mut request: Request| {
        let mut shown = format!("{} {}\n", request.method(), request.target());
        for (name, value) in request.headers() {
            shown +=
                &format!("{}: {}\n", name.to_ascii_lowercase(), String::from_utf8_lossy(value));
        }
        shown += &request.text().await?;
        Ok(Response::text(shown))
    };
    Router::new()
        .gzip(64)
        .get("/", async |_| Ok(Response::text("Hello, World!")))
        .on("GET", "/show", show)
        .on("POST", "/show", show)
        .on("PUT", "/show", show)
        .on("DELETE", "/show", show)
        .post("/echo", async |mut request| {
            let body = request.bytes().await?;
            Ok(Response::bytes("application/octet-stream", body))
        })
        .post("/length", async |mut request| {
            let mut len = 0;
            while let Some(piece) = request.body().read().await? {
                len += piece.len();
            }
            let trailer = request.body().trailer("x-sum").unwrap_or_default();
            Ok(Response::text(format!("{len} {trailer}")))
        })
        .post("/both", async |mut request: Request| {
            Ok(Response::stream("application/octet-stream", async move |out| {
                while let Some(piece) = request.body().read().await? {
                    out.write(piece).await?;
                }
                out.trailer("x-end", "yes")
            }))
        })
        .get("/lines", async |_| {
            Ok(Response::stream("text/plain", async |out| {
                for n in 0..1000 {
                    out.write(format!("line {n}\n")).await?;
                }
                out.trailer("x-lines", "1000")
            }))
        })
        .get("/large", async |_| Ok(Response::bytes("image/png", vec![b'x'; 3 << 20])))
        .get("/text", async |_| Ok(Response::text("compress me ".repeat(600))))
        .get("/empty", async |_| Ok(Response::new(204)))
        .get("/slow", async |_| {
            sleep(Duration::from_millis(50)).await;
            Ok(Response::text("slow"))
        })
        .get("/refused", async |_| Err(Refusal::new(409, "not now").into()))
        .get("/moved/{left}", async |request: Request| {
            let left: u32 = request.param("left").and_then(|left| left.parse().ok()).unwrap_or(0);
            let to = if left == 0 { "/".to_owned() } else { format!("/moved/{}", left - 1) };
            Ok(Response::new(302).header("location", &to)?)
        })
        .post("/refuse", async |_| Ok(Response::text("too much").status(413)))
}

/// Runs a client against the server of [`router`] at port 80, in a simulation.
pub(crate) fn with_server<F>(client: impl FnOnce(Client) -> F)
where
    F: Future<Output = Result<()>> + 'static,
{
    let mut sim = Simulation::new(7);
    let config = Config::new().cores(1);
    sim.start(Engine::new(config).http("127.0.0.1:80", |_| router())).expect("it starts");
    let ended = sim.run(client(Client::new())).expect("nobody is stuck");
    ended.unwrap_or_else(|error| panic!("{error}"));
    sim.stop().expect("a clean end");
}

/// Runs a client in a simulation of its own, which may listen.
pub(crate) fn alone<F>(client: F)
where
    F: Future<Output = Result<()>> + 'static,
{
    in_weather(1, Faults::default(), client);
}

pub(crate) fn in_weather<F>(seed: u64, faults: Faults, client: F)
where
    F: Future<Output = Result<()>> + 'static,
{
    let mut sim = Simulation::new(seed).weather(faults);
    let ended = sim.run(client).unwrap_or_else(|stuck| panic!("{stuck}"));
    ended.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    sim.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
}

/// What a script does with a connection after it has read a request's head.
#[derive(Clone)]
pub(crate) enum Act {
    /// Says this and waits for the next request.
    Say(Vec<u8>),
    /// Says this and closes.
    SayAndClose(Vec<u8>),
    /// Says this byte by byte, with so long between two.
    Drip(Vec<u8>, Duration),
    /// Resets the connection.
    Reset,
    /// Says nothing.
    Wait,
}

pub(crate) fn say(text: &str) -> Act {
    Act::Say(text.as_bytes().to_vec())
}

pub(crate) fn ok(body: &str) -> Act {
    say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// A server that follows a script, an act for each request, whichever connection it comes on.
pub(crate) struct Script {
    acts: RefCell<std::vec::IntoIter<Act>>,
    pub(crate) heads: RefCell<Vec<String>>,
    pub(crate) connections: Cell<u32>,
}

impl Script {
    /// Listens at port 80, or another one.
    pub(crate) fn start(port: u16, acts: Vec<Act>) -> Result<Rc<Script>> {
        let script = Rc::new(Script {
            acts: RefCell::new(acts.into_iter()),
            heads: RefCell::default(),
            connections: Cell::new(0),
        });
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let this = script.clone();
        spawn(async move {
            while let Ok(stream) = listener.accept().await {
                this.connections.set(this.connections.get() + 1);
                let this = this.clone();
                spawn(async move { this.serve(stream).await });
            }
        });
        Ok(script)
    }

    async fn serve(&self, stream: TcpStream) {
        while let Ok(Some(head)) = stream.read_until(b"\r\n\r\n", 1 << 16).await {
            self.heads.borrow_mut().push(String::from_utf8_lossy(&head).into_owned());
            let Some(act) = self.acts.borrow_mut().next() else { return };
            match act {
                Act::Say(bytes) => {
                    let _ = stream.write(bytes);
                }
                Act::SayAndClose(bytes) => {
                    let _ = stream.write(bytes);
                    return;
                }
                Act::Drip(bytes, pause) => {
                    for byte in bytes {
                        let _ = stream.write(&[byte]);
                        sleep(pause).await;
                    }
                }
                Act::Reset => return stream.shutdown(),
                Act::Wait => std::future::pending().await,
            }
        }
    }
}

/// The error of a request to a server that follows `acts`.
pub(crate) async fn failure(acts: Vec<Act>, limits: ClientLimits) -> Result<ClientError> {
    let script = Script::start(80, acts)?;
    let client = Client::with(limits);
    let error = match client.get(BASE).await {
        Err(error) => error,
        Ok(mut response) => response.bytes().await.err().ok_or("it is well")?,
    };
    drop(script);
    Ok(error)
}
