//! A WebSocket echo by fastwebsockets, as its own example has it.

use ::fastwebsockets::{FragmentCollector, OpCode, upgrade};
use ::hyper::body::{Bytes, Incoming};
use ::hyper::server::conn::http1;
use ::hyper::service::service_fn;
use ::hyper::{Request, Response};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::framing::PAYLOAD_BYTES_MAX;

/// Serves one connection.
pub(super) async fn serve(stream: TcpStream) {
    let connection = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .with_upgrades();
    // An error is the peer's.
    let _ = connection.await;
}

async fn answer(
    mut request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, ::fastwebsockets::WebSocketError> {
    let (response, upgrading) = upgrade::upgrade(&mut request)?;
    tokio::spawn(tokio::task::unconstrained(async move {
        let Ok(mut socket) = upgrading.await else { return };
        socket.set_max_message_size(PAYLOAD_BYTES_MAX);
        let mut socket = FragmentCollector::new(socket);
        while let Ok(frame) = socket.read_frame().await {
            let is_over = match frame.opcode {
                OpCode::Close => true,
                OpCode::Text | OpCode::Binary => socket.write_frame(frame).await.is_err(),
                _ => false,
            };
            if is_over {
                return;
            }
        }
    }));
    Ok(response)
}
