//! A server's side of the handshake: a request of HTTP becomes a WebSocket.

#[cfg(feature = "deflate")]
use super::deflate::Compression;
use super::options::Options;
use super::socket::{Terms, WebSocket};
use crate::error::Result;
use crate::http::upgrade::Local;
use crate::http::{Request, Response, Upgraded};
use crate::wire::websocket::{HandshakeError, Offer, read_offer};

/// Goes on with this request as a WebSocket, by `serve`, in a task of its own; nothing of HTTP is
/// left. What is no handshake is answered as it should be: 426, 400, 403 for another origin.
///
/// When `serve` returns the WebSocket closes: with 1000, after an error with 1011.
///
/// ```
/// use skyring::http::{Request, Response, Router};
/// use skyring::prelude::*;
/// use skyring::websocket::{self, Options};
///
/// async fn echo(request: Request) -> Result<Response> {
///     websocket::upgrade(request, &Options::new(), async |ws| {
///         while let Some(message) = ws.read().await? {
///             ws.send(message)?;
///         }
///         Ok(())
///     })
/// }
///
/// let router = Router::new().get("/ws", echo);
/// # let _ = router;
/// ```
///
/// # Errors
/// A subprotocol of `options` that cannot be sent.
pub fn upgrade<F>(request: Request, options: &Options, serve: F) -> Result<Response>
where
    F: AsyncFnOnce(WebSocket) -> Result<()> + 'static,
{
    accept(request, options, move |ws: WebSocket| {
        // The future has nothing but what it needs while it waits: it is what an idle socket costs.
        Some(Box::pin(async move {
            let ending = Ending(ws.clone());
            let served = serve(ws).await;
            Box::pin(ending.end(served)).await;
        }))
    })
}

/// As [`upgrade`]; `serve` sees to the end of the WebSocket, too.
pub(super) fn accept(
    request: Request,
    options: &Options,
    serve: impl FnOnce(WebSocket) -> Option<Local<()>> + 'static,
) -> Result<Response> {
    let offer = match read(&request, options) {
        Ok(offer) => offer,
        Err(error) => return refuse(error),
    };
    let protocol = offer.choose_protocol(&options.protocols);
    let accept = offer.accept_key();
    #[cfg(feature = "deflate")]
    let agreed = options
        .deflate
        .and_then(|ours| offer.choose_deflate(&ours.offer()).map(|agreed| (ours, agreed)));
    let terms = Terms {
        limits: options.limits,
        is_server: true,
        protocol: protocol.map(Into::into),
        #[cfg(feature = "deflate")]
        compression: agreed.map(|(ours, agreed)| Compression::new(agreed, ours, true)),
    };
    let begin = move |upgraded: Upgraded| serve(WebSocket::over(upgraded.into_stream(), terms));
    let mut response = Response::upgrade_by("websocket", Box::new(begin))?;
    response = response.header("sec-websocket-accept", &accept)?;
    #[cfg(feature = "deflate")]
    if let Some((_, agreed)) = agreed {
        response = response.header("sec-websocket-extensions", &agreed.answer())?;
    }
    if let Some(protocol) = protocol {
        response = response.header("sec-websocket-protocol", protocol)?;
    }
    Ok(response)
}

/// What the request asks for, if that is served.
pub(super) fn read<'a>(
    request: &'a Request,
    options: &Options,
) -> Result<Offer<'a>, HandshakeError> {
    if !request.wants_upgrade("websocket") {
        return Err(HandshakeError::NotAnUpgrade);
    }
    let offer = read_offer(request.method(), request.headers())?;
    if !options.origins.is_empty() && !offer.is_from(&options.origins) {
        return Err(HandshakeError::BadOrigin);
    }
    Ok(offer)
}

fn refuse(error: HandshakeError) -> Result<Response> {
    let response = Response::text(format!("{error}\n")).status(error.status());
    Ok(match error.status() {
        426 => response.names_protocol("websocket")?.header("sec-websocket-version", "13")?,
        405 => response.header("allow", "GET")?,
        _ => response,
    })
}

/// The end of a handler. One that panics has its peer told so.
struct Ending(WebSocket);

impl Ending {
    async fn end(self, served: Result<()>) {
        match served {
            Ok(()) => self.0.begin_close(1000, ""),
            Err(error) => {
                tracing::debug!(peer = ?self.0.peer(), %error, "a WebSocket's handler failed");
                self.0.begin_close(1011, "the server failed");
            }
        }
        // Whoever keeps a handle may be reading; it sees the Close through.
        let _ = self.0.close(1000, "").await;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let code = if self.0.0.reactor.is_stopping() { 1001 } else { 1011 };
        self.0.0.begin_close(code, "");
    }
}
