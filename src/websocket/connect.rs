//! A client's side of the handshake.

use std::future::IntoFuture;
use std::pin::Pin;
#[cfg(feature = "tls")]
use std::sync::LazyLock;
use std::time::Duration;

#[cfg(feature = "deflate")]
use super::deflate::{Compression, Deflate};
use super::error::OpenError;
use super::limits::Limits;
use super::socket::{Terms, WebSocket};
use super::url::Url;
use crate::net::{ReadError, TcpStream};
use crate::reactor::{Reactor, random_bytes, within};
#[cfg(feature = "tls")]
use crate::tls;
use crate::wire::http::{is_field_name, is_field_value};
use crate::wire::websocket::RequestPlan;

/// The longest head of a server's answer.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Fields that the handshake writes itself.
const RESERVED: [&str; 4] = ["host", "connection", "upgrade", "content-length"];

/// Opens a WebSocket to a server: `ws://host:port/path`, or `wss://` for an encrypted one. Await it;
/// set what you need before.
///
/// ```
/// use skyring::prelude::*;
/// use skyring::websocket;
///
/// async fn ask() -> Result<()> {
///     let ws = websocket::connect("ws://127.0.0.1:8080/ws").await?;
///     ws.send("hello")?;
///     if let Some(message) = ws.read().await? {
///         println!("{:?}", message.as_text());
///     }
///     Ok(ws.close(1000, "done").await?)
/// }
///
/// async fn ask_for_more() -> Result<()> {
///     let ws = websocket::connect("ws://example.org/chat?room=7")
///         .protocol("chat.v2")
///         .header("authorization", "Bearer 7")
///         .await?;
///     println!("{:?}", ws.protocol());
///     Ok(())
/// }
/// # let _ = (ask, ask_for_more);
/// ```
pub fn connect(url: impl Into<String>) -> Connect {
    Connect {
        url: url.into(),
        protocols: Vec::new(),
        fields: Vec::new(),
        limits: Limits::default(),
        #[cfg(feature = "deflate")]
        deflate: None,
        #[cfg(feature = "tls")]
        tls: None,
        timeout: None,
        fault: None,
    }
}

/// A WebSocket that is to be opened: await it. Made by [`connect`].
#[derive(Debug)]
#[must_use = "a WebSocket is opened when this is awaited"]
pub struct Connect {
    url: String,
    protocols: Vec<String>,
    /// Checked, each with its CR LF.
    fields: Vec<u8>,
    limits: Limits,
    #[cfg(feature = "deflate")]
    deflate: Option<Deflate>,
    #[cfg(feature = "tls")]
    tls: Option<tls::Client>,
    timeout: Option<Duration>,
    fault: Option<&'static str>,
}

impl Connect {
    /// Asks for this subprotocol; the one that is liked best first.
    pub fn protocol(mut self, name: impl Into<String>) -> Connect {
        let name = name.into();
        if !is_field_name(&name) {
            self.fault = Some("the name of a subprotocol is a token: letters, digits, . and -");
        }
        self.protocols.push(name);
        self
    }

    /// Sends another header field.
    pub fn header(mut self, name: &str, value: &str) -> Connect {
        let own = name.get(..14).is_some_and(|start| start.eq_ignore_ascii_case("sec-websocket-"))
            || RESERVED.iter().any(|own| name.eq_ignore_ascii_case(own));
        if own {
            self.fault = Some("the header fields of the handshake are written by the engine");
        } else if !is_field_name(name) || !is_field_value(value.as_bytes()) {
            self.fault = Some("a header field has a malformed name or a control character");
        }
        for part in [name, ": ", value, "\r\n"] {
            self.fields.extend_from_slice(part.as_bytes());
        }
        self
    }

    /// Tells the server that a page of this origin asks.
    pub fn origin(self, origin: &str) -> Connect {
        self.header("origin", origin)
    }

    /// Other limits.
    pub fn limits(mut self, limits: Limits) -> Connect {
        self.limits = limits;
        self
    }

    /// Offers to compress messages. (Feature `deflate`.)
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, deflate: Deflate) -> Connect {
        self.fault = self.fault.or(deflate.fault());
        self.deflate = Some(deflate);
        self
    }

    /// Trusts whom `tls` trusts, for `wss://`; whom this machine trusts unless said. (Feature `tls`.)
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: &tls::Client) -> Connect {
        self.tls = Some(tls.clone());
        self
    }

    /// How long connecting and the handshake may take together; `SKYRING_CONNECT_TIMEOUT` unless
    /// said.
    pub fn timeout(mut self, timeout: Duration) -> Connect {
        self.timeout = Some(timeout);
        self
    }

    /// # Errors
    /// [`OpenError`].
    async fn open(self) -> Result<WebSocket, OpenError> {
        let limit = self.timeout.unwrap_or(Reactor::current().settings.connect_timeout);
        match within(limit, self.shake_hands()).await {
            Ok(opened) => opened,
            Err(_) => Err(OpenError::TimedOut(limit)),
        }
    }

    async fn shake_hands(self) -> Result<WebSocket, OpenError> {
        let url = Url::parse(&self.url).map_err(|why| OpenError::BadUrl(self.url.clone(), why))?;
        if let Some(fault) = self.fault {
            return Err(OpenError::BadOption(fault));
        }
        let stream = open_stream(&self, &url).await?;
        let plan = RequestPlan {
            host: &url.authority,
            target: &url.target,
            nonce: random_bytes(),
            protocols: &self.protocols,
            #[cfg(feature = "deflate")]
            deflate: self.deflate.map(|ours| ours.offer()),
            #[cfg(not(feature = "deflate"))]
            deflate: None,
            fields: &self.fields,
        };
        let closed = |_| OpenError::Read(ReadError::Closed);
        stream.write(plan.write()).map_err(closed)?;
        let head = stream.read_until(b"\r\n\r\n", HEAD_BYTES_MAX).await;
        let Some(head) = head.map_err(OpenError::Read)? else {
            return Err(closed(crate::error::SendError::Closed));
        };
        let head = [&head[..], b"\r\n\r\n"].concat();
        let answer = plan.check(&head).map_err(OpenError::Refused)?;
        let protocol = answer.protocol.map(Into::into);
        let terms = Terms {
            limits: self.limits,
            is_server: false,
            protocol,
            #[cfg(feature = "deflate")]
            compression: (self.deflate.zip(answer.deflate))
                .map(|(ours, agreed)| Compression::new(agreed, ours, false)),
        };
        Ok(WebSocket::over(stream.into_stream(), terms))
    }
}

/// Where a client's connection is opened. From here on it is encrypted, or not.
async fn open_stream(connect: &Connect, url: &Url) -> Result<TcpStream, OpenError> {
    let to = (url.host.as_str(), url.port);
    if !url.is_secure {
        return TcpStream::connect(to).await.map_err(OpenError::Connect);
    }
    #[cfg(feature = "tls")]
    {
        let tls = connect.tls.clone().unwrap_or_else(|| SYSTEM.clone());
        tls.connect(to).await.map_err(OpenError::Tls)
    }
    #[cfg(not(feature = "tls"))]
    Err(OpenError::BadUrl(connect.url.clone(), "this program was built without the feature `tls`"))
}

/// Trusts whom the machine trusts; read once.
#[cfg(feature = "tls")]
static SYSTEM: LazyLock<tls::Client> =
    LazyLock::new(|| tls::Client::new().expect("nothing is read before the first connection"));

impl IntoFuture for Connect {
    type Output = Result<WebSocket, OpenError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}
